"""Targets of the speed benchmark: their bounds, and what is measured for each."""

import numpy as np
import pytest

from benchmarks.speed.models import MODELS, PEERS, SIZES
from benchmarks.speed.targets import BF16, F32, INT8, PEER_WORKS, check_targets, cpu_targets, gpu_targets
from benchmarks.speed.work import WORKS, work_items

BASE = SIZES["base"]


def row(*seconds, **fields):
    return {"seconds": list(seconds), "tokens": 1, **fields}


def share(value):
    return {"share_of_matrix_rate": {"median": value, "min": value, "max": value}}


def measured(rows):
    return [target for target in check_targets(cpu_targets(BASE, 0.5), rows) if target["measured"] is not None]


def test_the_bounds():
    bounds = [(t.work, t.dtype, t.bound) for t in cpu_targets(BASE, 0.5)]
    assert bounds == [
        ("W1", F32, 2.4), ("W1", BF16, 4), ("W1", F32, 1.8), ("W1", BF16, 1.8), ("W2", F32, 15), ("W2", BF16, 100),
        ("W3", BF16, 4), ("W3", BF16, 6), ("W4", F32, 10), ("W4", BF16, 60), ("W4", BF16, 1.2), ("W5", BF16, 1.15),
        ("any", BF16, 0.7), ("any", F32, 0.9), ("train", BF16, 6), ("W3", F32, 0.5),
        *[("1x200", F32, 1)] * 3,
        *[(work, F32, bound) for work in PEER_WORKS[1:] for bound in (1.2, 1.2, 1)],
        *[(work, INT8, bound) for work in PEER_WORKS for bound in (1, 1.6)],
    ]  # fmt: skip
    assert [t.bound for t in gpu_targets(BASE, 0.5)] == [4, 1, 1, 1.4, 3, 1.6, 4]
    assert cpu_targets(BASE, 0.3)[2].what == "0.3 of the FLOPs vs LTP unpruned"


@pytest.mark.parametrize("targets", [cpu_targets, gpu_targets])
def test_all_works_together_measure_every_target(targets):
    items = [item.label for work in [*WORKS, *PEER_WORKS] for item in work_items(work, BASE, np.array([300] * 40))]
    run = row(1.0, peak_memory_bytes=1) | share(1.0)
    rows = {(item, model, dtype): run for item in items for model in [*MODELS, *PEERS] for dtype in (F32, BF16, INT8)}
    assert all(target["measured"] == 1 for target in check_targets(targets(BASE, 0.5), rows))
    assert all(target["reached"] is None for target in check_targets(targets(BASE, 0.5), {}))


@pytest.mark.parametrize(("longformer", "reached"), [((24.0, 250.0, 26.0), True), ((23.0, 250.0, 23.9), False)])
def test_a_speedup_is_the_median_of_the_ratios_within_rounds(longformer, reached):
    (found,) = measured({("W1", "longformer", F32): row(*longformer), ("W1", "ltp", F32): row(10.0, 100.0, 10.0)})
    assert found["LTP"] == "unpruned vs Longformer" and found["reached"] is reached
    assert found["measured"] == pytest.approx(2.5 if reached else 2.39)
    assert found["max"] == pytest.approx(2.6 if reached else 2.5)


def test_bfloat16_is_compared_with_longformer_in_float32():
    (found,) = measured({("W2", "longformer", F32): row(101.0), ("W2", "ltp_pruned", BF16): row(1.0)})
    assert (found["measured"], found["reached"]) == (101, True)
    assert found["LTP"] == "half the FLOPs vs Longformer in float32"


@pytest.mark.parametrize(("seconds", "reached"), [(18.0, True), (19.0, False)])
def test_time_per_token_of_the_sweep(seconds, reached):
    short, long = row(1.0) | {"tokens": 1024}, row(seconds) | {"tokens": 16384}
    (found,) = measured({("W5 1024", "ltp", BF16): short, ("W5 16384", "ltp", BF16): long})
    assert found["measured"] == pytest.approx(seconds / 16) and found["reached"] is reached
    assert found["target"] == "at most 1.15"


def test_the_lowest_share_of_the_matrix_rate_counts():
    shares = {("W1", "ltp", BF16): 0.8, ("W4", "ltp_pruned", BF16): 0.6, ("W3", "ltp", F32): 0.95}
    low, high = measured({key: row(1.0, **share(value)) for key, value in shares.items()})
    assert (low["measured"], low["reached"]) == (0.6, False) and low["LTP"].endswith("(lowest: W4 ltp_pruned)")
    assert (high["measured"], high["reached"]) == (0.95, True)


def test_peak_memory_is_compared():
    memory = {"longformer": 1000, "ltp": 400}
    (found,) = measured({("W3", model, F32): row(1.0, peak_memory_bytes=size) for model, size in memory.items()})
    assert (found["measured"], found["reached"]) == (0.4, True)
