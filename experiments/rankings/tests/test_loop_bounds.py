"""The labels are recomputed from the text alone; the splits are what the seed says."""

import csv
import re

import pytest

from experiments.rankings.loop_bounds import main, make_split

DECLARED = re.compile(r"int (\w+)\[(\d+)\];")
LOOP = re.compile(r"for \(i = 0; i < (\d+); i\+\+\) \{ (.*) \}")


def label_of(text: str) -> int:
    """1 if a loop indexes a declared array by `i` past its end; asserts that exactly one loop indexes one."""
    sizes = {name: int(size) for name, size in DECLARED.findall(text)}
    filled = [
        (int(bound), sizes[name])
        for bound, statement in LOOP.findall(text)
        for name in re.findall(r"(\w+)\[i\]", statement)
        if name in sizes
    ]
    assert len(filled) == 1
    assert LOOP.findall(text) and text.count("for (") == len(LOOP.findall(text))
    bound, size = filled[0]
    return int(bound > size)


@pytest.fixture(scope="module")
def functions():
    return make_split(1000, 3)


def test_labels_are_what_the_text_says(functions):
    assert [label for _, label in functions] == [label_of(text) for text, _ in functions]


def test_classes_are_balanced(functions):
    assert sum(label for _, label in functions) == 500


def test_constant_indices_are_inside_the_arrays(functions):
    access = re.compile(r"(?<!int )\b(\w+)\[(\d+)\]")
    used = [(text, name, index) for text, _ in functions for name, index in access.findall(text)]
    assert len(used) > 1000
    for text, name, index in used:
        assert int(index) < int(dict(DECLARED.findall(text))[name])


def test_most_functions_have_distractors(functions):
    several_arrays = sum(len(DECLARED.findall(text)) > 1 for text, _ in functions)
    several_loops = sum(text.count("for (") > 1 for text, _ in functions)
    assert several_arrays > 600 and several_loops > 600


def test_lengths(functions):
    lengths = [len(re.findall(r"\w+|[^\w\s]", text)) for text, _ in functions]
    assert 55 <= min(lengths) and max(lengths) <= 150


def test_neither_a_size_nor_a_bound_alone_tells_the_class(functions):
    """Guessing by the bound of the loop that fills is right for no more than three functions in four."""
    right = 0
    for text, label in functions:
        sizes = dict(DECLARED.findall(text))
        bound = next(int(b) for b, statement in LOOP.findall(text) if statement.split("[")[0] in sizes)
        right += (bound >= 24) == bool(label)
    assert right / len(functions) < 0.85


def test_same_seed_same_functions():
    assert make_split(20, 5) == make_split(20, 5)
    assert make_split(20, 5) != make_split(20, 6)


def test_files(tmp_path, capsys):
    main(["--output_dir", str(tmp_path), "--train", "40", "--validation", "20", "--test", "10", "--seed", "1"])
    rows = {path.stem: list(csv.DictReader(path.open(newline=""))) for path in tmp_path.glob("*.csv")}
    assert {name: len(split) for name, split in rows.items()} == {"train": 40, "validation": 20, "test": 10}
    assert capsys.readouterr().out.count(".csv") == 3
    assert all(int(row["label"]) == label_of(row["functionSource"]) for split in rows.values() for row in split)
    texts = [row["functionSource"] for split in rows.values() for row in split]
    assert len(set(texts)) == 70
