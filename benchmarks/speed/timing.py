"""Times runs in rounds. Each round has every run once, in rotating order, so that other load affects all alike."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from tqdm import tqdm

MIN_ROUNDS = 3
MAX_CALLS = 20  # of a short run in one round


@dataclass(frozen=True)
class Limits:
    """How often runs are called."""

    rounds: int  # largest number of rounds
    seconds: float  # time for all rounds, if that is enough for `MIN_ROUNDS`
    warm_ups: int  # calls of the first step of each run before the rounds
    short: float  # a run below this number of seconds is called several times in a round
    # a run below this number of seconds is called once, not timed, before it is timed in a round. Without that call,
    # the caches would still hold the data of the run before it, which is another model's.
    settled: float = 0.0


@dataclass
class TimedRun:
    """What is timed as one."""

    key: Hashable
    steps: Sequence[Callable[[], object]]  # the calls that make up the run. A warm-up makes only the first.
    prepare: Callable[[], object] = lambda: None  # called before each timed part, and not timed
    practice: int = 0  # how many times all steps are called after the warm-ups, and not timed
    clock_steps: bool = False  # whether each step is timed, too. The device is then synchronised after each.
    step_seconds: list[float] = field(default_factory=list)  # of the steps in all rounds, with `clock_steps`

    def warm_up(self, calls: int, synchronize: Callable) -> float:
        """Makes the calls that come before the rounds. Returns the seconds that the run is expected to take."""
        self.prepare()
        for _ in range(calls):
            expected = _seconds(self.steps[:1], 1, synchronize) * len(self.steps)
        for _ in range(self.practice):
            expected = _seconds(self.steps, 1, synchronize)
        return expected

    def time(self, calls: int, settle: bool, synchronize: Callable) -> float:
        """Returns the seconds of all steps once, as the mean of `calls` times. `settle`: after one call, not timed."""
        self.prepare()
        gc.collect()
        gc.disable()
        try:
            if settle:
                _seconds(self.steps, 1, synchronize)
            return _seconds(self.steps, calls, synchronize, self.step_seconds if self.clock_steps else None)
        finally:
            gc.enable()


def time_in_rounds(
    runs: Sequence[TimedRun], rounds: int | None, limits: Limits, device: torch.device
) -> dict[Hashable, list[float]]:
    """Returns the seconds of each run in each round, by the key of the run.

    `rounds`: number of rounds; None: as many as `limits` allow.
    """
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    expected = [run.warm_up(limits.warm_ups, synchronize) for run in tqdm(runs, desc="warm-up", leave=False)]
    if rounds is None:
        rounds = max(MIN_ROUNDS, min(limits.rounds, int(limits.seconds / sum(expected))))
    times = {run.key: [] for run in runs}
    gc.collect()
    gc.freeze()  # the garbage collection before each run then need not search the objects that exist now
    with tqdm(total=rounds * len(runs), desc="rounds", leave=False) as progress:
        for index in range(rounds):
            for place in range(len(runs)):
                at = (index + place) % len(runs)
                calls = max(1, min(MAX_CALLS, math.ceil(limits.short / expected[at])))
                settle = calls > 1 or expected[at] < limits.settled
                times[runs[at].key].append(runs[at].time(calls, settle, synchronize))
                progress.update()
    gc.unfreeze()
    return times


def _seconds(
    steps: Sequence[Callable], calls: int, synchronize: Callable, step_seconds: list[float] | None = None
) -> float:
    """Seconds of all steps once, as the mean of `calls` times. Those of each step are added to `step_seconds`."""
    synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        for step in steps:
            began = time.perf_counter()
            step()
            if step_seconds is not None:
                synchronize()
                step_seconds.append(time.perf_counter() - began)
    synchronize()
    return (time.perf_counter() - start) / calls


def median_and_range(values: Sequence[float]) -> dict[str, float]:
    """Returns `median`, `min` and `max`."""
    return {"median": float(np.median(values)), "min": float(min(values)), "max": float(max(values))}


def round_ratios(numerator: Sequence[float], denominator: Sequence[float]) -> dict[str, float]:
    """Returns [`median_and_range`] of the ratios, each of two times in the same round."""
    return median_and_range([a / b for a, b in zip(numerator, denominator, strict=True)])
