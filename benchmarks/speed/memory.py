"""Peak memory of a forward pass: on a CPU in a process of its own, so that nothing is left over from other runs."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
PASSES = 2  # the first one also allocates what a model keeps for the next, such as weights in another layout


def peak_on_gpu(forward: Callable[[], object]) -> int:
    """Bytes that `forward` allocates at its peak, beyond those allocated before."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    forward()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def peak_in_new_process(
    model: str,
    dtype: str,
    size: str,
    seed: int,
    ltp_attn: str | None,
    thresholds: list[float] | None,
    lengths: list[int],
    width: int,
    threads: int,
) -> int:
    """
    Bytes by which the resident memory of a new process grows, at its peak, in forward passes over one batch.

    Args:
        thresholds: of `ltp_pruned`.
        lengths, width: as in [`~benchmarks.speed.work.make_batch`].

    Raises:
        RuntimeError: the process failed; the message has its last lines.
    """
    spec = {
        "model": model, "dtype": dtype, "size": size, "seed": seed, "ltp_attn": ltp_attn, "thresholds": thresholds,
        "lengths": lengths, "width": width, "threads": threads,
    }  # fmt: skip
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.memory", json.dumps(spec)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"memory of {model} in {dtype}: status {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])["peak_bytes"]


def _measure(spec: dict) -> int:
    from benchmarks.speed.models import SIZES, build_models
    from benchmarks.speed.pruning import set_thresholds
    from benchmarks.speed.work import make_batch

    torch.set_num_threads(spec["threads"])
    size, key = SIZES[spec["size"]], (spec["model"], spec["dtype"])
    model = build_models([key[0]], [key[1]], size, spec["seed"], spec["ltp_attn"])[key]
    if spec["thresholds"]:
        set_thresholds(model, spec["thresholds"])
    batch = make_batch(spec["lengths"], size, spec["seed"], spec["width"])
    _give_back()
    _reset_peak()
    before = _resident()
    with torch.no_grad():
        for _ in range(PASSES):
            model(**batch)
    return _peak() - before


def _give_back() -> None:
    """What building the model has left goes back to the system, where the C library can do that."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM
    except OSError:
        pass


def _resident() -> int:
    return _status("VmRSS") or _peak()


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(name: str) -> int | None:
    """Bytes of a line of /proc/self/status, or None where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


if __name__ == "__main__":
    print(json.dumps({"peak_bytes": _measure(json.loads(sys.argv[1]))}))
