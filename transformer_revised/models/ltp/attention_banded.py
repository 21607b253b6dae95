"""Local attention on a GPU (`attn_implementation="sdpa"`): all blocks of a batch as one dense masked attention.

The packed row is cut into blocks of `C` queries, none across two sequences. A block attends to a stretch of keys of
fixed length around it, and to the global tokens outside that stretch: `K` keys for each block. The CPU computes this
layout with NumPy and copies it to the GPU at once, because each operator that a GPU computes takes the CPU several
microseconds to launch. The GPU computes which pairs are in reach (within the window, or with a global key).

Example: lengths 300 and 40, a window of 2 * 64, token 0 of each sequence global, nothing removed yet. The packed row
has `N` = 340 tokens. It is cut into `M` = 6 blocks of `C` = 64 queries, 5 of the first sequence and 1 of the second.
Each block has 64 + 2 * 64 keys and 8 places for global tokens (1, and 7 because kernels want a multiple of 8):
`K` = 200. The packed `[H, N, d]` become queries `[M, H, C, d]` and keys `[M, H, K, d]`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from .host_tokens import to_device
from .packed_sequence import PackedSequence

# A block has about as many queries as half a window, between these numbers.
MIN_QUERY_BLOCK, MAX_QUERY_BLOCK = 64, 256
# Maximum number of attention weights in memory at once (512 MB in bfloat16); larger batches are computed in steps.
MAX_WEIGHTS = 2**28


@dataclass
class BandedPlan:
    """`M` blocks of `C` queries and `K` keys each."""

    shape: tuple[int, int, int]  # `(M, C, K)`
    # `[M * C]` int32, packed indices. A block with fewer queries repeats the last token of its sequence.
    queries: torch.Tensor
    is_query: torch.Tensor | None  # `[M, 1, C]` float32, 0 for those repetitions; `None` if there are none
    keys: torch.Tensor  # `[M * K]` int32, packed indices
    # Bool, the pairs out of reach: `[M, C, K]`, or `[M, 1, K]` if they depend only on the key; `None` if none is
    masked: torch.Tensor | None
    place: torch.Tensor  # `[N]` int32, index of each token among the `M * C` queries
    one_block: bool  # whether each sequence is one block: `queries` and `keys` are then the same
    pairs: torch.Tensor  # `[B]` int64, query-key pairs computed for each sequence: `K` for each of its tokens
    _biases: dict[torch.dtype, torch.Tensor] = field(default_factory=dict, repr=False)

    def bias(self, dtype: torch.dtype) -> torch.Tensor | None:
        """The mask that is added to the scores, `[M, 1, C, K]`: minus infinity if `masked`, else 0."""
        if self.masked is not None and dtype not in self._biases:
            zeros = torch.zeros(self.shape, dtype=dtype, device=self.masked.device)
            self._biases[dtype] = zeros.masked_fill_(self.masked, float("-inf"))[:, None]
        return self._biases.get(dtype)


def banded_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: BandedPlan,
    *,
    scale: float = 1.0,
    dropout: float = 0.0,
    with_importance: bool = False,
    importance_gradient: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Local attention and importance. [`tiled_attention`] documents the arguments and the results.

    `scale`: multiplies the scores.
    """
    device, M = query.device.type, plan.shape[0]
    casts = torch.is_autocast_enabled(device)
    with torch.autocast(device, enabled=False) if casts else contextlib.nullcontext():
        fills = plan.is_query is None  # each token is one query, in order, so that blocks are views
        if not fills:
            query = query.index_select(1, plan.queries)
        if not (fills and plan.one_block):
            key, value = key.index_select(1, plan.keys), value.index_select(1, plan.keys)
        blocks = [x.unflatten(1, (M, -1)) for x in (query, key, value)]  # [H, M, C, d], [H, M, K, d]
        importance = None
        learns = torch.is_grad_enabled() and any(x.requires_grad for x in blocks)
        if with_importance and (importance_gradient or not learns):
            context, importance = _explicit_attention(*blocks, plan, scale, dropout)
        else:
            context = nn.functional.scaled_dot_product_attention(
                *(x.transpose(0, 1) for x in blocks), attn_mask=plan.bias(query.dtype), dropout_p=dropout, scale=scale
            ).transpose(0, 1)
            if with_importance:  # computes the weights again, so that the backward pass need not store them
                with torch.no_grad():
                    _, importance = _explicit_attention(*blocks[:2], None, plan, scale, dropout)
        # Fused kernels return [M, C, H, d] in memory, so that the tokens are one dimension without a copy.
        heads = context.permute(1, 2, 0, 3)
        heads = heads.flatten(0, 1) if heads.is_contiguous() else context.flatten(1, 2).transpose(0, 1)
    if not (fills and heads.is_contiguous()):
        heads = heads.index_select(0, plan.place)
    return heads.transpose(0, 1), importance


def _explicit_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor | None,
    plan: BandedPlan,
    scale: float,
    dropout: float,
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Attention with its weights in memory: context `[H, M, C, d]` (`None` without `value`) and importance `[N]`."""
    M, C, K = plan.shape
    steps = _steps(M, len(query) * C * K)
    if len(steps) == 1:
        context, received = _weighted(query, key, value, plan.masked, plan.is_query, scale, dropout)
    else:
        context, received = zip(*(
            _weighted(query[:, s], key[:, s], None if value is None else value[:, s],
                      *(None if x is None else x[s] for x in (plan.masked, plan.is_query)), scale, dropout)
            for s in steps
        ))  # fmt: skip
        context, received = None if value is None else torch.cat(context, dim=1), torch.cat(received)
    return context, _by_token(received, plan)


def _weighted(query, key, value, masked, is_query, scale, dropout) -> tuple[torch.Tensor | None, torch.Tensor]:
    """The context `[H, M, C, d]` of blocks, and the weight that each of their keys receives, `[M, K]`."""
    (H, M, C, d), K = query.shape, key.shape[2]
    scores = scaled_product(query.reshape(-1, C, d), key.reshape(-1, K, d).transpose(1, 2), scale).view(H, M, C, K)
    if masked is not None:
        scores = scores.masked_fill_(masked, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    exact = torch.promote_types(weights.dtype, torch.float32)
    if is_query is None:
        received = weights.sum((0, 2), dtype=exact)
    else:  # The heads first, so that repeated queries are left out of a smaller product.
        received = torch.bmm(is_query.to(exact), weights.sum(0, dtype=exact)).view(M, K)
    if value is None:
        return None, received
    weights = nn.functional.dropout(weights, dropout) if dropout else weights
    return torch.bmm(weights.view(-1, C, K), value.reshape(-1, K, d)).view(H, M, C, d), received


def scaled_product(a: torch.Tensor, b: torch.Tensor, scale: float) -> torch.Tensor:
    """`scale * a @ b` of `[S, m, k]` and `[S, k, n]` in one kernel."""
    return torch.bmm(a, b) if scale == 1.0 else torch.baddbmm(a.new_empty(()), a, b, beta=0, alpha=scale)


def _by_token(received: torch.Tensor, plan: BandedPlan) -> torch.Tensor:
    """The sum for each token, `[N]`, of what it receives as a key of several blocks, `[M, K]`."""
    if plan.one_block:
        return received.flatten().index_select(0, plan.place)
    # A GPU's atomic additions have no fixed order. In float64 its effect disappears when the sum is rounded.
    total = received.new_zeros(len(plan.place), dtype=torch.float64)
    add = total.index_add if received.requires_grad else total.index_add_
    return add(0, plan.keys, received.flatten().double()).to(received.dtype)


def _steps(blocks: int, weights: int) -> list[slice]:
    """Slices of the blocks, each with at most `MAX_WEIGHTS` weights if one block has `weights`."""
    step = max(1, MAX_WEIGHTS // weights)
    return [slice(start, start + step) for start in range(0, blocks, step)]


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
    blocks = -(-packed.lengths // size)  # of each sequence
    of = np.repeat(np.arange(len(blocks)), blocks)  # sequence of each block
    offsets = np.array(packed.offsets, dtype=np.int32)
    start, end = offsets[of, None], offsets[of + 1, None]  # [M, 1]
    rank = np.arange(len(of), dtype=np.int32) - np.repeat(np.cumsum(blocks) - blocks, blocks).astype(np.int32)
    first = start + rank[:, None] * size
    key_start = np.maximum(np.minimum(first - half_window, end - stretch), start)

    queries, keys = (begin + np.arange(n, dtype=np.int32) for begin, n in ((first, size), (key_start, stretch)))
    is_key, is_query = keys < end, None
    if (queries[:, -1:] >= end).any():
        is_query = (queries < end)[:, None].astype(np.float32)
    for index in (queries, keys):
        np.minimum(index, end - 1, out=index)
    if num_slots:
        far, is_far = _far_globals(packed, of, num_slots, key_start, stretch)
        keys, is_key = np.concatenate([keys, far], axis=1), np.concatenate([is_key, is_far], axis=1)
    shift = np.arange(len(of), dtype=np.int32) * size - first[:, 0]  # from a packed index to that among all queries
    place = np.arange(len(packed), dtype=np.int32) + np.repeat(shift, np.minimum(end - first, size)[:, 0])
    masks = [] if all_in_reach else _positions(packed, queries, keys, is_key, half_window)
    arrays = [queries.ravel(), keys.ravel(), place, packed.lengths * keys.shape[1], *masks]
    arrays += [] if is_query is None else [is_query]
    queries, keys, place, pairs, *more = to_device(arrays, packed.positions.device)
    masked = more[0] if masks else None
    if len(masks) == 2:
        masked = more[0][:, :, None].sub(more[1][:, None]).abs_() > half_window
    one_block = bool((blocks == 1).all()) and not num_slots and size == stretch
    shape = len(of), size, stretch + num_slots
    return BandedPlan(shape, queries, None if is_query is None else more[-1], keys, masked, place, one_block, pairs)


def _far_globals(packed, of, num_slots, key_start, stretch) -> tuple[np.ndarray, np.ndarray]:
    """For each block the global tokens of its sequence, packed indices `[M, num_slots]`, and which of them are outside
    the stretch of keys. Places that are left over hold any token.
    """
    global_index, slot = packed.host_is_global.nonzero()[0].astype(np.int32), np.arange(num_slots)
    begin = (np.cumsum(packed.num_global) - packed.num_global)[of, None]
    far = global_index[np.minimum(begin + slot, len(global_index) - 1)]
    is_far = (slot < packed.num_global[of, None]) & ((far < key_start) | (far >= key_start + stretch))
    return far, is_far


def _positions(packed, queries, keys, is_key, half_window) -> list[np.ndarray]:
    """What says which pairs are out of reach: where no key is, `[M, 1, K]` bool, if all tokens of each sequence are in
    reach of each other. Else the positions of the queries `[M, C]` and the keys `[M, K]`, float32, which are NaN for
    global keys and infinite where no key is: the distance is larger than the window for all keys out of reach only.
    """
    positions, ends = packed.host_positions.astype(np.float32), np.array(packed.offsets[1:])
    alive = packed.lengths > 0
    span = positions[ends[alive] - 1] - positions[ends[alive] - packed.lengths[alive]]
    if span.max() <= half_window and keys.shape[1] >= packed.lengths.max():
        return [~is_key[:, None]] if not is_key.all() else []
    of_keys = np.where(packed.host_is_global, np.float32("nan"), positions).take(keys)
    np.copyto(of_keys, np.float32("inf"), where=~is_key)
    return [positions.take(queries), of_keys]


def _up_to_8(size: int) -> int:
    """The next multiple of 8; fused kernels need masks of such a width."""
    return -(-size // 8) * 8
