"""Dropout whose mask is drawn again in the backward pass, instead of being stored."""

from __future__ import annotations

import numpy as np
import torch

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by size in bytes


def draw_seed(p: float) -> int | None:
    """The seed with which the forward and the backward pass drop the same elements; `None` without dropout."""
    return int(torch.randint(2**62, (), device="cpu")) if p else None


class Dropout:
    """Drops elements. Two objects with the same seed drop the same elements in the same sequence of calls.

    Args:
        p: probability of dropping an element.
        seed: a number of `draw_seed`.
        device: where the tensors are.

    `scale` is what the elements that stay have to be multiplied by, which is left to the caller: `1 / (1 - p)`; 1 for
    a `p` of 1.
    """

    def __init__(self, p: float, seed: int, device: torch.device | str = "cpu"):
        self.p, self.scale = p, 1 / (1 - p) if p < 1 else 1.0
        on_cpu = torch.device(device).type == "cpu"
        self._draws = np.random.SFC64(seed) if on_cpu else torch.Generator(device).manual_seed(seed)

    def drop_(self, *tensors: torch.Tensor) -> None:
        """Sets the same elements of contiguous `tensors` (one shape) to 0, in place.

        Each random 64-bit word is split into four int16, which decide about four elements. On a CPU, NumPy's SFC64
        draws the words in 0.7 of the time of PyTorch's generator. A product of integers (with 0 or 1) drops elements
        in a tenth (bfloat16) or a third (float32) of what a comparison to a bool and a product of floats take.
        """
        drawn = self._draw(tensors[0])
        highest_dropped = max(round(self.p * 2**16) - 2**15 - 1, -(2**15))  # an int16 for each `p` above 0
        stays = torch.gt(drawn, highest_dropped, out=torch.empty_like(drawn))  # 0 or 1; to int16 it is vectorised
        for tensor in tensors:
            tensor.view(INTEGERS[tensor.element_size()]).mul_(stays)

    def _draw(self, like: torch.Tensor) -> torch.Tensor:
        """int16 of the shape and on the device of `like`, uniform in -2^15 to 2^15 - 1."""
        count = -(-like.numel() // 4)
        if isinstance(self._draws, torch.Generator):
            words = torch.empty(count, dtype=torch.int64, device=like.device)
            drawn = words.random_(-(2**63), None, generator=self._draws).view(torch.int16)
        else:
            drawn = torch.from_numpy(self._draws.random_raw(count).view(np.int16))
        return drawn[: like.numel()].view(like.shape)
