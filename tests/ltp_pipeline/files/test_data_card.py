"""A data card: `datasets.load_dataset(folder)` reads the tables by its metadata, with the names of the classes."""

import re
from pathlib import Path

import pandas as pd
import pytest
from datasets import ClassLabel, Value, load_dataset
from huggingface_hub import DatasetCard

from ltp_pipeline.base.files import replaced_together, write_rows
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.data_card import class_names_of, write_card

ROWS = {
    "functionSource": ['int f() {\n\treturn "é,";\r\n}', "NA", "x"], "label": [1, 0, 1], "first_line": [3, 1, 12],
    "finding_lines": ["3 17", "", "5"], "share": [0.5, 1.0, 2.0], "cwes": ["", "", ""],
}  # fmt: skip
FILES = {"train": "train_subset", "validation": "validation", "test": "test"}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a data set in the folder `data`, whose tables of the hub's cache are in another folder."""
    monkeypatch.chdir(tmp_path)

    def write(ending="csv", changes=None, prefixes=("",), **settings):
        frames, tables = [], {}
        with replaced_together(Path("data")) as staging:
            for prefix in prefixes:
                for number, (split, file) in enumerate(FILES.items()):
                    frame = pd.DataFrame({**ROWS, **(changes or {})})[: 3 - number]
                    write_rows(staging / f"{prefix}{file}.{ending}", frame)
                    frames.append(frame)
                    tables.setdefault(prefix.rstrip("_") or "default", {})[split] = f"{prefix}{file}.{ending}"
            write_card(staging, Path("data"), "# Data set card\n\ntext\n", tables, frames, **settings)

    return write


def load(*names):
    return load_dataset("data", *names, cache_dir="cache")


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_data_set_loads_with_splits_features_and_class_names(written, ending):
    written(ending)
    data = load()
    assert {split: len(rows) for split, rows in data.items()} == {"train": 3, "validation": 2, "test": 1}
    features = data["train"].features
    assert features["label"] == ClassLabel(names=["clean", "defective"])
    assert [features[name] for name in ("functionSource", "first_line", "finding_lines", "share", "cwes")] == [
        Value("string"), Value("int64"), Value("string"), Value("float64"), Value("string"),
    ]  # fmt: skip
    assert data["train"]["label"][:] == [1, 0, 1] and data["train"]["first_line"][:] == [3, 1, 12]
    assert [text or "" for text in data["train"]["finding_lines"]] == ROWS["finding_lines"]
    if ending != "csv":  # pandas reads some texts, such as NA, as missing
        assert data["train"]["functionSource"][:] == ROWS["functionSource"]
    assert data["train"]["functionSource"][0] == ROWS["functionSource"][0]
    assert read_functions(f"data/train_subset.{ending}")["functionSource"].tolist() == ROWS["functionSource"]


def test_tables_of_two_kinds_are_two_configurations(written):
    written(prefixes=("", "mixed_"), classes=("benign", "malicious"))
    for names in ((), ("mixed",)):
        assert load(*names)["test"].features["label"].names == ["benign", "malicious"]
    for name in ("train_subset", "mixed_test"):
        assert class_names_of(Path(f"data/{name}.csv")) == ("benign", "malicious")
    assert class_names_of(Path("data/other.csv")) == ()


@pytest.mark.parametrize("label", [["bad", "good", "bad"], [7, 0, 1], [-1, -1, -1]])
def test_labels_of_another_kind_stay_as_they_are(written, label):
    written(changes={"label": label})
    assert load()["train"]["label"][:] == label and class_names_of(Path("data/test.csv")) == ()


def test_a_missing_number_and_an_empty_table_load(written):
    written(changes={"first_line": pd.array([3, None, 12], dtype="Int64")})
    assert load()["train"]["first_line"][:] == [3.0, None, 12.0]


def test_columns_of_lists_have_no_features(written):
    written("jsonl", changes={"lines": [[1, 2], [], [3]]})
    assert "features:" not in Path("data/README.md").read_text() and load()["train"]["lines"][0] == [1, 2]


def test_the_card_is_valid(written):
    written()
    card = DatasetCard.load("data/README.md")
    assert card.text == "\n# Data set card\n\ntext\n"
    values = card.data.to_dict()
    assert {"license", "task_categories", "size_categories", "tags", "configs", "dataset_info"} == values.keys()
    assert re.fullmatch(r"n<1K", *values["size_categories"]) and values["task_categories"] == ["text-classification"]
    assert "&" not in Path("data/README.md").read_text().partition("# Data")[0]


def test_another_page_is_never_replaced(written, capsys):
    Path("data").mkdir()
    Path("data/README.md").write_text("# My project\n")
    written()
    assert "data/README.md is another page and stays; the card is dataset_card.md" in capsys.readouterr().out
    assert Path("data/README.md").read_text() == "# My project\n"
    assert Path("data/dataset_card.md").read_text().startswith("---\nlicense")


def test_an_old_card_is_replaced(written):
    Path("data").mkdir()
    Path("data/dataset_card.md").write_text("# Data set card\n\nold\n")
    Path("data/README.md").write_text("---\nlicense: mit\n---\n\n# Data set card: x\n\nold\n")
    written()
    assert not Path("data/dataset_card.md").exists() and "old" not in Path("data/README.md").read_text()


@pytest.mark.parametrize("page", ["", "# text", "---\n- a\n---\n", "---\na: [\n---\n", "---\ndataset_info: 3\n---\n"])
def test_cards_of_others_name_no_classes(page, tmp_path):
    (tmp_path / "README.md").write_text(page)
    assert class_names_of(tmp_path / "train.csv") == ()
    assert class_names_of(tmp_path / "none" / "train.csv") == ()
