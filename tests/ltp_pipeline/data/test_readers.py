"""Columns and labels of functions. tests/ltp_pipeline/bad_inputs.py has the messages about files that are wrong."""

import json

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.task.labels import as_class


def _write(tmp_path, text, name="in.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_can_be_named(tmp_path):
    path = _write(tmp_path, "functionSource,body,bad\nx,int a;,1\n")
    frame = read_functions(path, ReadingArguments(text_column="body", label_column="bad"))
    assert frame.to_dict("list") == {"functionSource": ["int a;"], "label": [1]}


def test_a_json_row_without_a_label_is_named(tmp_path):
    rows = [{"code": "a", "label": 1}, {"code": "b"}]
    path = _write(tmp_path, "\n".join(map(json.dumps, rows)), "in.jsonl")
    with pytest.raises(UserError) as error:
        read_functions(path, flag="--validation_file")
    assert str(error.value).startswith(f"--validation_file {path}: row 2 ") and "'label' is 'nan'" in str(error.value)


def test_labels_by_a_map_of_names(tmp_path):
    path = _write(tmp_path, "code,verdict\na,good\nb,bad\nc,good\n")
    reading = ReadingArguments(label_column="verdict", label_map="good=0,bad=1")
    assert read_functions(path, reading)["label"].tolist() == [0, 1, 0]
    reading.label_map = str(_write(tmp_path, '{"good": 1, "bad": false}', "map.json"))
    assert read_functions(path, reading)["label"].tolist() == [1, 0, 1]


def test_lists_of_labels_are_1_if_any_entry_is(tmp_path):
    path = _write(tmp_path, 'code,label\na,"[0, 1]"\nb,[]\nc,"[false, 0]"\n')
    assert read_functions(path)["label"].tolist() == [1, 0, 0]
    names = {"x": 0, "y": 1}
    assert [as_class(value, names) for value in ('["x", "y"]', "x", ["x"], "[x")] == [1, 0, 0, None]
