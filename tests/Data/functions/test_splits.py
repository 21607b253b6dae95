"""Duplicates, splits and samples."""

import pytest

from Data.analysers.findings import Finding
from Data.functions.labelling import LabelledFunction
from Data.functions.splits import drop_duplicates, limit_negatives, sample, split_by_name, split_by_size
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import Function


def functions(sizes):
    """`sizes`: (project, path) -> number of functions."""
    return [
        LabelledFunction(Function(project, path, line, ""), f"{project}{path}{line}".encode(), 1, ())
        for (project, path), size in sizes.items()
        for line in range(size)
    ]


def projects(split):
    return sorted({function.function.project for function in split})


def test_first_duplicate_stays():
    a, b, c = functions({("p", "a"): 1, ("q", "b"): 1, ("r", "c"): 1})
    same = LabelledFunction(b.function, a.token_hash, 1, (Finding(1, (), "x"),))
    assert drop_duplicates([a, same, c]) == [a, c]


def test_split_by_name():
    splits = split_by_name(functions({("p", "a"): 2, ("q", "a"): 3}), {"p": "test", "q": "train"})
    assert {split: len(found) for split, found in splits.items()} == {"train": 3, "validation": 0, "test": 2}


def test_split_by_size_keeps_projects_whole():
    sizes = {("a", "x"): 10, ("b", "x"): 50, ("c", "x"): 20, ("d", "x"): 8, ("e", "x"): 8, ("e", "y"): 4}
    splits = split_by_size(functions(sizes))
    assert {split: projects(found) for split, found in splits.items()} == {
        "train": ["a", "b", "d"],
        "validation": ["e"],
        "test": ["c"],
    }
    assert sum(map(len, splits.values())) == 100


def test_two_projects_are_split_by_file():
    splits = split_by_size(functions({("a", "x"): 7, ("a", "y"): 2, ("b", "x"): 1}))
    assert {split: {(f.function.project, f.function.path) for f in found} for split, found in splits.items()} == {
        "train": {("a", "x")},
        "test": {("a", "y")},
        "validation": {("b", "x")},
    }
    with pytest.raises(UserError, match=r"only 2 file\(s\) with functions"):
        split_by_size(functions({("a", "x"): 7, ("a", "y"): 2}))


def test_a_smaller_sample_begins_a_larger_one():
    everything = functions({("a", "x"): 100})
    large, small = sample(everything, 50, seed=1), sample(everything, 20, seed=1)
    assert large[:20] == small
    assert sample(everything, None, seed=1)[:50] == large
    assert len(set(f.token_hash for f in large)) == 50
    assert sample(everything, 50, seed=2) != large


def test_negatives_are_limited_by_the_positives():
    negatives = functions({("a", "x"): 20})
    positives = [LabelledFunction(f.function, f.token_hash, 1, (Finding(1, (), "x"),)) for f in negatives[:4]]
    mixed = [*negatives[10:], *positives, *negatives[4:10]]
    kept = limit_negatives(mixed, 1.5, seed=1)
    assert [f for f in mixed if f in kept] == kept
    assert [sum(f.label == label for f in kept) for label in (0, 1)] == [6, 4]
    assert limit_negatives(mixed, None, seed=1) == mixed == limit_negatives(mixed, 4, seed=1)
    assert limit_negatives(mixed, 1.5, seed=2) != kept
