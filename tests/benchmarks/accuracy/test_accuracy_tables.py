"""The tables of benchmarks.accuracy, against values computed by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks.accuracy.measuring import best_f1_threshold
from benchmarks.accuracy.records import write_record
from benchmarks.accuracy.shown import fewer_tokens_table
from benchmarks.accuracy.tables import measures_of, summarise, write_tables
from benchmarks.results.comparisons import against_table, targets
from ltp_pipeline.base.errors import UserError

LABELS = [1, 1, 1, 1, 0, 0, 0, 0]


def cell(row, seed, probabilities, threshold=0.5, kind="learned", labels=LABELS, reading="512", pairs=None, **test):
    """A finished cell of the data set `d`, on one test."""
    budget = row.split()[-1] if " 0." in row else None
    about = {
        "data": "d",
        "reading": reading,
        "row": row,
        "kind": kind,
        "budget": budget,
        "teacher": None,
        "seed": seed,
    }
    own = {"labels": labels, "probabilities": probabilities, "pairs": pairs, **test}
    identity = {"format": 1, "settings": {}, "data": {}}
    found = {"cell": about, "identity": identity, "machine": {"cpu": "x"}, "about": {}, "threshold": threshold}
    return found | {"tests": {"test": own}}


RIGHT = [0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1]
MISSES_TWO = [0.9, 0.8, 0.45, 0.35, 0.4, 0.3, 0.2, 0.1]  # AUC 15 / 16
ONE_FALSE_ALARM = [0.9, 0.8, 0.7, 0.6, 0.95, 0.3, 0.2, 0.1]  # AUC 12 / 16


def unpruned(seed=0, probabilities=RIGHT, **more):
    return cell("unpruned", seed, probabilities, kind="unpruned", **more)


def test_measures_by_hand():
    found = measures_of(np.array(LABELS), np.array(MISSES_TWO), 0.5)
    assert found["f1"] == pytest.approx(2 / 3) and found["recall"] == 0.5 and found["precision"] == 1
    assert found["auc"] == pytest.approx(15 / 16) and found["false_alarm_rate"] == 0
    assert found["mcc"] == pytest.approx((2 * 4) / np.sqrt(2 * 4 * 4 * 6))
    assert found["vd_s_0.5"] == 0.25  # above 0.4, the highest score of class 0, are three of four
    alarmed = measures_of(np.array(LABELS), np.array(ONE_FALSE_ALARM), 0.5)
    assert alarmed["f1"] == pytest.approx(8 / 9) and alarmed["auc"] == 0.75 and alarmed["vd_s_0.5"] == 1
    nothing = measures_of(np.array(LABELS), np.zeros(8), 0.5)
    assert (nothing["f1"], nothing["recall"], nothing["mcc"]) == (0, 0, 0)


def test_mean_range_and_difference_over_seeds():
    cells = [unpruned(0), unpruned(1), cell("learned 0.3", 0, MISSES_TWO), cell("learned 0.3", 1, RIGHT)]
    first, second = summarise(cells, 200)
    assert (first["row"], second["row"], second["seeds"]) == ("unpruned", "learned 0.3", [0, 1])
    assert "differences" not in first and (first["functions"], first["positives"]) == (8, 4)
    assert second["recall"] == {"mean": 0.75, "min": 0.5, "max": 1.0}
    assert second["f1"]["mean"] == pytest.approx((2 / 3 + 1) / 2)
    recall = second["differences"]["recall"]
    assert recall["mean"] == pytest.approx(-0.25) and recall["low"] < -0.25 < recall["high"] <= 0
    assert second["differences"]["auc"]["mean"] == pytest.approx(-1 / 32)
    assert second["found_of_reference"] == {"mean": 0.75, "min": 0.5, "max": 1.0}


def test_the_same_predictions_differ_by_nothing():
    """The interval is paired: it does not hold the chance that decides which functions are drawn."""
    random = np.random.default_rng(0)
    labels, scores = (random.random(200) < 0.5).astype(int).tolist(), random.random(200).tolist()
    cells = [unpruned(0, scores, labels=labels), cell("random 0.3", 0, scores, kind="random", labels=labels)]
    for measure in summarise(cells, 100)[1]["differences"].values():
        assert measure == {"mean": 0, "low": 0, "high": 0}


def test_learned_pruning_is_compared_with_controls_of_its_budget():
    cells = [unpruned(0), cell("learned 0.3", 0, RIGHT), cell("learned 0.5", 0, RIGHT)]
    cells += [cell("random 0.3", 0, MISSES_TWO, kind="random"), cell("topk 0.3", 0, RIGHT, kind="topk")]
    rows = {row["row"]: row for row in summarise(cells, 100)}
    against = rows["learned 0.3"]["against"]
    assert list(against) == ["topk 0.3", "random 0.3"] and against["topk 0.3"]["f1"]["mean"] == 0
    assert against["random 0.3"]["recall"]["mean"] == 0.5 and against["random 0.3"]["auc"]["mean"] == 1 / 16
    assert not any("against" in row for name, row in rows.items() if name != "learned 0.3")


def test_a_first_layer_that_prunes_is_also_compared_with_random_pruning_there():
    pruned = {"relative_flops": 0.3}
    cells = [unpruned(0, relative_flops=1.0), cell("learned 0.3", 0, RIGHT, **pruned)]
    cells += [cell("first_layer_magnitude 0.3", 0, RIGHT, kind="first_layer", **pruned)]
    cells += [cell("random_first_layer 0.3", 0, MISSES_TWO, kind="random_first_layer", **pruned)]
    rows = {row["row"]: row for row in summarise(cells, 100)}
    assert list(rows["first_layer_magnitude 0.3"]["against"]) == ["random_first_layer 0.3"]
    assert "against" not in rows["learned 0.3"]
    text = targets(list(rows.values()))
    assert "AUC above random_first_layer at equal FLOPs" in text and "random_first_layer" not in targets([])
    assert "F1 over random_first_layer" in against_table(list(rows.values()))
    for name in ("random_first_layer 0.3", "random_first_layer_0.3"):  # a reference with an underscore
        again = {row["row"]: row for row in summarise(cells, 100, name)}
        assert "differences" in again["unpruned"] and "differences" not in again["random_first_layer 0.3"]


def test_only_seeds_of_both_are_compared():
    cells = [unpruned(0), unpruned(2, MISSES_TWO), cell("learned 0.3", 1, RIGHT), cell("learned 0.3", 2, RIGHT)]
    row = summarise(cells, 100)[1]
    assert row["seeds"] == [1, 2] and row["differences"]["recall"]["mean"] == 0.5


def test_pairs_are_drawn_together():
    labels, names = LABELS * 5, [f"{i // 8}{'abcd'[i % 4]}" for i in range(40)]
    found = []
    for pairs in (names, None):
        options = {"labels": labels, "pairs": pairs}
        cells = [unpruned(0, RIGHT * 5, **options), cell("learned 0.3", 0, MISSES_TWO * 5, **options)]
        found.append(summarise(cells, 300)[1]["differences"]["f1"])
    paired, single = found
    assert paired["mean"] == single["mean"] and (paired["low"], paired["high"]) != (single["low"], single["high"])


def test_compute_speed_lines_and_lengths():
    lines = {"gradient_x_input": {"functions": 3, "token_auc": 0.6, "line_ifa_mean": 2.0}}
    about = {"relative_flops": 0.3, "gflops_per_function": 2.0, "tokens_kept_per_layer": [8.0, 3.0, 1.0]}
    about |= {"lengths": [100, 513, 600, 3000, 1, 1, 1, 1], "lines": lines}
    one, other = (cell("learned 0.3", seed, p, **about) for seed, p in ((0, MISSES_TWO), (1, RIGHT)))
    one["speed"] = {"functions_per_second": 10.0, "speedup": 2.0}
    other["speed"] = {"functions_per_second": 14.0, "speedup": 3.0}
    one["about"]["budget"] = other["about"]["budget"] = 0.31
    (row,) = summarise([one, other], 100)
    assert row["relative_flops"]["mean"] == 0.3 and row["asked_flops"] == pytest.approx(0.31)
    assert row["functions_per_second"]["mean"] == 12 and row["speedup"]["mean"] == 2.5
    assert row["tokens_per_layer"] == [8, 3, 1]
    assert row["lines"]["gradient_x_input"]["line_ifa_mean"]["mean"] == 2
    assert row["recall_by_length"] == {
        "up to 512": {"positives": 1, "recall": 1.0},
        "513 to 1024": {"positives": 2, "recall": 0.75},
        "above 2048": {"positives": 1, "recall": 0.5},
    }


def test_rows_in_the_order_of_the_table():
    names = [
        "bag of words",
        "truncation 0.3",
        "learned 0.3",
        "learned 0.7",
        "unpruned",
        "learned lowest",
        "random 0.3",
    ]
    cells = [cell(name, 0, RIGHT, kind=name if name == "bag of words" else name.split()[0]) for name in names]
    for one in cells:
        if one["cell"]["row"].endswith("lowest"):
            one["cell"]["budget"] = "lowest"
    assert [row["row"] for row in summarise(cells, 100)] == [
        "unpruned", "learned 0.7", "learned 0.3", "learned lowest", "random 0.3", "truncation 0.3", "bag of words"
    ]  # fmt: skip


def test_tables_of_two_readings(tmp_path):
    short, long = unpruned(0, MISSES_TWO), unpruned(0, RIGHT, reading="4096tail")
    for one in (short, long, cell("learned 0.3", 0, RIGHT, reading="4096tail")):
        one["tests"]["test"] |= {"relative_flops": 0.5, "gflops_per_function": 1.0, "tokens_kept_per_layer": [1.0]}
        name = one["cell"]["row"].replace(" ", "_")
        write_record(tmp_path / "cells" / f"d@{one['cell']['reading']}" / "seed_0" / f"{name}.json", one)
    shown = write_tables(tmp_path, 100, "512/unpruned")
    assert (
        "## d, 4096tail tokens, test" in shown
        and "| learned 0.3 | 1 | 0.500 | 100.0 [100.0, 100.0] | +33.3 [" in shown
    )
    report = json.loads((tmp_path / "accuracy.json").read_text())
    assert report["cells"] == 3 and [row["row"] for row in report["rows"]] == ["unpruned", "unpruned", "learned 0.3"]
    table = pd.read_csv(tmp_path / "accuracy.csv")
    assert table["differences_recall_mean"].fillna(0).tolist() == [0, 0.5, 0.5] and table["seeds"].tolist() == [
        0,
        0,
        0,
    ]
    assert (tmp_path / "accuracy.md").read_text() in f"{shown}\n"
    with pytest.raises(UserError, match="--reference random 0.3: no finished cell"):
        write_tables(tmp_path, 100, "random 0.3")


def test_models_that_read_more_tokens_are_compared_with_the_unpruned_one_that_reads_fewest():
    cells = [
        unpruned(0, MISSES_TWO, gflops_per_function=2.0),
        unpruned(1, RIGHT, gflops_per_function=2.0),
        unpruned(0, MISSES_TWO, reading="1024", gflops_per_function=4.0),
        unpruned(0, RIGHT, reading="4096", gflops_per_function=16.0),
        cell("learned 0.3", 0, RIGHT, reading="4096", gflops_per_function=5.0),
        cell("learned 0.3", 2, RIGHT, reading="4096", gflops_per_function=50.0),  # no other of this seed
        cell("learned 0.3", 0, RIGHT, gflops_per_function=0.6),
    ]
    rows = summarise(cells, 200)
    found = {(row["reading"], row["row"]): row.get("fewer_tokens") for row in rows}
    assert found["512", "unpruned"] is None and found["512", "learned 0.3"] is None
    assert found["1024", "unpruned"]["differences"]["auc"]["mean"] == 0
    own = found["4096", "learned 0.3"]
    assert own["reading"] == "512" and own["times_flops"] == 2.5
    assert own["differences"]["auc"]["mean"] == 1 / 16
    table = fewer_tokens_table([row for row in rows if row["reading"] == "4096"])
    assert table.startswith("Over `unpruned` of 512 tokens:\n") and "| learned 0.3 | 2.50" in table
    assert "+6.2 [" in table and fewer_tokens_table(rows[:2]) == ""
    line = next(line for line in targets(rows).splitlines() if "of the fewest tokens" in line)
    assert "| 1 of 1 | -" in line
    assert "of the fewest tokens" not in targets(rows[:2])


def test_the_reading_of_the_fewest_tokens_that_cuts_as_the_row_does_is_preferred():
    cells = [unpruned(reading=reading) for reading in ("512", "512tail", "4096", "4096tail")]
    cells += [cell("truncation 0.3", 0, RIGHT, kind="truncation", reading="4096")]
    found = {(row["reading"], row["row"]): row.get("fewer_tokens", {}).get("reading") for row in summarise(cells, 100)}
    assert found["4096", "unpruned"] == "512" and found["4096tail", "unpruned"] == "512tail"
    assert found["4096", "truncation 0.3"] is None  # it reads fewer tokens than its reading has


def test_tests_of_one_class_have_no_target_of_the_fewest_tokens():
    ones = [1] * 8
    cells = [unpruned(labels=ones), unpruned(labels=ones, reading="4096")]
    rows = summarise([*cells, cell("learned 0.3", 0, RIGHT, reading="4096", labels=ones)], 100)
    assert "fewer_tokens" in rows[-1] and "of the fewest tokens" not in targets(rows)


def test_cells_of_other_functions_are_not_compared():
    with pytest.raises(UserError, match="d, test: learned 0.3: its cells were measured on other functions"):
        summarise([unpruned(0), cell("learned 0.3", 0, RIGHT, labels=LABELS[::-1])], 100)


@pytest.mark.parametrize(
    "scores, labels, threshold",
    [
        ([0.9, 0.6, 0.4, 0.1], [1, 1, 0, 0], 0.5),
        ([0.9, 0.6, 0.4, 0.1], [1, 0, 1, 0], 0.25),  # F1 0.8 with three, 0.67 with one
        ([0.9, 0.6, 0.4, 0.1], [0, 0, 0, 1], 0.05),
        ([0.9, 0.5, 0.5, 0.5], [1, 1, 1, 0], 0.25),  # equal scores are on one side
        ([0.3, 0.3], [1, 0], 0.15),
    ],
)
def test_the_threshold_of_validation(scores, labels, threshold):
    order = np.random.default_rng(0).permutation(len(scores))
    assert best_f1_threshold(np.array(scores)[order], np.array(labels)[order]) == pytest.approx(threshold)


@pytest.mark.parametrize("seed", range(10))
def test_no_threshold_has_a_higher_f1(seed):
    random = np.random.default_rng(seed)
    labels, scores = random.integers(0, 2, 60), random.integers(0, 20, 60) / 20
    labels[0] = 1
    best = measures_of(labels, scores, best_f1_threshold(scores, labels))["f1"]
    assert best == max(measures_of(labels, scores, cut)["f1"] for cut in np.arange(-0.025, 1.0, 0.05))
