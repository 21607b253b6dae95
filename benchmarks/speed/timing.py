"""Paired timing: in every round each run once, in rotating order, so that what the machine does meanwhile hits all."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from benchmarks.speed.models import DTYPES, Size

LEAST_ROUNDS = 3
MOST_CALLS = 20  # of a short run in one round


@dataclass(frozen=True)
class Limits:
    """
    Args:
        rounds: most rounds.
        seconds: what they may take, if that is enough for `LEAST_ROUNDS`.
        warm_ups: calls of each run's first step before the rounds.
        short: seconds below which a run is repeated within its round, after one call that is not timed.
        settled: seconds below which a run is called once, not timed, before it is timed in a round. It would otherwise
            be measured with the caches and the memory that the run before it, another model's, has left.
    """

    rounds: int
    seconds: float
    warm_ups: int
    short: float
    settled: float = 0.0


@dataclass
class Timed:
    """
    Args:
        steps: calls that are timed as one; a warm-up makes the first one only.
        prepare: called before, not timed.
        practice: how many times all steps are called after the warm-ups, not timed.
    """

    key: Hashable
    steps: Sequence[Callable[[], object]]
    prepare: Callable[[], object] = lambda: None
    practice: int = 0


def time_in_rounds(
    runs: Sequence[Timed], rounds: int | None, limits: Limits, device: torch.device
) -> dict[Hashable, list[float]]:
    """
    Seconds of each run in each round.

    Args:
        rounds: how many; None: as many as `limits` allow.
    """
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    expected = []
    for run in tqdm(runs, desc="warm-up", leave=False):
        run.prepare()
        warm_ups = [_seconds(run.steps[:1], 1, synchronize) for _ in range(limits.warm_ups)]
        practised = [_seconds(run.steps, 1, synchronize) for _ in range(run.practice)]
        expected.append(practised[-1] if practised else warm_ups[-1] * len(run.steps))
    if rounds is None:
        rounds = max(LEAST_ROUNDS, min(limits.rounds, int(limits.seconds / sum(expected))))
    times = {run.key: [] for run in runs}
    gc.collect()
    gc.freeze()  # what is there now need not be looked through before every run
    with tqdm(total=rounds * len(runs), desc="rounds", leave=False) as progress:
        for index in range(rounds):
            for place in range(len(runs)):
                at = (index + place) % len(runs)
                calls = max(1, min(MOST_CALLS, math.ceil(limits.short / expected[at])))
                settle = calls > 1 or expected[at] < limits.settled
                times[runs[at].key].append(_timed_round(runs[at], calls, settle, synchronize))
                progress.update()
    gc.unfreeze()
    return times


def _timed_round(run: Timed, calls: int, settle: bool, synchronize: Callable) -> float:
    run.prepare()
    gc.collect()
    gc.disable()
    try:
        if settle:
            _seconds(run.steps, 1, synchronize)
        return _seconds(run.steps, calls, synchronize)
    finally:
        gc.enable()


def _seconds(steps: Sequence[Callable], calls: int, synchronize: Callable) -> float:
    synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        for step in steps:
            step()
    synchronize()
    return (time.perf_counter() - start) / calls


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": float(np.median(values)), "min": float(min(values)), "max": float(max(values))}


def ratios(numerator: Sequence[float], denominator: Sequence[float]) -> dict[str, float]:
    """[`spread`] of the ratios within each round."""
    return spread([a / b for a, b in zip(numerator, denominator, strict=True)])


def matrix_products(tokens: Sequence[int], size: Size, dtype: str, device: torch.device) -> tuple[list[Callable], int]:
    """
    The dense products of one layer for every batch, as plain `linear` calls: four `hidden -> hidden`, one to the
    feed-forward part and one back.

    Args:
        tokens: packed tokens of each batch.

    Returns:
        A call for each batch, and the FLOPs of all.
    """
    widths = [(size.hidden, size.hidden)] * 4 + [(size.hidden, size.intermediate), (size.intermediate, size.hidden)]
    kind = {"dtype": DTYPES[dtype], "device": device}
    layers = [(torch.randn(wide, narrow, **kind) * 0.02, torch.zeros(wide, **kind)) for narrow, wide in widths]
    inputs = {width: torch.randn(max(tokens), width, **kind) for width in (size.hidden, size.intermediate)}

    def products(count: int) -> Callable:
        def call() -> None:
            for (narrow, _), (weight, bias) in zip(widths, layers):
                F.linear(inputs[narrow][:count], weight, bias)

        return call

    flops = sum(2 * count * narrow * wide for count in tokens for narrow, wide in widths)
    return [products(count) for count in tokens], flops
