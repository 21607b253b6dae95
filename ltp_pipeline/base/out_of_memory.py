"""Recognises that memory has run out, on a CPU or a GPU, and names the flags that lower the need."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ltp_pipeline.base.errors import UserError

# Parts of messages of RuntimeErrors: PyTorch's allocators for CPU, CUDA and MPS, and the libraries of NVIDIA
MESSAGES = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
)


class OutOfMemory(UserError):
    """Memory has run out. The message names the flags to lower."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory could not be allocated."""
    if isinstance(error, MemoryError):
        return True
    if "torch" in sys.modules and isinstance(error, sys.modules["torch"].OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, (RuntimeError, OSError)) and any(part.lower() in text for part in MESSAGES)


def describe(error: BaseException) -> str:
    """`out of memory`, with the size that could not be allocated if `error` tells it."""
    size = re.search(r"tried to allocate ([\d.]+ ?\w+)", str(error), re.IGNORECASE)
    size = size or re.search(r"unable to allocate ([\d.]+ ?\w+)", str(error), re.IGNORECASE)
    return f"out of memory ({size[1]} more were needed)" if size else "out of memory"


@contextmanager
def out_of_memory_names(*flags: str) -> Iterator[None]:
    """Running out of memory in the block raises OutOfMemory, which names the flags to lower.

    The innermost block decides if blocks are nested.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(f"{describe(error)}; lower {' or '.join(flags)}") from None
