"""Memory that the layers of a forward pass write over one after the other, instead of each asking for its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch


@dataclass
class Workspace:
    """
    Named buffers of one forward pass without gradients. Tokens only leave, so those of the first layer suffice.

    What is taken under a name is overwritten by what is next taken under it: only what does not leave the layer may
    lie there.
    """

    buffers: dict[str, torch.Tensor] = field(default_factory=dict)

    def take(self, name: str, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """An uninitialised tensor of `shape`, in the dtype and on the device of `like`."""
        size, buffer = math.prod(shape), self.buffers.get(name)
        if buffer is None or len(buffer) < size or buffer.dtype != like.dtype or buffer.device != like.device:
            buffer = self.buffers[name] = like.new_empty(size)
        return buffer[:size].view(shape)
