"""The classes of a trained checkpoint have the names that the data give them, in every stage."""

import json
from pathlib import Path

import pandas as pd
import pytest
from transformers import pipeline

from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.data.folders import CLASS_NAMES
from ltp_pipeline.data.readers import read_functions
from tests.ltp_pipeline.conftest import fill, functions
from tests.ltp_pipeline.training.conftest import FINE_TUNE, SOFT, fine_tune, prune

CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: train.csv
dataset_info:
  features:
  - name: label
    dtype:
      class_label:
        names: {'0': benign, '1': malicious}
---
"""


def names_of(folder):
    config = json.loads(Path(folder, "config.json").read_text())
    assert config["label2id"] == {name: int(number) for number, name in config["id2label"].items()}
    return list(config["id2label"].values())


@pytest.mark.slow
def test_the_words_of_the_data_are_the_names_in_every_stage(files, longformer_dir, tmp_path, monkeypatch, capsys):
    fill(tmp_path, files, longformer_dir)
    monkeypatch.chdir(tmp_path)
    frame = pd.read_csv("train.csv")
    frame.assign(label=frame["label"].map({0: "benign", 1: "malicious"})).to_csv("words.csv", index=False)
    quick = "--max_steps 2 --save_strategy steps --save_steps 1 --save_total_limit 2 --dtype float32"
    fine_tune(f"{FINE_TUNE} {quick} --train_file words.csv")
    assert names_of("code_test") == names_of("code_test/checkpoint-1") == ["benign", "malicious"]
    assert "Classes: 0 `benign`, 1 `malicious`." in Path("code_test/README.md").read_text()
    prune(f"{SOFT} --max_steps 1 --output_dir soft")  # its labels are 0 and 1
    assert names_of("soft") == ["benign", "malicious"]
    assert pipeline("text-classification", "soft")(frame["functionSource"][0])[0]["label"] in names_of("soft")
    prune(f"{SOFT} --max_steps 1 --masking_mode hard --restore soft --train_file words.csv --output_dir hard")
    assert names_of("hard") == ["benign", "malicious"]
    fine_tune(f"{FINE_TUNE} --max_steps 1 --dtype float32 --output_dir plain")
    assert names_of("plain") == ["clean", "defective"]


def test_a_label_map_names_the_classes(tmp_path):
    frame = functions(4)
    frame.assign(label=["ok", "bug", "ok", "bug"]).to_csv(tmp_path / "train.csv", index=False)
    for label_map, names in (("ok=0,bug=1", ("ok", "bug")), ("bug=0,ok=1", ("bug", "ok"))):
        read = read_functions(tmp_path / "train.csv", ReadingArguments(label_map=label_map))
        assert read.attrs[CLASS_NAMES] == names and read.head(2).attrs[CLASS_NAMES] == names


def test_a_row_without_a_label_does_not_hide_the_names(tmp_path, capsys):
    functions(4).assign(label=["benign", "malicious", "?", "benign"]).to_csv(tmp_path / "train.csv", index=False)
    read = read_functions(tmp_path / "train.csv", ReadingArguments(on_bad_rows="skip"))
    assert len(read) == 3 and read.attrs[CLASS_NAMES] == ("benign", "malicious")


def test_the_card_beside_the_data_names_the_classes(tmp_path):
    functions(4).to_csv(tmp_path / "train.csv", index=False)
    assert read_functions(tmp_path / "train.csv").attrs[CLASS_NAMES] is None
    (tmp_path / "README.md").write_text(CARD)
    assert read_functions(tmp_path / "train.csv").attrs[CLASS_NAMES] == ("benign", "malicious")


@pytest.mark.parametrize("names", ["['0', '1']", "[a, b, c]", "[a]", "{'0': a, '1': a}", "[]"])
def test_names_in_a_card_that_are_none_for_two_classes(names, tmp_path):
    functions(4).to_csv(tmp_path / "train.csv", index=False)
    (tmp_path / "README.md").write_text(CARD.replace("{'0': benign, '1': malicious}", names))
    assert read_functions(tmp_path / "train.csv").attrs[CLASS_NAMES] is None


@pytest.mark.parametrize("folders, names", [(["benign", "malicious"], ("benign", "malicious")), (["0", "1"], None)])
def test_the_names_of_folders_name_the_classes(folders, names, tmp_path, capsys):
    for name in folders:
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.c").write_text(f"int f_{name}() {{ return 1; }}\n")
    assert read_functions(tmp_path).attrs[CLASS_NAMES] == names
