"""What check_data finds, where, and with which exit status it ends."""

import json

import pandas as pd
import pytest

from ltp_pipeline.check_data import main
from ltp_pipeline.quality.data_findings import RIGHT
from tests.ltp_pipeline.conftest import functions


def write(path, frame):
    frame.to_csv(path, index=False)
    return str(path)


def status(capsys, *arguments) -> tuple[int, str]:
    """Exit status and what was printed."""
    code = 0
    try:
        main([*map(str, arguments)])
    except SystemExit as end:
        code = end.code
    return code, capsys.readouterr().out


@pytest.fixture
def sound(tmp_path):
    """Three files of functions that have nothing in common."""
    names = ("alpha", "beta", "gamma", "delta", "omega", "kappa")
    splits = {}
    for split, (one, other) in zip(("train", "valid", "test"), zip(names[::2], names[1::2])):
        rows = [" ".join(f"{one}_{i}_{k} = {other}({k * i}, {one});" for k in range(9)) for i in range(6)]
        frame = pd.DataFrame({"functionSource": rows, "label": [0, 1] * 3, "project": one})
        splits[split] = write(tmp_path / f"{split}.csv", frame)
    return splits


def test_sound_files_end_with_0_and_a_table(sound, tmp_path, capsys):
    code, shown = status(capsys, *sound.values(), "--output_file", tmp_path / "report.json")
    assert code == 0 and "\nsound\nNext: " in shown
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["sound"] is True and report["findings"] == []
    assert [(file["functions"], file["positive"], file["bad_rows"]) for file in report["files"]] == [(6, 0.5, 0)] * 3
    assert report["files"][0]["tokens_median"] == 81 and report["files"][0]["tokens_max"] == 81


def test_lengths_are_those_of_a_tokenizer_where_one_is_given(sound, tmp_path, capsys, tokenizer_dir):
    from transformers import AutoTokenizer

    flags = ["--tokenizer", tokenizer_dir, "--max_length", 50, "--output_file", tmp_path / "report.json"]
    code, shown = status(capsys, sound["train"], *flags)
    lengths = AutoTokenizer.from_pretrained(tokenizer_dir)(
        pd.read_csv(sound["train"])["functionSource"].tolist(), verbose=False
    )["input_ids"]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["files"][0]["tokens_max"] == max(map(len, lengths)) > 100
    assert report["files"][0]["longer_than_max_length"] == 1
    assert code == 0 and "warning long: " in shown and "6 of 6 functions have more than 50 tokens" in shown


def change(path, row, **columns):
    frame = pd.read_csv(path, keep_default_na=False, dtype={"label": object})
    for name, value in columns.items():
        frame.loc[row - 1, name] = value
    write(path, frame)


def test_each_kind_is_found_by_row_and_ends_with_1(sound, tmp_path, capsys):
    train = pd.read_csv(sound["train"])["functionSource"]
    change(sound["train"], 3, label="maybe")
    change(sound["train"], 5, functionSource=train[0] + "  // the same")
    change(sound["valid"], 2, functionSource=train[1].replace(" = ", "="), label=0)
    change(sound["valid"], 3, project="alpha")
    change(sound["test"], 1, functionSource='char *s = "caf\u00c3\u00a9";\x00')
    change(sound["test"], 4, functionSource=train[3].replace("alpha_3_8", "x"))
    report = tmp_path / "report.json"
    code, shown = status(capsys, *sound.values(), "--output_file", report, "--near_duplicates", 0.7)
    assert code == 1 and "not sound: " in shown
    found = json.loads(report.read_text())["findings"]
    by_kind = {finding["kind"]: finding for finding in found}
    leaks = {"groups_across", "pairs_across", "label_in_names", "label_in_paths", "label_in_length"}
    assert set(by_kind) == set(RIGHT) - {"one_class", "rare_class", "long", "near_duplicates"} - leaks
    assert {kind for kind, finding in by_kind.items() if finding["severity"] == "warning"} == {"duplicates"}
    train, valid, test = sound.values()
    assert by_kind["bad_rows"]["rows"][0] | {"why": ""} == {"file": train, "row": 3, "why": ""}
    assert by_kind["duplicates"]["rows"] == [{"file": train, "row": 5, "same_row": 1}]
    same = {"file": valid, "row": 2, "same_file": train, "same_row": 2}
    assert by_kind["duplicates_across"]["rows"] == [same]
    assert by_kind["label_conflict"]["rows"] == [{**same, "label": 0, "other_label": 1}]
    assert by_kind["project_leak"]["rows"] == [{"file": valid, "row": 3}]
    assert by_kind["encoding"]["rows"] == [
        {"file": test, "row": 1, "why": "a control character and UTF-8 that was read as Latin-1"}
    ]
    (near,) = by_kind["near_duplicates_across"]["rows"]
    assert near.pop("similarity") > 0.8 and near == {"file": test, "row": 4, "same_file": train, "same_row": 4}
    assert f"{train} row 3: the 'label' is 'maybe'" in shown
    assert f"error duplicates_across: {valid}: 1 of 6 functions are also in {train}\n" in shown
    assert f"  expected: {RIGHT['duplicates_across']}\n" in shown

    allowed = [kind for kind, finding in by_kind.items() if finding["severity"] == "error"]
    assert status(capsys, *sound.values(), "--near_duplicates", 0.7, "--allow", *allowed)[0] == 0
    assert status(capsys, *sound.values(), "--near_duplicates", 0.7, "--allow", *allowed[1:])[0] == 1


@pytest.mark.parametrize(("positive", "kind", "code"), [(0, "one_class", 1), (1, "rare_class", 0), (4, None, 0)])
def test_class_balance(tmp_path, capsys, positive, kind, code):
    frame = functions(300).assign(label=[1] * positive + [0] * (300 - positive))
    ended, shown = status(capsys, write(tmp_path / "a.csv", frame), "--near_duplicates", 0)
    assert ended == code and (kind is None) == ("_class: " not in shown)
    assert kind is None or f"{kind}: {tmp_path / 'a.csv'}: {positive} of 300 functions have the label 1" in shown


def test_a_file_of_none_but_bad_rows_is_not_sound(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("code,label\na,2\n,1\n")
    code, shown = status(capsys, tmp_path / "a.csv")
    assert code == 1 and "a.csv: 2 rows cannot be used" in shown and "row 2: 'code' is empty" in shown
