"""Says on which devices the CPU should not wait for results, and excludes functions from `torch.compile`."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

# On these devices `.item()`, `.tolist()` and `.cpu()` wait until the device has finished all work queued before them.
DEVICES_THAT_STALL = ("cuda",)


def reading_back_stalls(device: torch.device) -> bool:
    """Whether the forward pass should read as few numbers as possible back from `device`."""
    return device.type in DEVICES_THAT_STALL


def run_uncompiled(function: Callable) -> Callable:
    """Decorator: `torch.compile` calls the function instead of tracing it.

    It is for functions whose steps depend on which tokens are alive. `torch.compiler.disable` at import time would
    import the compiler for every user, so it is applied only while something is compiled.
    """

    @functools.wraps(function)
    def call(*args, **kwargs):
        if torch.compiler.is_compiling():
            return torch.compiler.disable(function)(*args, **kwargs)
        return function(*args, **kwargs)

    return call
