"""Window + global attention over a packed row by FlexAttention: `attn_implementation="flex_attention"`.

In the packed row the keys a query has in its window are one stretch `[low, high)`, found on the device by bisection;
to these come the global tokens of its sequence. Which 128 x 128 blocks hold such pairs follows from their borders.
The kernels are compiled once for all lengths; on a CPU their definition is run as it stands, with all `[N, N]` scores,
which serves to test the masks and not to be fast.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from .packed_sequence import PackedSequence

BLOCK = 128
# Triton multiplies no narrower matrices.
MIN_HEAD_DIM = 16


@dataclass
class FlexPlan:
    """
    Args:
        mask, transposed: the `BlockMask`s of queries against keys, and of keys against queries.
        padding: tokens that fill up the last block; each sees itself and nothing else.
        pairs: `[B]` int64, pairs computed for the tokens of each sequence: those of all blocks that are not empty.
    """

    mask: object
    transposed: object
    padding: int
    pairs: torch.Tensor

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, with_importance: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As [`local_attention`], which says what goes in and out, without dropout or importance gradients."""
        n = query.shape[1]
        with torch.autocast(query.device.type, enabled=False):
            query, key, value = (self._pad(x)[None] for x in (query, key, value))
            if not with_importance:
                return _run(_context, query, key, value, self.mask)[0, :, :n], None
            context, lse = _run(_context_and_lse, query, key, value, self.mask)
            with torch.no_grad():
                received = _run(_received, key.detach(), query.detach(), lse.detach(), self.transposed)
        return context[0, :, :n], received[0, :, :n].exp().sum(0)

    def _pad(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pad(x, (0, 0, 0, self.padding)) if self.padding else x


def _context(query, key, value, mask):
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention(query, key, value, block_mask=mask, scale=1.0)


def _context_and_lse(query, key, value, mask):
    from torch.nn.attention.flex_attention import AuxRequest, flex_attention

    context, aux = flex_attention(query, key, value, block_mask=mask, scale=1.0, return_aux=AuxRequest(lse=True))
    return context, aux.lse


def _received(key, query, lse, transposed):
    """
    Logarithm of the attention each key receives from each head, `[1, H, N]`: attention with the roles exchanged, whose
    scores are `q_i . k_j - lse_i`. A query that sees nothing has an `lse_i` of minus infinity, but then none sees it.
    """
    from torch.nn.attention.flex_attention import AuxRequest, flex_attention

    def log_weight(score, batch, head, j, i):
        return score - lse[batch, head, i]

    # The context that comes with it is of no use: as few columns as a kernel takes.
    _, aux = flex_attention(
        key, query, query[..., :MIN_HEAD_DIM], log_weight, transposed, scale=1.0, return_aux=AuxRequest(lse=True)
    )
    return aux.lse


def _run(function: Callable, query: torch.Tensor, *others):
    variant = query.dtype, query.shape[1::2], torch.is_grad_enabled()
    return _kernel(function, query.device.type, *variant)(query, *others)


@functools.cache
def _kernel(function: Callable, device: str, *_variant) -> Callable:
    """
    Compiled when first called, for all lengths at once; with `fullgraph`, as what is not fused takes N^2 memory.

    Each variant is compiled from a code object of its own: of one, the compiler keeps no more than a few variants.
    """
    copy = types.FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
    return torch.compile(copy, dynamic=True, fullgraph=True, backend="eager" if device == "cpu" else "inductor")


def flex_plan(packed: PackedSequence, half_window: int) -> FlexPlan:
    """Lays out local attention over all alive tokens, on their device; kept with `packed`."""
    key = ("flex", half_window)
    if key not in packed.cache:
        packed.cache[key] = _lay_out(packed, half_window)
    return packed.cache[key]


def _lay_out(packed: PackedSequence, half_window: int) -> FlexPlan:
    from torch.nn.attention.flex_attention import BlockMask

    # Two blocks at least: for a single one the compiler would make kernels of its own.
    padding = max(-len(packed) % BLOCK, 2 * BLOCK - len(packed))
    own = torch.arange(len(packed), len(packed) + padding, device=packed.rows.device)
    # One coordinate for sequence and position: two tokens of different sequences are out of any window's reach.
    place = packed.rows * (packed.shape[1] + half_window + 1) + packed.positions
    low = torch.cat([torch.searchsorted(place, place - half_window), own])
    high = torch.cat([torch.searchsorted(place, place + half_window, right=True), own + 1])
    row = nn.functional.pad(packed.rows, (0, padding), value=packed.shape[0])
    global_of = nn.functional.pad(packed.rows.masked_fill(~packed.is_global, -1), (0, padding), value=-1)

    def in_reach(b, h, i, j):
        return ((j >= low[i]) & (j < high[i])) | (row[i] == global_of[j])

    def in_reach_transposed(b, h, j, i):
        return ((i >= low[j]) & (i < high[j])) | (row[i] == global_of[j])

    some, all_ = _blocks_in_reach(low, high, row, global_of)
    part, full, part_t, full_t = (_listed(layout) for layout in (some, all_, some.T, all_.T))
    size = (len(row), len(row))
    mask = BlockMask(size, *part, *full, *part_t, *full_t, BLOCK_SIZE=(BLOCK, BLOCK), mask_mod=in_reach)
    transposed = BlockMask(
        size, *part_t, *full_t, *part, *full, BLOCK_SIZE=(BLOCK, BLOCK), mask_mod=in_reach_transposed
    )
    keys_read = BLOCK * (part[0] + full[0])[0, 0].long()
    pairs = packed.sum(keys_read.repeat_interleave(BLOCK, output_size=len(row))[: len(packed)])
    return FlexPlan(mask, transposed, padding, pairs)


def _listed(layout: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    `[rows, columns]` bool as a `BlockMask` keeps it: how many of each row, `[1, 1, rows]`, and which, `[1, 1, rows,
    columns]`, the others behind them. Tensors of their own, as the compiler would tell slices of one by their offsets.
    """
    layout = layout.to(torch.int8, memory_format=torch.contiguous_format)
    order = layout.argsort(dim=1, descending=True, stable=True)
    return layout.sum(dim=1, dtype=torch.int32)[None, None], order.int()[None, None]


def _blocks_in_reach(low, high, row, global_of) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Blocks of queries against blocks of keys, two `[blocks, blocks]` bool: where some, though perhaps not all pairs are
    in reach, and where all are.

    Args:
        low, high: `[N]` int64, ascending, each query's stretch of keys in its window; `N` a multiple of `BLOCK`.
        row, global_of: `[N]` int64, sequence of each query, ascending, and of each global key (-1: not global).
    """
    start = torch.arange(0, len(row), BLOCK, device=row.device)
    end = start + BLOCK
    low, high, row, global_of = (x.view(-1, BLOCK) for x in (low, high, row, global_of))
    near = (start < high[:, -1:]) & (end > low[:, :1])
    all_ = (start >= low[:, -1:]) & (end <= high[:, :1])
    # A block of keys holds global tokens of the sequences between these, if of any.
    least = global_of.where(global_of >= 0, torch.iinfo(global_of.dtype).max).amin(dim=1)
    most = global_of.amax(dim=1)
    far = (least <= row[:, -1:]) & (most >= row[:, :1])
    return (near | far) & ~all_, all_
