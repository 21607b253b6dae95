"""Measures the peak memory of a forward pass: on a CPU in a new process, so that other runs do not count."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

import torch

from benchmarks.common import free_unused_memory
from benchmarks.speed.models import SIZES, build_models
from benchmarks.speed.pruning import set_thresholds
from benchmarks.speed.work import make_batch

PASSES = 2  # the first pass also allocates what a model keeps for later ones, such as weights in another layout


def peak_on_gpu(forward: Callable[[], object]) -> int:
    """Returns the bytes that `forward` allocates at its peak, beyond those allocated before."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    forward()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def peak_in_new_process(*arguments) -> int:
    """Returns [`peak_growth`] of these arguments, measured in a new process."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(peak_growth, *arguments).result()


def peak_growth(
    model: str,
    dtype: str,
    size: str,
    seed: int,
    ltp_attn: str | None,
    thresholds: Sequence[float] | None,
    lengths: Sequence[int],
    width: int,
    threads: int,
) -> int:
    """Returns the bytes by which this process's resident memory grows, at its peak, in forward passes of one batch.

    Args:
        model, dtype, size: names in `MODELS`, `DTYPES` and `SIZES` of `benchmarks.speed.models`.
        thresholds: those of `ltp_pruned`; None for other models.
        lengths, width: as in `benchmarks.speed.work.make_batch`.
    """
    torch.set_num_threads(threads)
    classifier = build_models([model], [dtype], SIZES[size], seed, ltp_attn)[model, dtype]
    if thresholds:
        set_thresholds(classifier, thresholds)
    batch = make_batch(lengths, SIZES[size], seed, width)
    free_unused_memory()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM
    before = _status_bytes("VmRSS") or _peak_bytes()
    with torch.no_grad():
        for _ in range(PASSES):
            classifier(**batch)
    return _peak_bytes() - before


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return _status_bytes("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status_bytes(name: str) -> int | None:
    """A number of /proc/self/status in bytes; None where that file does not exist."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
