import json
import os
from pathlib import Path

import pandas as pd
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import format_table, replaced_together, write_csv, write_json, write_text
from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.data.readers import read_functions

NASTY = ['"quoted", and commas', "two\nlines\r\n and\rmore", "  spaces \t", "é\u2028\x0b", "NA", "1", "null", ""]


def test_code_in_csv_reads_back_exactly(tmp_path):
    frame = pd.DataFrame({"code": NASTY, "label": range(len(NASTY))})
    write_csv(tmp_path / "new" / "out.csv", frame)
    back = pd.read_csv(tmp_path / "new" / "out.csv", keep_default_na=False, dtype={"code": str})
    assert back["code"].tolist() == NASTY
    assert back["label"].tolist() == list(range(len(NASTY)))


def test_cells_that_a_spreadsheet_takes_for_formulas_read_back_exactly(tmp_path):
    texts = ["=1+1", "+x", "-y", "@z", "=cmd|' /C calc'!A0", "-0.5", "\t=1", "\r=1", "'=1", '"=1"', ";=1"]
    frame = pd.DataFrame({"code": texts, "number": [-0.5] * len(texts), "=name": 1})
    write_csv(tmp_path / "out.csv", frame)
    back = pd.read_csv(tmp_path / "out.csv", keep_default_na=False, dtype={"code": str})
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)
    assert back["number"].dtype == "float64"
    rows = read_functions(tmp_path / "out.csv", ReadingArguments(label_column="=name"))
    assert rows["functionSource"].tolist() == texts


def test_half_characters_are_written_as_escapes_that_json_reads(tmp_path):
    write_json(tmp_path / "a.json", {"file": "caf\udce9.csv"})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"file": "caf\udce9.csv"}


def test_devices_and_pipes_are_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "text")
    write_text(tmp_path / "null", "text")
    assert os.read(reader, 9) == b"text" and (tmp_path / "null").is_char_device()
    os.close(reader)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["null", "pipe"]


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
