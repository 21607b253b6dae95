"""Data sets that the builder, an importer, `split_data` and the extraction write load with `datasets`."""

from pathlib import Path

import pandas as pd
import pytest
from datasets import load_dataset

from Data.build_dataset import main as build
from ltp_pipeline.commands.extract import main as extract
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.data_card import class_names_of
from ltp_pipeline.split_data import main as split
from tests.ltp_pipeline.conftest import functions
from tests.pruned_checkpoint import FUNCTIONS, LABELS, save_checkpoint, save_functions

SCRIPT = (
    "function Get-{name} {{\n    param($a)\n    Write-Output ($a + {number})\n    return {number} * $a - {name}\n}}\n"
)


def load(folder, tmp_path):
    """The data set in a folder: split -> table."""
    return load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_builder(ending, tmp_path, capsys):
    for number in range(12):
        place = tmp_path / "code" / ("malicious" if number % 2 else "benign") / f"p{number}.ps1"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(
            "".join(SCRIPT.format(name="abcdefghijkl"[number] * 3, number=number * 7 + i) for i in range(9))
        )
    flags = "--language powershell --granularity file --labels_from_folders malicious=1 benign=0 --workers 1 "
    flags += f"--near_duplicates 1 --format {ending} --cache_dir {tmp_path / 'cache'} --output_dir {tmp_path / 'out'}"
    build(["--source_dir", str(tmp_path / "code"), *flags.split()])
    data = load(tmp_path / "out", tmp_path)
    assert {*data} == {"train", "validation", "test"} and sum(map(len, data.values())) == 12
    for name, file in {"train": "train_subset", "validation": "validation", "test": "test"}.items():
        assert data[name].features["label"].names == ["benign", "malicious"]
        written = tmp_path / "out" / f"{file}.{ending}"
        frame = pd.read_csv(written) if ending == "csv" else pd.read_parquet(written)
        assert data[name]["label"][:] == frame["label"].tolist()
        assert data[name]["functionSource"][:] == frame["functionSource"].tolist()
        assert class_names_of(written) == ("benign", "malicious")


@pytest.mark.parametrize("labels", [{0: 0, 1: 1}, {0: "benign", 1: "malicious"}], ids=str)
def test_the_splits(labels, tmp_path, capsys):
    frame = functions(30)
    frame = frame.assign(label=frame["label"].map(labels), project=[f"p{i % 7}" for i in range(30)])
    frame.to_csv(tmp_path / "all.csv", index=False)
    split([str(tmp_path / "all.csv"), "--group_by", "project", "--output_dir", str(tmp_path / "out")])
    data = load(tmp_path / "out", tmp_path)
    assert sum(map(len, data.values())) == 30
    assert data["test"].features["label"].names == (["clean", "defective"] if labels[0] == 0 else [*labels.values()])
    read = read_functions(tmp_path / "out" / "train_subset.csv")
    assert data["train"]["label"][:] == read["label"].tolist()


def test_what_a_pruned_model_keeps(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"id2label": {0: "safe", 1: "vulnerable"}, "label2id": {"safe": 0, "vulnerable": 1}}
    save_checkpoint(Path("hard"), **names)
    save_functions(Path("a.csv"))
    save_functions(Path("b.csv"), FUNCTIONS[:2], LABELS[:2])
    flags = "--model_name_or_path hard --train_file a.csv --validation_file b.csv --max_length 96 --use_cpu"
    extract([*flags.split(), "--output_dir", "out"])
    data = load("out", tmp_path)
    assert {name: len(rows) for name, rows in data.items()} == {"train": 6, "validation": 2}
    assert data["train"].features["label"].names == ["safe", "vulnerable"]
    assert data["train"]["label"][:] == LABELS
    card = Path("out/README.md").read_text()
    assert "`hard` keeps of each function after layer 4" in card and str(tmp_path) not in card
