"""Which functions benchmarks.accuracy draws."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from benchmarks.accuracy.data_sets import DataSet, drawn, find_data_sets
from benchmarks.accuracy.settings import Reading, Settings
from ltp_pipeline.data.readers import read_functions
from tests.ltp_pipeline.conftest import functions


def table(path, labels, pairs=None, lengths=None):
    """A table with these labels, read as functions."""
    texts = [f"int f{i}(void) {{ return {i}; }}" for i in range(len(labels))]
    frame = pd.DataFrame({"functionSource": texts, "label": labels})
    if pairs is not None:
        frame["pair"] = pairs
    frame.to_csv(path, index=False)
    return read_functions(path)


def test_negatives_with_a_pair_stay(tmp_path):
    labels = [1, 0, 1] + [0] * 20
    frame = table(tmp_path / "t.csv", labels, ["p", "p", ""] + [""] * 20)
    for _ in range(2):  # always the same
        places = drawn(frame, 0, max_negatives=2)
        assert {0, 1, 2} <= set(places) and len(places) == 2 + 2 * 2
    assert (np.diff(places) > 0).all()
    assert drawn(frame, 0, 0).tolist() == list(range(23))
    assert len(drawn(frame, 5, 0)) in (5, 6)


@pytest.mark.parametrize("rows", [1, 7, 50, 400])
def test_pairs_are_drawn_together(rows, tmp_path):
    labels = [1, 0] * 30 + [0] * 40
    pairs = np.array([f"p{i // 2}" for i in range(60)] + [""] * 40)
    frame = table(tmp_path / "t.csv", labels, pairs)
    places = drawn(frame, rows, 0)
    assert min(rows, 100) <= len(places) <= min(rows + 1, 100)
    named = pairs[places][pairs[places] != ""]
    assert all((named == name).sum() == 2 for name in named)


def test_tables_are_found_drawn_and_hashed(tmp_path):
    for name, count in (("train", 9), ("train_subset", 24), ("val", 8), ("test", 8), ("mixed_test", 6), ("mixed", 6)):
        (tmp_path / "a").mkdir(exist_ok=True)
        functions(count).to_csv(tmp_path / "a" / f"{name}.csv", index=False)
    (data,) = find_data_sets(tmp_path)
    assert list(data.tables) == ["train", "validation", "test", "mixed_test"] and data.tests == ["test", "mixed_test"]
    assert data.tables["train"].name == "train_subset.csv"
    data.draw(Settings(train_rows=10, max_negatives=0))
    data.write(tmp_path / "out")
    written = data.file(tmp_path / "out", "train")
    assert hashlib.sha256(written.read_bytes()).hexdigest() == data.hashes["train"]
    assert read_functions(written)["functionSource"].tolist() == data.frames["train"]["functionSource"].tolist()
    assert len(data.frames["train"]) == 10 and len(data.frames["mixed_test"]) == 6
    again = DataSet("a", data.tables)
    again.draw(Settings(train_rows=10, max_negatives=0))
    assert again.hashes == data.hashes
    again.draw(Settings(train_rows=12, max_negatives=0))
    assert {name for name in data.hashes if again.hashes[name] != data.hashes[name]} == {"train"}


def test_lengths_are_estimated():
    data = DataSet("a", {"train": None}, {"train": pd.DataFrame({"functionSource": ["x" * 32, "x" * 3200]})})
    assert data.lengths("train", Reading(100, "head")).tolist() == [12, 100]
    assert data.lengths("train", Reading(100, "windows")).tolist() == [12, 2 * 1002 - 100]
    assert data.tokens(Reading(100, "tail")) == {"train": 112, "function": 0}
