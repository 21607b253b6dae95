"""Cuts the local attention of a packed batch into tiles: dense products of a few queries with a few keys.

The queries of each sequence are cut into blocks; a short sequence is one block. The keys that a block can see are one
contiguous range of the packed row, because removal only brings tokens closer together, plus the global tokens outside
that range. Blocks are padded a little, and blocks of the same size form a tile, whichever sequences they come from.

Example: lengths 300 and 40, a window of 2 * 64, token 0 of each sequence global, nothing removed yet. The packed row
has `N` = 340 tokens. The first sequence has the blocks of queries `[0, 128)`, `[128, 256)` and `[256, 300)`; the block
`[128, 256)` sees the keys `[64, 300)` and, outside them, the global token 0: 237 keys, padded to 256. The second
sequence is one block: the queries `[300, 340)` see the keys `[300, 340)`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch

from .attention_tiles import Block, Tile, TilePlan
from .packed_sequence import PackedSequence

QUERY_BLOCK = 128
# A sequence of at most this many tokens is one block.
SHORT_SEQUENCE = 256
# The numbers of queries and keys of a tile are multiples of these (of 8 in small tiles): softmax is slow on rows of
# other lengths.
QUERY_STEP, KEY_STEP = 16, 32
# Maximum number of query-key pairs per head in a tile of several blocks, so that they fit in a CPU's cache.
TILE_PAIRS = 2**17


def tile_plan(packed: PackedSequence, half_window: int) -> TilePlan:
    """The plan for all alive tokens. `packed` caches it, so that layers with the same tokens and window share it."""
    key = ("tile_plan", half_window)
    if key not in packed.cache:
        queries = [
            (b, q0, min(q0 + size, end))
            for b, (start, end) in enumerate(zip(packed.offsets, packed.offsets[1:]))
            for size in [QUERY_BLOCK if end - start > SHORT_SEQUENCE else SHORT_SEQUENCE or 1]
            for q0 in range(start, end, size)
        ]
        packed.cache[key] = _plan_of_blocks(packed, queries, half_window)
    return packed.cache[key]


def first_token_plan(packed: PackedSequence, half_window: int) -> TilePlan:
    """The plan for the first token of each sequence. A first token that is global needs no local attention."""
    firsts = enumerate(packed.offsets[:-1])
    queries = [(b, start, start + 1) for b, start in firsts if start not in packed.global_indices[b]]
    plan = _plan_of_blocks(packed, queries, half_window)
    plan.is_complete = False
    return plan


def _plan_of_blocks(packed: PackedSequence, queries: list[tuple[int, int, int]], half_window: int) -> TilePlan:
    """`queries`: for each block its sequence, its first query and the end of its queries."""
    plan = TilePlan(np.zeros(packed.shape[0], dtype=np.int64))
    same_size: dict[tuple, list[Block]] = defaultdict(list)
    for b, q0, q1 in queries:
        block = _block(packed, b, q0, q1, half_window)
        m, c = padded_size(q1 - q0, block.num_keys)
        plan.pairs[b] += m * c
        same_size[m, c, block.all_in_reach].append(block)
    positions, reach = _positions_and_reach(packed, half_window)
    for (m, c, _), blocks in same_size.items():
        for begin, end in groups_of_few_sizes(len(blocks), max(1, TILE_PAIRS // (m * c))):
            plan.tiles.append(Tile(blocks[begin:end], (m, c), positions, reach))
    return plan


def _block(packed: PackedSequence, b: int, q0: int, q1: int, half_window: int) -> Block:
    start, end = packed.offsets[b], packed.offsets[b + 1]
    positions = packed.host_positions[start:end]
    first, last = positions[q0 - start], positions[q1 - 1 - start]
    k0, k1 = positions.searchsorted([first - half_window, last + half_window + 1]).tolist()
    all_in_reach = last - positions[k0] <= half_window and positions[k1 - 1] - first <= half_window
    k0, k1 = start + k0, start + k1
    far = packed.global_indices[b]
    return Block(q0, q1, k0, k1, far[(far < k0) | (far >= k1)], bool(all_in_reach))


def _positions_and_reach(packed: PackedSequence, half_window: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`[N]` float32 each: the position of each token, and how far from it a query may be to see it as a key."""
    positions = packed.positions.float()
    reach = torch.full_like(positions, half_window).masked_fill_(packed.is_global, torch.inf)
    return positions, reach


def padded_size(queries: int, keys: int) -> tuple[int, int]:
    """Numbers of queries and keys that are computed for a block of this size. A single query is not padded."""
    return (queries if queries == 1 else padded(queries, QUERY_STEP)), padded(keys, KEY_STEP)


def padded(number: int, step: int) -> int:
    """The next multiple of `step`; up to 32 the next multiple of 8, and up to 64 of 16, if these are less."""
    step = min(step, 8 if number <= 32 else 16 if number <= 64 else step)
    return -(-number // step) * step


def groups_of_few_sizes(number: int, most: int | None = None) -> Iterator[tuple[int, int]]:
    """Cuts `number` items into ranges of at most `most`, whose sizes are `2^n` or `3 * 2^n`: `7 -> (0, 6), (6, 7)`.

    oneDNN compiles a kernel for each shape of a product. With few shapes, all kernels are soon compiled.
    """
    begin = 0
    while begin < number:
        left = min(number - begin, most or number)
        power = 2 ** (left.bit_length() - 1)
        end = begin + (power * 3 // 2 if 1 < power and left >= power * 3 // 2 else power)
        yield begin, end
        begin = end
