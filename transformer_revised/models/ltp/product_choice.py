"""Chooses the library that computes matrix products on a CPU: oneDNN, or the BLAS library that PyTorch is built with.

The choice depends on the instruction set and the dtype, by a table that `python -m benchmarks.products` measures.
Nothing is timed when a program runs, so that the choice is the same in every run. The environment variable
`LTP_CPU_PRODUCTS` (`auto`, `onednn` or `blas`) and [`set_cpu_products`] override it.
"""

from __future__ import annotations

import os

import torch

AUTO, ONEDNN, BLAS = "auto", "onednn", "blas"
LIBRARIES = (AUTO, ONEDNN, BLAS)
ENVIRONMENT = "LTP_CPU_PRODUCTS"
# The faster library by PyTorch's name of the instruction set, and dtype. Where nothing was measured PyTorch's own
# products are computed. docs/performance.md names the processors.
FASTER = {
    ("AVX512", torch.float32): ONEDNN,
    ("AVX512", torch.bfloat16): ONEDNN,
    ("AVX2", torch.float32): BLAS,
}


def _onednn_dtypes() -> tuple[torch.dtype, ...]:
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return ()
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.float32, torch.bfloat16
    return (torch.float32,)


ONEDNN_DTYPES = _onednn_dtypes()  # the dtypes that oneDNN multiplies on this processor
_setting: str | None = None
_choices: dict[torch.dtype, bool] = {}


def set_cpu_products(library: str) -> None:
    """Computes products on a CPU with `"onednn"` or `"blas"`, or with the faster one of the table (`"auto"`).

    Raises ValueError for another name.
    """
    global _setting
    if library not in LIBRARIES:
        raise ValueError(f"matrix products on a CPU: {library!r} is none of {', '.join(LIBRARIES)}")
    _setting = library
    _choices.clear()


def uses_onednn(dtype: torch.dtype) -> bool:
    """Whether products in `dtype` go through oneDNN on this CPU.

    Raises ValueError if `LTP_CPU_PRODUCTS` is not one of `LIBRARIES`.
    """
    if dtype not in _choices:
        _choices[dtype] = dtype in ONEDNN_DTYPES and _library(dtype) == ONEDNN
    return _choices[dtype]


def _library(dtype: torch.dtype) -> str:
    asked = _setting or os.environ.get(ENVIRONMENT) or AUTO
    if asked not in LIBRARIES:
        raise ValueError(f"{ENVIRONMENT}={asked}: expected {', '.join(LIBRARIES)}")
    return FASTER.get((torch.backends.cpu.get_cpu_capability(), dtype), BLAS) if asked == AUTO else asked
