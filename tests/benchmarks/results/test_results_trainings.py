"""Differences over trainings, of stored cells of several files."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.results.stored import COSTS, FORMAT, Store
from benchmarks.results.trainings import t_interval, trainings
from ltp_pipeline.base.errors import UserError

PAGE = Path("page.md")


def stored(root, name, rows, tables="a"):
    """A file with cells: `rows` has the AUC of each seed by row."""
    cells = [
        {"data": "d", "reading": "512", "seed": seed, "row": row, "measures": {"test": {"auc": auc, "f1": auc / 2}}}
        for row, values in rows.items()
        for seed, auc in enumerate(values)
    ]
    found = {
        "format": FORMAT, "kind": "measured", "title": "t", "about": "a", "rows": [], "tables": tables, "cells": cells,
    }  # fmt: skip
    (root / COSTS).mkdir(parents=True, exist_ok=True)
    (root / COSTS / f"{name}.json").write_text(json.dumps(found))


def test_seeds_of_two_files_are_trainings_of_one_table(tmp_path):
    stored(tmp_path, "one", {"unpruned": [0.9, 0.8, 0.7], "relevance 0.5": [0.8, 0.81, 0.82], "random 0.5": [0.7] * 3})
    second = {"unpruned": [0.91, 0.9], "relevance 0.5": [0.7, 0.8], "random 0.5": [0.9], "topk 0.5": [1]}
    stored(tmp_path, "two", second)
    text = trainings(Store(tmp_path), PAGE, "one", "two")
    found = [line for line in text.splitlines() if line.startswith("| rel")]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in found]
    assert [line[:4] for line in lines] == [["relevance 0.5", "unpruned", measure, "5"] for measure in ("F1", "AUC")]
    assert lines[1][5] == "-10.0 +1.0 +12.0 -21.0 -10.0" and lines[1][4].startswith("-5.6 [")
    assert "topk" not in text and "**d, 512 tokens, test**" in text  # random 0.5 has four trainings


def test_a_first_layer_that_prunes_is_compared_with_random_pruning_there(tmp_path):
    rows = {"unpruned": [0.9] * 5, "first_layer 0.3": [0.8] * 5, "random_first_layer 0.3": [0.6] * 5}
    stored(tmp_path, "one", rows)
    text = trainings(Store(tmp_path), PAGE, "one")
    assert "| first_layer 0.3 | random_first_layer 0.3 | AUC | 5 | +20.0 [+20.0, +20.0] |" in text
    assert text.count("| random_first_layer 0.3 |") == 4  # F1 and AUC: of first_layer over it, of it over unpruned


def test_the_interval_is_that_of_students_t():
    values = [0.1, -0.05, 0.02, 0.07, 0.0, 0.03]
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert t_interval(values) == pytest.approx({"mean": np.mean(values), "low": low, "high": high})


def test_other_functions_and_too_few_trainings_are_errors(tmp_path):
    stored(tmp_path, "one", {"unpruned": [0.9] * 6, "random 0.5": [0.8] * 4})
    stored(tmp_path, "two", {"unpruned": [0.9]}, tables="b")
    with pytest.raises(UserError, match="no two rows have 5 trainings in common"):
        trainings(Store(tmp_path), PAGE, "one")
    with pytest.raises(UserError, match="have other functions"):
        trainings(Store(tmp_path), PAGE, "one", "two")
    stored(tmp_path, "three", {"random 0.5": [0.8]})
    with pytest.raises(UserError, match="seed 0 of random 0.5 is in two files"):
        trainings(Store(tmp_path), PAGE, "one", "three")
