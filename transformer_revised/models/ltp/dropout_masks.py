"""Dropout whose mask is drawn again in the backward pass, instead of being stored."""

from __future__ import annotations

import torch


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
        self._generator = torch.Generator(device).manual_seed(seed)

    def drop_(self, *tensors: torch.Tensor) -> None:
        """Sets the same elements of contiguous `tensors` (one shape) to 0, in place.

        Each random int64 is split into four int16, which decide about four elements. Drawing random numbers is most of
        the cost of dropout on a CPU: this takes a third (float32) or half (bfloat16) of the time of `bernoulli_`.
        """
        size, device = tensors[0].numel(), tensors[0].device
        words = torch.empty(-(-size // 4), dtype=torch.int64, device=device)
        words.random_(-(2**63), None, generator=self._generator)
        drawn = words.view(torch.int16)[:size].view(tensors[0].shape)  # uniform in -2^15 to 2^15 - 1
        highest_dropped = max(round(self.p * 2**16) - 2**15 - 1, -(2**15))  # an int16 for each `p` above 0
        stays = (drawn > highest_dropped).to(tensors[0].dtype)
        for tensor in tensors:
            tensor.mul_(stays)
