"""What a run says about each target."""

import pytest

from benchmarks.speed.models import SIZES
from benchmarks.speed.targets import BF16, F32, check_targets, cpu_targets, gpu_targets

BASE = SIZES["base"]


def row(*seconds, **fields):
    return {"seconds": list(seconds), "tokens": 1, **fields}


def checked(rows, targets=None):
    found = check_targets(targets or cpu_targets(BASE, 0.5), rows)
    return [target for target in found if target["measured"] is not None]


def test_the_issues_targets_are_there():
    bounds = [(t.work, t.dtype, t.bound) for t in cpu_targets(BASE, 0.5)]
    assert bounds == [
        ("W1", F32, 2.4), ("W1", BF16, 4), ("W1", F32, 1.8), ("W1", BF16, 1.8), ("W2", F32, 15), ("W2", BF16, 100),
        ("W3", BF16, 4), ("W3", BF16, 6), ("W4", F32, 10), ("W4", BF16, 60), ("W4", BF16, 1.2), ("W5", BF16, 1.15),
        ("any", BF16, 0.7), ("any", F32, 0.9), ("train", BF16, 6), ("W3", F32, 0.5),
    ]  # fmt: skip
    assert [t.bound for t in gpu_targets(BASE, 0.5)] == [4, 1, 1, 1.4, 3, 1.6, 4]
    assert all(row["reached"] is None for row in check_targets(cpu_targets(BASE, 0.5), {}))


@pytest.mark.parametrize(("longformer", "reached"), [((24.0, 250.0, 26.0), True), ((23.0, 250.0, 23.9), False)])
def test_a_speedup_is_the_median_of_the_rounds_ratios(longformer, reached):
    rows = {("W1", "longformer", F32): row(*longformer), ("W1", "ltp", F32): row(10.0, 100.0, 10.0)}
    (found,) = checked(rows)
    assert found["LTP"] == "unpruned vs Longformer" and found["reached"] is reached
    assert found["measured"] == pytest.approx(2.5 if reached else 2.39)
    assert found["max"] == pytest.approx(2.6 if reached else 2.5)


def test_bfloat16_is_compared_with_longformer_in_float32():
    rows = {("W2", "longformer", F32): row(101.0), ("W2", "ltp_pruned", BF16): row(1.0)}
    (found,) = checked(rows)
    assert (found["LTP"], found["measured"], found["reached"]) == (
        "half the FLOPs vs Longformer in float32", 101, True
    )  # fmt: skip


@pytest.mark.parametrize(("seconds", "reached"), [(18.0, True), (19.0, False)])
def test_time_per_token_of_the_sweep(seconds, reached):
    rows = {
        ("W5 1024", "ltp", BF16): row(1.0) | {"tokens": 1024},
        ("W5 16384", "ltp", BF16): row(seconds) | {"tokens": 16384},
    }
    (found,) = checked(rows)
    assert found["measured"] == pytest.approx(seconds / 16) and found["reached"] is reached
    assert found["target"] == "at most 1.15"


def test_the_lowest_share_of_the_matrix_rate_counts():
    def share(value):
        return row(1.0, share_of_matrix_rate={"median": value, "min": value, "max": value})

    rows = {("W1", "ltp", BF16): share(0.8), ("W4", "ltp_pruned", BF16): share(0.6), ("W3", "ltp", F32): share(0.95)}
    low, high = checked(rows)
    assert (low["measured"], low["reached"]) == (0.6, False) and low["LTP"].endswith("(lowest: W4 ltp_pruned)")
    assert (high["measured"], high["reached"]) == (0.95, True)


def test_peak_memory_is_compared():
    rows = {
        ("W3", "longformer", F32): row(1.0, peak_memory_bytes=1000),
        ("W3", "ltp", F32): row(1.0, peak_memory_bytes=400),
    }
    (found,) = checked(rows)
    assert (found["measured"], found["reached"]) == (0.4, True)


def test_other_shares_are_called_what_they_are():
    assert cpu_targets(BASE, 0.3)[2].what == "0.3 of the FLOPs vs LTP unpruned"
