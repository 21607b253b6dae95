"""Dropout on a CPU without drawing a random number for each element.

Random numbers are most of the cost of dropout on a CPU. Here a mask is the bitwise AND of two slices of two tables of
random bits. The tables are the same in each process; where a slice begins is random. An entry of a table keeps with
probability `sqrt(1 - p)`, so that an element stays with probability `1 - p`.
"""

from __future__ import annotations

import functools
import math
import random

import torch

TABLE = 2**20  # entries of a table
# Elements that are dropped with one pair of slices: they stay in a core's cache between the two operations.
SLICE = 2**17
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def draw_seed(p: float) -> int | None:
    """The seed with which the forward and the backward pass drop the same elements; `None` without dropout."""
    return int(torch.randint(2**62, (), device="cpu")) if p else None


class Dropout:
    """Drops elements. Two objects with the same seed drop the same elements in the same sequence of calls.

    Args:
        p: probability of dropping an element.
        seed: a number of `draw_seed`.

    `scale` is what the elements that stay have to be multiplied by, which is left to the caller: `1 / (1 - p)`; 1 for
    a `p` of 1.
    """

    def __init__(self, p: float, seed: int):
        self.p, self.scale = p, 1 / (1 - p) if p < 1 else 1.0
        self._random = random.Random(seed)

    def drop_(self, *tensors: torch.Tensor) -> None:
        """Sets the same elements of contiguous `tensors` (one shape and dtype) to 0, in place."""
        bits = _BITS[tensors[0].element_size()]
        a, b = _tables(self.p, bits, tensors[0].device)
        flat = [tensor.view(-1).view(bits) for tensor in tensors]
        for begin in range(0, len(flat[0]), SLICE):
            parts = [values[begin : begin + SLICE] for values in flat]
            size = len(parts[0])
            first, second = (int(self._random.random() * (TABLE - size + 1)) for _ in range(2))
            first, second = a[first : first + size], b[second : second + size]
            if len(parts) > 1:
                first = second = first & second
            for part in parts:
                part &= first
                if len(parts) == 1:
                    part &= second


@functools.lru_cache(maxsize=4)
def _tables(p: float, bits: torch.dtype, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Two tables, `[TABLE]`: all bits set with probability `sqrt(1 - p)`, else 0."""
    generator = torch.Generator("cpu").manual_seed(0)
    kept = round(math.sqrt(1 - p) * TABLE)
    orders = [torch.randperm(TABLE, generator=generator, device="cpu") for _ in range(2)]
    return tuple((order < kept).to(device, bits).neg_() for order in orders)
