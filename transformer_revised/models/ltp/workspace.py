"""Memory that the layers of a forward pass use again, so that it is mapped by the system once."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

import torch


@dataclass
class Workspace:
    """Named buffers that the layers of one forward pass reuse, instead of allocating memory in each layer.

    A tensor taken under a name is overwritten by the next tensor taken under that name, so a layer must not return it.
    Tokens are only removed, so the buffers of the first layer are large enough for all layers.
    """

    buffers: dict[str, torch.Tensor] = field(default_factory=dict)

    def take(self, name: str, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """An uninitialised tensor of `shape`, with the dtype and device of `like`."""
        size, buffer = math.prod(shape), self.buffers.get(name)
        if buffer is None or len(buffer) < size or buffer.dtype != like.dtype or buffer.device != like.device:
            buffer = self.buffers[name] = like.new_empty(size)
        return buffer[:size].view(shape)


@functools.cache
def keep_freed_memory() -> None:
    """Makes the C library of Linux keep up to 64 MiB of freed memory, once in a process.

    Otherwise results of a few MiB, which each layer makes and frees, are given back to the system every time, and new
    memory costs a page fault for every 4 KiB. The GNU C library adapts its limits to the largest block that was freed,
    up to 32 MiB ("dynamic mmap threshold", mallopt(3)), unless the environment sets them. Elsewhere nothing happens.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8)  # freed at once; its pages are never touched
