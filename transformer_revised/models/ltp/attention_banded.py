"""Local attention on a GPU (`attn_implementation="sdpa"`): all blocks of a batch as one dense masked attention.

The packed row is cut into blocks of `C` queries, none across two sequences. A block attends to a stretch of keys of
fixed length around it, and to the global tokens outside that stretch: `K` keys for each block. The CPU computes this
layout from the numbers of tokens and global tokens of the sequences. The GPU computes which pairs are in reach (within
the window, or with a global key).

Example: lengths 300 and 40, a window of 2 * 64, token 0 of each sequence global, nothing removed yet. The packed row
has `N` = 340 tokens. It is cut into `M` = 6 blocks of `C` = 64 queries, 5 of the first sequence and 1 of the second.
Each block has 64 + 2 * 64 keys and 8 places for global tokens (1, and 7 because kernels want a multiple of 8):
`K` = 200. The packed `[H, N, d]` become queries `[M, H, C, d]` and keys `[M, H, K, d]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from .packed_sequence import PackedSequence

# A block has about as many queries as half a window, between these numbers.
MIN_QUERY_BLOCK, MAX_QUERY_BLOCK = 64, 256
# Maximum number of attention weights in memory at once (512 MB in bfloat16); larger batches are computed in steps.
MAX_WEIGHTS = 2**28


@dataclass
class BandedPlan:
    """`M` blocks of `C` queries and `K` keys each."""

    # `[M, C]` int64, packed indices. A block with fewer queries repeats the last token of its sequence.
    queries: torch.Tensor
    is_query: torch.Tensor  # `[M, C]` bool, False for those repetitions
    keys: torch.Tensor  # `[M, K]` int64, packed indices
    allowed: torch.Tensor | None  # `[M, C, K]` bool, the pairs in reach; `None` if all are
    place: torch.Tensor  # `[N]` int64, index of each token among the `M * C` queries
    pairs: torch.Tensor  # `[B]` int64, query-key pairs computed for each sequence: `K` for each of its tokens
    _biases: dict[torch.dtype, torch.Tensor] = field(default_factory=dict, repr=False)

    def bias(self, dtype: torch.dtype) -> torch.Tensor | None:
        """The mask that is added to the scores, `[M, 1, C, K]`: 0 if `allowed`, else minus infinity."""
        if self.allowed is not None and dtype not in self._biases:
            zeros = torch.zeros(self.allowed.shape, dtype=dtype, device=self.allowed.device)
            self._biases[dtype] = zeros.masked_fill_(~self.allowed, float("-inf"))[:, None]
        return self._biases.get(dtype)


def banded_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: BandedPlan,
    *,
    dropout: float = 0.0,
    with_importance: bool = False,
    importance_gradient: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Local attention and importance. [`tiled_attention`] documents the arguments and the results."""
    with torch.autocast(query.device.type, enabled=False):
        blocks = _gather(query, plan.queries), _gather(key, plan.keys), _gather(value, plan.keys)
        importance = None
        learns = torch.is_grad_enabled() and any(x.requires_grad for x in blocks)
        if with_importance and (importance_gradient or not learns):
            context, importance = _explicit_attention(*blocks, plan, dropout)
        else:
            context = nn.functional.scaled_dot_product_attention(
                *blocks, attn_mask=plan.bias(query.dtype), dropout_p=dropout, scale=1.0
            )
            if with_importance:  # computes the weights again, so that the backward pass need not store them
                with torch.no_grad():
                    _, importance = _explicit_attention(blocks[0], blocks[1], None, plan, dropout)
    context = context.transpose(1, 2).flatten(0, 1).index_select(0, plan.place)
    return context.transpose(0, 1), importance


def _explicit_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor | None, plan: BandedPlan, dropout: float
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Attention with its weights in memory: context `[M, H, C, d]` (`None` without `value`) and importance `[N]`."""
    bias, contexts, received = plan.bias(query.dtype), [], []
    for part in _steps(len(query), query.shape[1] * query.shape[2] * key.shape[2]):
        scores = query[part] @ key[part].transpose(2, 3)
        weights = torch.softmax(scores if bias is None else scores.add_(bias[part]), dim=-1)
        # Heads are summed first, so that repeated queries are masked in a smaller tensor.
        by_query = weights.sum(1, dtype=torch.promote_types(weights.dtype, torch.float32))
        received.append((by_query * plan.is_query[part, :, None]).sum(1))
        if value is not None:
            weights = nn.functional.dropout(weights, dropout) if dropout else weights
            contexts.append(weights @ value[part])
    received = torch.cat(received)
    # A GPU's atomic additions have no fixed order. In float64 its effect disappears when the sum is rounded.
    total = received.new_zeros(len(plan.place), dtype=torch.float64)
    total = total.index_add(0, plan.keys.flatten(), received.flatten().double())
    return torch.cat(contexts) if contexts else None, total.to(received.dtype)


def _gather(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The rows of `x` (`[H, N, d]`) at `index` (`[M, C]`), `[M, H, C, d]`."""
    return x.index_select(1, index.flatten()).unflatten(1, index.shape).transpose(0, 1)


def _steps(blocks: int, weights: int) -> Iterator[slice]:
    """Slices of the blocks, each with at most `MAX_WEIGHTS` weights if one block has `weights`."""
    step = max(1, MAX_WEIGHTS // weights)
    for start in range(0, blocks, step):
        yield slice(start, start + step)


def banded_plan(packed: PackedSequence, half_window: int) -> BandedPlan:
    """The plan for all alive tokens. `packed` caches it, so that layers with the same tokens and window share it."""
    key = ("banded_plan", half_window)
    if key not in packed.cache:
        packed.cache[key] = _plan_of_blocks(packed, half_window)
    return packed.cache[key]


def banded_pairs(packed: PackedSequence, half_window: int) -> np.ndarray:
    """`pairs` of the plan, `[B]` int64, without the plan: its masks take a CPU much longer than a GPU."""
    _, stretch, slots, _ = _sizes(packed, half_window)
    return packed.lengths * (stretch + slots)


def _sizes(packed: PackedSequence, half_window: int) -> tuple[int, int, int, bool]:
    """The queries of a block, the keys around it, the places for global tokens, and whether all pairs are in reach."""
    longest = max(1, int(packed.lengths.max()))
    if packed.shape[1] - 1 <= half_window and bool((packed.lengths == longest).all()):
        return longest, longest, 0, True  # no mask, and so nothing to align
    most = min(max(half_window, MIN_QUERY_BLOCK), MAX_QUERY_BLOCK)
    size = _up_to_8(-(-longest // -(-longest // most)))
    stretch = _up_to_8(min(size + 2 * half_window, longest))
    slots = _up_to_8(int(packed.num_global.max(initial=0))) if stretch < longest else 0
    return size, stretch, slots, False


def _plan_of_blocks(packed: PackedSequence, half_window: int) -> BandedPlan:
    size, stretch, num_slots, all_in_reach = _sizes(packed, half_window)
    table = packed.to_device(_block_table(packed, size, stretch, num_slots, half_window))
    first, end, key_start = table[:, :3, None].unbind(1)
    index = first + torch.arange(size, device=table.device)
    is_query, queries = index < end, torch.minimum(index, end - 1)
    index = key_start + torch.arange(stretch, device=table.device)
    is_key, keys = index < end, torch.minimum(index, end - 1)
    slots = table[:, 3:]
    if slots.shape[1]:
        far = packed.global_index[slots.clamp(min=0)]
        is_far = (slots >= 0) & ((far < key_start) | (far >= key_start + stretch))
        keys, is_key = torch.cat([keys, far], dim=1), torch.cat([is_key, is_far], dim=1)
    allowed = None
    if not all_in_reach:
        distance = packed.positions[queries][:, :, None] - packed.positions[keys][:, None]
        allowed = ((distance.abs() <= half_window) | packed.is_global[keys][:, None]) & is_key[:, None]
    token = torch.arange(len(packed), device=table.device)
    block = torch.searchsorted(first[:, 0].contiguous(), token, right=True) - 1
    place = token + (torch.arange(len(table), device=table.device) * size - first[:, 0])[block]
    return BandedPlan(queries, is_query, keys, allowed, place, packed.length_tensor * keys.shape[1])


def _block_table(packed: PackedSequence, size: int, stretch: int, num_slots: int, half_window: int) -> np.ndarray:
    """`[M, 3 + num_slots]` int64. For each block: its first query, the end of its sequence and its first key (packed
    indices); then the global tokens of its sequence as indices into `packed.global_index`, filled up with -1.
    """
    starts, ends = np.array(packed.offsets[:-1]), np.array(packed.offsets[1:])
    blocks = -(-packed.lengths // size)
    of = np.repeat(np.arange(len(blocks)), blocks)  # sequence of each block
    rank = np.arange(len(of)) - np.repeat(np.cumsum(blocks) - blocks, blocks)
    first = starts[of] + rank * size
    key_start = np.maximum(np.minimum(first - half_window, ends[of] - stretch), starts[of])
    slot = np.arange(num_slots)
    first_global = np.cumsum(packed.num_global) - packed.num_global
    slots = np.where(slot < packed.num_global[of, None], first_global[of, None] + slot, -1)
    return np.concatenate([np.stack([first, ends[of], key_start], axis=1), slots], axis=1)


def _up_to_8(size: int) -> int:
    """The next multiple of 8; fused kernels need masks of such a width."""
    return -(-size // 8) * 8
