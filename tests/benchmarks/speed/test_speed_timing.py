"""Rounds of the speed benchmark: order, warm-ups, repeats and ratios. The runs themselves advance the clock."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed import timing
from benchmarks.speed.bench import _milliseconds, matrix_products
from benchmarks.speed.models import SIZES
from benchmarks.speed.timing import Limits, TimedRun, median_and_range, round_ratios, time_in_rounds

CPU = torch.device("cpu")


class Clock:
    def __init__(self):
        self.now, self.calls = 0.0, []

    def run(self, name, *durations, steps=1, practice=0):
        """A run whose steps take one of `durations` after the other; the last one is repeated."""
        left = list(durations)

        def step():
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return TimedRun(name, [step] * steps, lambda: self.calls.append(f"prepare {name}"), practice)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(timing.gc, "collect", int)  # it takes a second in a process with all other tests
    return clock


def test_every_round_has_every_run_in_rotating_order(clock):
    runs = [clock.run("a", 1.0, 2.0, 3.0, 4.0), clock.run("b", 5.0), clock.run("c", 6.0)]
    times = time_in_rounds(runs, 3, Limits(9, 100, 1, 0.5), CPU)
    assert times == {"a": [2.0, 3.0, 4.0], "b": [5.0] * 3, "c": [6.0] * 3}  # without the warm-up
    timed = [name for name in clock.calls[6:] if "prepare" not in name]
    assert timed == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert clock.calls[:2] == ["prepare a", "a"] and clock.calls.count("prepare a") == 4


@pytest.mark.parametrize(("seconds", "rounds"), [(1, 3), (44, 4), (1000, 9)])
def test_slow_works_get_fewer_rounds(clock, seconds, rounds):
    times = time_in_rounds([clock.run("a", 1.0), clock.run("b", 10.0)], None, Limits(9, seconds, 1, 0.5), CPU)
    assert len(times["a"]) == len(times["b"]) == rounds


def test_short_runs_are_repeated_after_an_untimed_call(clock):
    times = time_in_rounds([clock.run("a", 0.1, 0.9, 0.1)], 1, Limits(9, 1, 1, 0.5), CPU)
    assert times["a"] == pytest.approx([0.1])  # 0.9 is the untimed call
    assert clock.calls.count("a") == 1 + 1 + 5


def test_runs_below_a_limit_are_called_once_before_each_round(clock):
    runs = [clock.run("a", 1.0, 9.0, 2.0), clock.run("b", 30.0, 31.0)]
    times = time_in_rounds(runs, 1, Limits(9, 1, 1, 0.5, settled=20.0), CPU)
    assert times == {"a": [2.0], "b": [31.0]}
    assert clock.calls == ["prepare a", "a", "prepare b", "b", "prepare a", "a", "a", "prepare b", "b"]


def test_steps_are_timed_together_after_warm_ups_of_the_first_and_practice_of_all(clock):
    runs = [clock.run("a", 2.0, steps=3), clock.run("b", 9.0, 5.0, 4.0, 2.0, practice=2)]
    assert time_in_rounds(runs, 2, Limits(9, 1, 1, 0.5), CPU) == {"a": [6.0, 6.0], "b": [2.0, 2.0]}
    assert [clock.calls.count(name) for name in "ab"] == [1 + 2 * 3, 1 + 2 + 2]


def test_steps_are_timed_one_by_one_in_the_rounds_only(clock):
    run = clock.run("a", 9.0, 8.0, 7.0, 1.0, 2.0, 3.0, 4.0, steps=2)
    run.clock_steps = True
    # The warm-up makes the first step, and the untimed call before each round makes both.
    assert time_in_rounds([run], 1, Limits(9, 1, 1, 0.5, settled=20.0), CPU) == {"a": [3.0]}
    assert run.step_seconds == [1.0, 2.0]
    assert _milliseconds([0.001 * count for count in range(1, 102)]) == pytest.approx({"median": 51.0, "p95": 96.0})


def test_ratios_are_computed_within_a_round():
    assert round_ratios([2.0, 40.0, 9.0], [1.0, 10.0, 3.0]) == {"median": 3.0, "min": 2.0, "max": 4.0}
    assert median_and_range([5.0, 1.0]) == {"median": 3.0, "min": 1.0, "max": 5.0}


def test_matrix_products_are_those_of_a_layer():
    calls, flops = matrix_products([5, 2], SIZES["tiny"], "float32", CPU)
    with FlopCounterMode(display=False) as counter:
        for call in calls:
            call()
    assert counter.get_total_flops() == flops == 2 * 7 * (4 * 64 * 64 + 2 * 64 * 256)
