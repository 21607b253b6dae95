import json
import os
from pathlib import Path

import pandas as pd
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import format_table, replaced_together, write_csv, write_json, write_text

NASTY = ['"quoted", and commas', "two\nlines\r\n and\rmore", "  spaces \t", "é\u2028\x0b", "NA", "1", "null", ""]


def test_code_in_csv_reads_back_exactly(tmp_path):
    frame = pd.DataFrame({"code": NASTY, "label": range(len(NASTY))})
    write_csv(tmp_path / "new" / "out.csv", frame)
    back = pd.read_csv(tmp_path / "new" / "out.csv", keep_default_na=False, dtype={"code": str})
    assert back["code"].tolist() == NASTY
    assert back["label"].tolist() == list(range(len(NASTY)))


def test_json_is_readable_and_refuses_nan(tmp_path):
    write_json(tmp_path / "a.json", {"f1": 0.5, "layers": [1, 2], "name": "é"})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"f1": 0.5, "layers": [1, 2], "name": "é"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"f1": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text("utf-8"))["f1"] == 0.5


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write_text(tmp_path / "a.txt", "old")

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*a\.txt: No space left on device"):
        write_text(tmp_path / "a.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_place_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write .*out.json: (Not a directory|File exists)"):
        write_json(tmp_path / "file" / "out.json", {})


def test_table_aligns_numbers_right_and_text_left():
    rows = [{"stage": "fine-tuned", "F1": 0.5, "n": 7}, {"stage": "hard", "F1": None, "n": 12345, "kept": [66.0, 1.0]}]
    assert format_table(rows) == (
        "stage           F1      n         kept\n"
        "----------  ------  -----  -----------\n"
        "fine-tuned  0.5000      7            -\n"
        "hard             -  12345  66.0 1.0000"
    )
    assert format_table([{"a": 1e-5, "b": 2}], columns=["b", "a"]) == "b        a\n-  -------\n2  1.0e-05"


def test_markdown_table_has_the_same_cells():
    rows = [{"name": "a|b", "F1": 0.5}, {"name": "two\nlines"}]
    assert format_table(rows, markdown=True) == (
        "| name | F1 |\n| --- | ---: |\n| a\\|b | 0.5000 |\n| two lines | - |"
    )


def test_files_replaced_together_move_in_the_order_in_which_they_were_written(tmp_path, monkeypatch):
    moved, replace = [], os.replace

    def note(source, target):
        moved.append(Path(target).name)
        replace(source, target)

    with replaced_together(tmp_path) as staging:
        for name in ("table.csv", "a_report.json"):
            write_text(staging / name, name)
        monkeypatch.setattr(os, "replace", note)
    assert moved == ["table.csv", "a_report.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_report.json", "table.csv"]


def test_a_failure_leaves_the_files_that_were_to_be_replaced_together(tmp_path):
    (tmp_path / "table.csv").write_text("old")
    with pytest.raises(ValueError), replaced_together(tmp_path) as staging:
        write_text(staging / "table.csv", "new")
        raise ValueError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("table.csv", "old")]
