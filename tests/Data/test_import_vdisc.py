"""Importing files in the HDF5 layout of VDISC."""

import csv
import gzip
import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

from Data.import_vdisc import main
from Data.sources.vdisc_files import CHUNK, GROUPS, TEXT
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.readers import read_functions

h5py = pytest.importorskip("h5py")

TEXTS = ['int a;\r\n "q",\tb', "  int b;", "int   b;", " ", "int \xe9;", "int c;", "int d;"]
FLAGS = [[1, 1, 0, 0, 0], [0] * 5, [0, 0, 0, 0, 1], [1] * 5, [0, 0, 0, 1, 0], [0] * 5, [0, 1, 0, 0, 0]]


def vdisc(path, texts=TEXTS, flags=FLAGS, **other):
    """A file as published: variable-length texts, a boolean column for each group."""
    columns = dict(zip(GROUPS, np.array(flags, dtype=bool).T)) | other
    with h5py.File(path, "w") as file:
        file.create_dataset("functionSource", data=texts, dtype=h5py.string_dtype())
        for name, values in columns.items():
            file[name] = values
    return path


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_every_format_is_read_by_the_scripts_as_it_was(tmp_path, kind, capsys):
    file = vdisc(tmp_path / "VDISC_train.hdf5")
    main([str(file), "--output_dir", str(tmp_path / "out"), "--format", kind])
    frame = read_functions(tmp_path / "out" / f"VDISC_train.{kind}")
    assert frame["functionSource"].tolist() == [text for text in TEXTS if text.strip()]
    assert frame["label"].tolist() == [1, 0, 1, 1, 0, 1]
    assert frame["cwes"].tolist() == ["CWE-119 CWE-120", "", "CWE-other", "CWE-476", "", "CWE-120"]
    report = json.loads((tmp_path / "out" / "import.json").read_text())
    (counts,) = report["files"]
    assert (counts["read"], counts["functions"], counts["positive"], counts["empty"]) == (7, 6, 4, 1)
    assert counts["CWE-120"] == 2 and counts["written"] == f"VDISC_train.{kind}"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md", f"VDISC_train.{kind}", "import.json",
    ]  # fmt: skip


@pytest.mark.parametrize("label", ["any", "groups"])
def test_the_next_command_trains_on_the_training_file(tmp_path, label, capsys):
    files = [str(vdisc(tmp_path / f"VDISC_{name}.hdf5")) for name in ("test", "train", "validate")]  # as by VDISC_*
    main([*files, "--output_dir", str(tmp_path / "out"), "--format", "csv.gz", "--label", label])
    shown = capsys.readouterr().out
    for flag, name in (("train", "train"), ("validation", "validate"), ("test", "test")):
        assert re.search(rf"--{flag}_file \S*out/VDISC_{name}.csv.gz", shown)
    main([*files[:1], str(vdisc(tmp_path / "mine.hdf5")), "--output_dir", str(tmp_path / "other"), "--label", label])
    shown = capsys.readouterr().out
    assert re.search(r"--train_file \S*VDISC_test.csv --validation_file \S*mine.csv", shown)  # as they were given


@pytest.mark.parametrize(
    ("label", "expected"), [("CWE-119", [1, 0, 0, 0, 0, 0]), ("CWE-476", [0, 0, 0, 1, 0, 0]), ("groups", None)]
)
def test_a_group_or_all_as_a_list(tmp_path, label, expected):
    file = vdisc(tmp_path / "a.hdf5")
    for kind in ("csv", "jsonl", "parquet"):
        main([str(file), "--output_dir", str(tmp_path), "--label", label, "--format", kind])
        labels = read_functions(tmp_path / f"a.{kind}")["label"].tolist()
        assert labels == (expected or [1, 0, 1, 1, 0, 1])
    lists = pd.read_parquet(tmp_path / "a.parquet")["label"].tolist()
    if label == "groups":
        assert [list(each) for each in lists] == [flags for flags, text in zip(FLAGS, TEXTS) if text.strip()]


def test_duplicates_leave_also_across_files_and_a_draw_is_repeatable(tmp_path):
    train = vdisc(tmp_path / "train.hdf5")
    test = vdisc(tmp_path / "test.hdf5", [*TEXTS[4:], "int e;"], FLAGS[3:])
    main([str(train), str(test), "--output_dir", str(tmp_path / "out"), "--deduplicate"])
    frames = [pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("train", "test")]
    assert [len(frame) for frame in frames] == [5, 1] and frames[1]["functionSource"].tolist() == ["int e;"]
    many = [f"int f{i};" for i in range(2 * CHUNK + 5)]
    big = vdisc(tmp_path / "big.hdf5", many, [[i % 2, 0, 0, 0, 0] for i in range(len(many))])
    drawn = []
    for seed in (0, 0, 1):
        main([str(big), "--output_dir", str(tmp_path), "--limit", "300", "--seed", str(seed), "--format", "csv.gz"])
        drawn.append((tmp_path / "big.csv.gz").read_bytes())
    assert drawn[0] == drawn[1] != drawn[2]
    rows = list(csv.DictReader(gzip.decompress(drawn[0]).decode().splitlines()))
    numbers = [int(row["functionSource"][5:-1]) for row in rows]
    assert len(rows) == 300 and numbers == sorted(numbers) and numbers[-1] > CHUNK
    assert all(int(row["label"]) == number % 2 for row, number in zip(rows, numbers))
    for kind in ("csv", "parquet"):
        main([str(big), "--output_dir", str(tmp_path), "--format", kind])
        assert read_functions(tmp_path / f"big.{kind}")["functionSource"].tolist() == many


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"CWE-120": [0.5] * 7}, "CWE-120 has the type float64"),
        ({"CWE-120": [0, 0, 0, 0, 2, 0, 0]}, "function 5: expected 0 or 1"),
    ],
)
def test_other_layouts_are_named_and_nothing_is_left(tmp_path, other, message):
    good, bad = vdisc(tmp_path / "good.hdf5"), vdisc(tmp_path / "bad.hdf5", **other)
    with pytest.raises(UserError, match=message) as error:
        main([str(good), str(bad), "--output_dir", str(tmp_path / "out")])
    assert str(error.value).startswith(f"{bad}: ")
    assert not list(tmp_path.glob("out/*"))


def test_files_that_cannot_be_imported(tmp_path, monkeypatch):
    file = vdisc(tmp_path / "a.hdf5")
    (tmp_path / "cut.hdf5").write_bytes(file.read_bytes()[:3000])
    vdisc(tmp_path / "empty.hdf5", [" "], [[0] * 5])
    for name, message in (
        (".", "this is a folder"),
        ("cut.hdf5", "cut.hdf5: not a whole HDF5 file"),
        ("empty.hdf5", "empty.hdf5: no function is left of 1"),
    ):
        with pytest.raises(UserError, match=message):
            main([str(tmp_path / name), "--output_dir", str(tmp_path / "out")])
    with pytest.raises(UserError, match="--output_dir .*: cannot be written: Not a directory"):
        main([str(file), "--output_dir", str(file / "x")])
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match="an HDF5 file needs h5py, which is not installed: pip install"):
        main([str(file), "--output_dir", str(tmp_path / "out")])


def test_a_group_below_0_is_an_error(tmp_path):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset(TEXT, data=["int f() {}"], dtype=h5py.string_dtype())
        for name in GROUPS:
            file.create_dataset(name, data=np.array([-1], dtype="int8"))
    with pytest.raises(UserError, match="function 1: expected 0 or 1"):
        main([str(path), "--output_dir", str(tmp_path / "out")])


@pytest.mark.parametrize("shape", [(), (1, 1)])
def test_texts_of_another_shape_are_an_error(tmp_path, shape):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        for name in (TEXT, *GROUPS):
            kind, value = (h5py.string_dtype(), "int f() {}") if name == TEXT else (bool, 1)
            file.create_dataset(name, data=np.full(shape, value, dtype=object if name == TEXT else bool), dtype=kind)
    with pytest.raises(UserError, match="a.hdf5: functionSource.*expected a list of texts"):
        main([str(path), "--output_dir", str(tmp_path / "out")])
    path.unlink()
    h5py.File(path, "w").close()  # the file has been closed
