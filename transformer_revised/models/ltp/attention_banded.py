"""Window + global attention as one batched dense attention: `attn_implementation="sdpa"`.

The packed row is cut into blocks of queries, none across two sequences, each as long as the others; a block reads a
stretch of keys of fixed length around it, and the global tokens outside that stretch. What the layout needs to know
on the host are the lengths of the sequences and how many of their tokens are global; which pairs are in reach is
worked out on the device. Sequences no longer than a block are thereby one block each: a batch padded to the longest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from .packed_sequence import PackedSequence

MIN_QUERY_BLOCK, MAX_QUERY_BLOCK = 64, 256  # queries that are laid out together: half a window, between these
# Weights of one step where they are written out, 512 MB in bf16; longer rows of blocks are worked off in steps.
MAX_WEIGHTS = 2**28


@dataclass
class BandedPlan:
    """
    `M` blocks of `C` queries against `K` columns of keys each.

    Args:
        queries: `[M, C]` int64, packed index. A block that is not full repeats its sequence's last token.
        is_query: `[M, C]` bool, False for those repetitions.
        keys: `[M, K]` int64, packed index.
        allowed: `[M, C, K]` bool, the pairs in reach; `None` if all are.
        back: `[N]` int64, where a token is among the `M * C` queries.
        pairs: `[B]` int64, pairs computed for the tokens of each sequence, `K` a query.
    """

    queries: torch.Tensor
    is_query: torch.Tensor
    keys: torch.Tensor
    allowed: torch.Tensor | None
    back: torch.Tensor
    pairs: torch.Tensor
    biases: dict = field(default_factory=dict, repr=False)

    def bias(self, dtype: torch.dtype) -> torch.Tensor | None:
        """What is added to the scores, `[M, 1, C, K]`: 0 or minus infinity."""
        if self.allowed is not None and dtype not in self.biases:
            zeros = torch.zeros(self.allowed.shape, dtype=dtype, device=self.allowed.device)
            self.biases[dtype] = zeros.masked_fill_(~self.allowed, float("-inf"))[:, None]
        return self.biases.get(dtype)

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        dropout: float = 0.0,
        with_importance: bool = False,
        importance_gradient: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As [`local_attention`], which says what goes in and out."""
        with torch.autocast(query.device.type, enabled=False):
            blocks = _rows(query, self.queries), _rows(key, self.keys), _rows(value, self.keys)
            importance = None
            learns = torch.is_grad_enabled() and any(x.requires_grad for x in blocks)
            if with_importance and (importance_gradient or not learns):
                context, importance = self._explicit(*blocks, dropout)
            else:
                bias = self.bias(query.dtype)
                context = nn.functional.scaled_dot_product_attention(
                    *blocks, attn_mask=bias, dropout_p=dropout, scale=1.0
                )
                if with_importance:  # the weights again, so that the backward pass need not keep them
                    with torch.no_grad():
                        importance = self._explicit(*blocks, dropout=None)[1]
        context = context.transpose(1, 2).flatten(0, 1).index_select(0, self.back)
        return context.transpose(0, 1), importance

    def _explicit(self, query, key, value, dropout: float | None) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Context `[M, H, C, d]` (`None` for a dropout of `None`) and importance, with the weights written out."""
        bias, contexts, received = self.bias(query.dtype), [], []
        for part in _steps(len(self.queries), query.shape[1] * query.shape[2] * key.shape[2]):
            scores = query[part] @ key[part].transpose(2, 3)
            weights = torch.softmax(scores if bias is None else scores.add_(bias[part]), dim=-1)
            # Heads first: repeated queries are taken out of what is then a small tensor.
            by_query = weights.sum(1, dtype=torch.promote_types(weights.dtype, torch.float32))
            received.append((by_query * self.is_query[part, :, None]).sum(1))
            if dropout is not None:
                weights = nn.functional.dropout(weights, dropout) if dropout else weights
                contexts.append(weights @ value[part])
        received = torch.cat(received)
        # In float64, in which the order of a GPU's atomic additions leaves no trace.
        total = received.new_zeros(len(self.back), dtype=torch.float64)
        total = total.index_add(0, self.keys.flatten(), received.flatten().double())
        return torch.cat(contexts) if contexts else None, total.to(received.dtype)


def _rows(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """`[H, N, d]` at `[M, C]` to `[M, H, C, d]`."""
    return x.index_select(1, index.flatten()).unflatten(1, index.shape).transpose(0, 1)


def _steps(blocks: int, weights: int) -> Iterator[slice]:
    """Slices of the blocks, with at most `MAX_WEIGHTS` weights each where one block has `weights`."""
    step = max(1, MAX_WEIGHTS // weights)
    for start in range(0, blocks, step):
        yield slice(start, start + step)


def banded_plan(packed: PackedSequence, half_window: int) -> BandedPlan:
    """Lays out local attention over all alive tokens; kept with `packed`, so that layers alike share it."""
    key = ("banded", half_window)
    if key not in packed.cache:
        packed.cache[key] = _lay_out(packed, half_window)
    return packed.cache[key]


def _lay_out(packed: PackedSequence, half_window: int) -> BandedPlan:
    longest = max(1, int(packed.lengths.max()))
    all_near = packed.shape[1] - 1 <= half_window and bool((packed.lengths == longest).all())
    if all_near:  # no mask, and so nothing to align
        size = near = longest
    else:
        most = min(max(half_window, MIN_QUERY_BLOCK), MAX_QUERY_BLOCK)
        size = _up(-(-longest // -(-longest // most)))
        near = _up(min(size + 2 * half_window, longest))
    table = packed.to_device(_block_table(packed, size, near, half_window))
    first, end, key_start = table[:, :3, None].unbind(1)
    index = first + torch.arange(size, device=table.device)
    is_query, queries = index < end, torch.minimum(index, end - 1)
    index = key_start + torch.arange(near, device=table.device)
    is_key, keys = index < end, torch.minimum(index, end - 1)
    slots = table[:, 3:]
    if slots.shape[1]:
        others = packed.global_index[slots.clamp(min=0)]
        beyond = (slots >= 0) & ((others < key_start) | (others >= key_start + near))
        keys, is_key = torch.cat([keys, others], dim=1), torch.cat([is_key, beyond], dim=1)
    allowed = None
    if not all_near:
        distance = packed.positions[queries][:, :, None] - packed.positions[keys][:, None]
        allowed = ((distance.abs() <= half_window) | packed.is_global[keys][:, None]) & is_key[:, None]
    back = torch.arange(len(packed), device=table.device)
    block = torch.searchsorted(first[:, 0].contiguous(), back, right=True) - 1
    back = back + (torch.arange(len(table), device=table.device) * size - first[:, 0])[block]
    return BandedPlan(queries, is_query, keys, allowed, back, packed.length_tensor * keys.shape[1])


def _block_table(packed: PackedSequence, size: int, near: int, half_window: int) -> np.ndarray:
    """
    `[M, 3 + G]` int64: for each block its first query, the end of its sequence, its first key (packed indices), and,
    where a block's keys need not hold all of its sequence, which global tokens of the batch are its own (-1: none).
    """
    starts, ends = np.array(packed.offsets[:-1]), np.array(packed.offsets[1:])
    blocks = -(-packed.lengths // size)
    of = np.repeat(np.arange(len(blocks)), blocks)
    rank = np.arange(len(of)) - np.repeat(np.cumsum(blocks) - blocks, blocks)
    first = starts[of] + rank * size
    key_start = np.maximum(np.minimum(first - half_window, ends[of] - near), starts[of])
    num_global = packed.num_global if near < packed.lengths.max(initial=0) else np.zeros_like(packed.lengths)
    slots = np.arange(_up(int(num_global.max(initial=0))))
    slots = (np.cumsum(packed.num_global) - packed.num_global)[of, None] + np.where(
        slots < num_global[of, None], slots, -len(packed) - 1
    )
    return np.concatenate([np.stack([first, ends[of], key_start], axis=1), np.maximum(slots, -1)], axis=1)


def _up(size: int) -> int:
    """The next multiple of 8: fused kernels want masks so aligned."""
    return -(-size // 8) * 8
