"""How local attention over a packed batch is cut into tiles: dense products of some queries with some keys.

Queries are cut into blocks, a short sequence being one. Since removal only brings neighbours closer together in the
packed row, the keys a block may see are one contiguous range of it (found by bisection on the positions), plus the
global tokens outside that range. Blocks are padded a little, and those of one size, of whichever sequences, are
multiplied together as a tile. Pairs inside a tile that are out of reach are masked.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from .packed_sequence import PackedSequence

QUERY_BLOCK = 128
# A sequence of at most this many tokens is one block.
SHORT_SEQUENCE = 256
# Tiles have a multiple of so many queries and keys, small ones of 8: softmax is slow on rows of other lengths.
QUERY_STEP, KEY_STEP = 16, 32
# Most pairs of a tile with several blocks, for each head: what stays in a cache.
TILE_PAIRS = 2**17


@dataclass
class Block:
    """Queries `[q0, q1)` of the packed row against the keys `far`, then `[k0, k1)`."""

    q0: int
    q1: int
    k0: int
    k1: int
    far: np.ndarray  # global tokens outside [k0, k1)
    all_in_reach: bool  # whether every query may see every key

    @property
    def size(self) -> tuple[int, int]:
        """Queries and keys once padded."""
        return padded_size(self.q1 - self.q0, self.k1 - self.k0 + len(self.far))


class Tile:
    """
    `G` blocks of `m` queries and `c` keys, padding included: rows of `[H, N, d]` tensors as `[H * G, m or c, d]`.

    Args:
        packed: the tokens.
        blocks: all of one `size`.
        half_window: how far apart the positions of a query and of a key may be; `None` where no pair is masked.
    """

    def __init__(self, packed: PackedSequence, blocks: list[Block], half_window: int | None):
        self.packed, self.blocks, self.half_window = packed, blocks, half_window
        self.shape = len(blocks), *blocks[0].size
        device = packed.positions.device
        query_index, real = self._query_index()
        self.query_index = torch.as_tensor(query_index, device=device)
        # of the queries that are not padding: their place in the tile and, below, their packed index
        self.places = None if real.all() else torch.as_tensor(real.nonzero()[0], device=device)
        self.real_queries = torch.as_tensor(real, device=device).view(self.shape[:2])
        self.tokens = self.query_index if self.places is None else self.query_index[self.places]
        key_index, padding = self._key_index()
        self.key_index = torch.as_tensor(key_index, device=device)
        self._key_padding = torch.as_tensor(padding, device=device) if padding.any() else None
        self._biases: dict[torch.dtype, torch.Tensor] = {}

    def _query_index(self) -> tuple[np.ndarray, np.ndarray]:
        begin = np.array([[block.q0] for block in self.blocks])
        length = np.array([[block.q1 - block.q0] for block in self.blocks])
        place = np.arange(self.shape[1])
        real = place < length  # the block's last query stands in for padding
        return (begin + np.minimum(place, length - 1)).ravel(), real.ravel()

    def _key_index(self) -> tuple[np.ndarray, np.ndarray]:
        index = np.empty((self.shape[0], self.shape[2]), dtype=np.int64)
        padding = np.zeros(index.shape, dtype=bool)
        for row, pad, block in zip(index, padding, self.blocks):
            far, keys = len(block.far), len(block.far) + block.k1 - block.k0
            row[:far] = block.far
            row[far:keys] = np.arange(block.k0, block.k1)
            row[keys:] = block.k0
            pad[keys:] = True
        return index.ravel(), padding

    @property
    def _query_slice(self) -> slice | None:
        """The queries in the packed row, if they are one block without padding."""
        if len(self.blocks) == 1 and self.places is None:
            return slice(self.blocks[0].q0, self.blocks[0].q1)
        return None

    def queries(self, x: torch.Tensor) -> torch.Tensor:
        """Rows of `x` (`[H, N, d]`) for the queries, `[H * G, m, d]`."""
        if self._query_slice is not None:
            # A copy: oneDNN compiles a product for the strides it has, here those of the whole row.
            return x[:, self._query_slice].contiguous()
        return x.index_select(1, self.query_index).view(-1, self.shape[1], x.shape[2])

    def query_gradients(self, x: torch.Tensor) -> torch.Tensor:
        """`queries`, with zeros for padding."""
        queries = self.queries(x)
        if self.places is not None:
            queries.view(-1, *self.shape[:2], x.shape[2]).mul_(self.real_queries[:, :, None])
        return queries

    def keys(self, x: torch.Tensor) -> torch.Tensor:
        """Rows of `x` for the keys, `[H * G, c, d]`."""
        return x.index_select(1, self.key_index).view(-1, self.shape[2], x.shape[2])

    def put_product(self, target: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
        """Writes `a @ b` (`[H * G, m, d]`) to the rows of the queries in `target`, `[H, N, d]`."""
        if self._query_slice is not None:
            target[:, self._query_slice] = a @ b
            return
        values = (a @ b).view(target.shape[0], -1, target.shape[2])
        target.index_copy_(1, self.tokens, values if self.places is None else values.index_select(1, self.places))

    def add_keys(self, target: torch.Tensor, values: torch.Tensor) -> None:
        """Adds `values` (`[H * G, c, d]`) to the rows of the keys in `target`, `[H, N, d]`."""
        values = values.view(target.shape[0], self.shape[0], self.shape[2], target.shape[2])
        for g, block in enumerate(self.blocks):  # sums of slices: `index_add_` goes row by row
            far = len(block.far)
            target[:, block.k0 : block.k1] += values[:, g, far : far + block.k1 - block.k0]
            if far:
                target.index_add_(1, self.key_index.view(self.shape[0], -1)[g, :far], values[:, g, :far])

    def add_received(self, importance: torch.Tensor, probabilities: torch.Tensor) -> None:
        """Adds what each key receives of `probabilities` (`[H * G, m, c]`) to `importance`, `[N]`."""
        dtype = importance.dtype
        if self._query_slice is not None:
            received = probabilities.sum((0, 1), dtype=dtype)
        else:
            received = self._by_block(probabilities).sum(0, dtype=dtype)
            if self.places is not None:  # a padded query gives nothing
                received.mul_(self.real_queries[:, :, None])
            received = received.sum(1)
        importance.index_add_(0, self.key_index, received.flatten())

    def add_received_gradient(self, grad_probabilities: torch.Tensor, grad_importance: torch.Tensor) -> None:
        """The gradient of `add_received`, added to that of the probabilities in place."""
        received = grad_importance[self.key_index].to(grad_probabilities.dtype).view(self.shape[0], 1, self.shape[2])
        self._by_block(grad_probabilities).add_(received * self.real_queries[:, :, None])

    def scores(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """`queries @ keys^T`, `[H * G, m, c]`; pairs that are out of reach lie below what a softmax sees."""
        if self.half_window is None:
            return queries @ keys.transpose(1, 2)
        # The product is added to a copy of the mask while it is made: `masked_fill_` with a mask that is broadcast
        # takes several times as long as the product, and adding the mask afterwards a third of it.
        scores = self._bias(queries.dtype).repeat(len(queries) // self.shape[0], 1, 1)
        return torch.baddbmm(scores, queries, keys.transpose(1, 2), out=scores)

    def _bias(self, dtype: torch.dtype) -> torch.Tensor:
        """What is added to the scores, `[G, m, c]`."""
        if dtype not in self._biases:
            lowest = torch.tensor(torch.finfo(dtype).min, dtype=dtype, device=self.query_index.device)
            self._biases[dtype] = torch.where(self.blocked, lowest, lowest * 0)
        return self._biases[dtype]

    @property
    def blocked(self) -> torch.Tensor:
        """Pairs that are out of reach, `[G, m, c]` bool. The position of a global key is NaN: no distance exceeds."""
        positions, key_positions = _float_positions(self.packed)
        queries = positions[self.query_index].view(self.shape[0], -1, 1)
        keys = key_positions[self.key_index].view(self.shape[0], 1, -1)
        if self._key_padding is not None:
            keys = keys.masked_fill(self._key_padding[:, None], torch.inf)
        half_window = torch.inf if self.half_window is None else self.half_window
        return (queries - keys).abs_() > half_window

    def _by_block(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(-1, *self.shape[:2], x.shape[2])


def _float_positions(packed: PackedSequence) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions as numbers that hold NaN, `[N]` float32, and the same with NaN for global tokens."""
    if "float_positions" not in packed.cache:
        positions = packed.positions.float()
        packed.cache["float_positions"] = positions, positions.masked_fill(packed.is_global, torch.nan)
    return packed.cache["float_positions"]


@dataclass
class AttentionPlan:
    """The tiles of one set of alive tokens and one window, and the query-key pairs they compute in each sequence."""

    pairs: np.ndarray  # [B] int64
    tiles: list[Tile] = field(default_factory=list)
    is_complete: bool = True  # whether every token is a query


def attention_plan(packed: PackedSequence, half_window: int) -> AttentionPlan:
    """Lays out local attention over all alive tokens; kept with `packed`, so that layers alike share it."""
    key = ("plan", half_window)
    if key not in packed.cache:
        blocks = [
            (b, q0, min(q0 + size, end))
            for b, (start, end) in enumerate(zip(packed.offsets, packed.offsets[1:]))
            for size in [QUERY_BLOCK if end - start > SHORT_SEQUENCE else SHORT_SEQUENCE or 1]
            for q0 in range(start, end, size)
        ]
        packed.cache[key] = _plan(packed, blocks, half_window)
    return packed.cache[key]


def first_token_plan(packed: PackedSequence, half_window: int) -> AttentionPlan:
    """Local attention of each sequence's first token only; none where that is global and so needs none."""
    firsts = enumerate(packed.offsets[:-1])
    blocks = [(b, start, start + 1) for b, start in firsts if start not in packed.global_indices[b]]
    plan = _plan(packed, blocks, half_window)
    plan.is_complete = False
    return plan


def _plan(packed: PackedSequence, queries: list[tuple[int, int, int]], half_window: int) -> AttentionPlan:
    """`queries`: sequence, begin and end of each block."""
    plan = AttentionPlan(np.zeros(packed.shape[0], dtype=np.int64))
    alike: dict[tuple, list[Block]] = defaultdict(list)
    for b, q0, q1 in queries:
        block = _block(packed, b, q0, q1, half_window)
        m, c = block.size
        plan.pairs[b] += m * c
        is_masked = not block.all_in_reach or c > block.k1 - block.k0 + len(block.far)
        alike[m, c, is_masked].append(block)
    for (m, c, is_masked), blocks in alike.items():
        for begin, end in powers_of_two(len(blocks), max(1, TILE_PAIRS // (m * c))):
            plan.tiles.append(Tile(packed, blocks[begin:end], half_window if is_masked else None))
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


def padded_size(queries: int, keys: int) -> tuple[int, int]:
    """How many queries and keys are computed where a block has so many; a single query is not padded."""
    return (queries if queries == 1 else padded(queries, QUERY_STEP)), padded(keys, KEY_STEP)


def padded(number: int, step: int) -> int:
    """`number` up to the next multiple of `step`; of 8 up to 32, of 16 up to 64, if these are less."""
    step = min(step, 8 if number <= 32 else 16 if number <= 64 else step)
    return -(-number // step) * step


def powers_of_two(number: int, most: int | None = None) -> Iterator[tuple[int, int]]:
    """
    Cuts `number` into parts whose sizes are powers of two, at most `most`: `7 -> (0, 4), (4, 6), (6, 7)`.

    oneDNN compiles each product for its shape: of few shapes, it has soon compiled all.
    """
    begin = 0
    while begin < number:
        end = begin + 2 ** (min(number - begin, most or number).bit_length() - 1)
        yield begin, end
        begin = end


def one_block_pairs(lengths: np.ndarray) -> np.ndarray:
    """Pairs computed for sequences of at most `SHORT_SEQUENCE` tokens, `[B]` int64."""
    return np.array([math.prod(padded_size(n, n)) for n in lengths.tolist()], dtype=np.int64)
