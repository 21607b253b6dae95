"""Files without labels, which are only predicted: no column of labels, or a column without any."""

import pandas as pd
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.flags import DataArguments, ReadingArguments
from ltp_pipeline.data.readers import describe_splits, read_functions, read_splits
from ltp_pipeline.task.tasks import CODE, VDISC, has_labels


def write(folder, text, name="in.csv"):
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize(
    "text, name",
    [
        ("code,cwe\na,\nb,\n", "in.csv"),
        ("code,label\na,\nb,\n", "in.csv"),
        ("code,label\na,-1\nb,-1\n", "in.csv"),
        ('{"code": "a", "label": null}\n{"code": "b"}\n', "in.jsonl"),
        ('[{"text": "a", "label": -1}, {"text": "b", "label": ""}]', "in.json"),
    ],
)
def test_a_file_without_labels_is_read_where_they_are_optional(tmp_path, text, name, capsys):
    file = write(tmp_path, text, name)
    frame = read_functions(file, flag="--test_file", labels="optional")
    assert frame["label"].tolist() == [-1, -1] and not has_labels(frame["label"])
    assert frame.attrs["layout"].text in ("code", "text")
    assert "in.j" in str(file) or "2 functions without labels" in capsys.readouterr().out
    with pytest.raises(UserError, match="--test_file .*label"):
        read_functions(file, flag="--test_file")


def test_labels_are_read_where_they_are_optional(tmp_path):
    frame = read_functions(write(tmp_path, "code,label\na,1\nb,0\n"), labels="optional")
    assert frame["label"].tolist() == [1, 0]


def test_a_row_without_a_label_among_others_is_a_bad_row(tmp_path, capsys):
    file = write(tmp_path, "code,label\na,1\nb,\nc,0\n")
    with pytest.raises(UserError, match="row 2 .*'label' is ''.*or no label in any row"):
        read_functions(file, flag="--test_file", labels="optional")
    frame = read_functions(file, ReadingArguments(on_bad_rows="skip"), labels="optional")
    assert frame["label"].tolist() == [1, 0] and frame.attrs["skipped_rows"] == [2]


def test_a_column_that_was_named_must_exist(tmp_path):
    file = write(tmp_path, "code,cwe\na,b\n")
    with pytest.raises(UserError, match="no column 'vul' .*--label_column"):
        read_functions(file, ReadingArguments(label_column="vul"), labels="optional")


def test_values_that_are_no_labels_are_no_missing_labels(tmp_path):
    with pytest.raises(UserError, match="row 1 .*'label' is 'maybe'"):
        read_functions(write(tmp_path, "code,label\na,maybe\nb,maybe\n"), labels="optional")
    mapped = ReadingArguments(label_map="none=0,some=1")
    frame = read_functions(write(tmp_path, "code,label\na,none\nb,none\n"), mapped, labels="optional")
    assert frame["label"].tolist() == [0, 0]


def test_ignored_labels_may_be_anything(tmp_path):
    file = write(tmp_path, "code,label\na,maybe\nb,\n")
    assert read_functions(file, labels="ignored")["label"].tolist() == [-1, -1]
    with pytest.raises(UserError, match="row 2 .*'code' is empty"):
        read_functions(write(tmp_path, 'code\na\n" "\n'), labels="ignored")


def test_groups_without_labels(tmp_path):
    """An empty text means none of the groups, so that it is a label."""
    file = write(tmp_path, "code\na\nb\n")
    frame = read_functions(file, labels="optional", groups=VDISC.labels)
    assert frame["label"].tolist() == [[-1] * 5] * 2 and not has_labels(frame["label"].tolist())
    named = write(tmp_path, "code,label\na,\nb,\n", "named.csv")
    assert read_functions(named, labels="optional", groups=VDISC.labels)["label"].tolist() == [[0] * 5] * 2


@pytest.mark.parametrize("task", [CODE, VDISC], ids=lambda task: task.name)
def test_only_the_test_file_may_lack_labels(tmp_path, task):
    write(tmp_path, "code\na\nb\n")
    path = str(tmp_path / "in.csv")
    data = DataArguments(train_file=path, validation_file=path, test_file=path)
    frames = read_splits(data, ["test"], task)
    assert describe_splits(data, frames, task)[0]["classes"] == ""
    for split, flag in (("train", "--train_file"), ("eval", "--validation_file")):
        with pytest.raises(UserError, match=f"{flag} .*no column 'label'"):
            read_splits(data, [split], task)


def test_parquet_without_labels(tmp_path):
    pd.DataFrame({"code": ["a", "b"], "label": [None, float("nan")]}).to_parquet(tmp_path / "a.parquet")
    assert read_functions(tmp_path / "a.parquet", labels="optional")["label"].tolist() == [-1, -1]
