"""GLUE tasks from files with the hub's columns, from files as GLUE distributes them, and from the hub (replaced)."""

import json
import time
from contextlib import nullcontext

import datasets
import numpy as np
import pandas as pd
import pytest
from datasets.arrow_writer import ArrowWriter

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data import glue_files
from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.data.glue_files import check_labels, read_glue, read_glue_hub
from ltp_pipeline.data.readers import read_task_file
from ltp_pipeline.files.file_formats import SKIPPED
from ltp_pipeline.task.tasks import CODE, GLUE, NOT_GIVEN, TASKS


def _write(tmp_path, text, name="in.tsv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def _rows(task):
    """Two rows in the hub's columns: texts as they are hard to read, and a label as a number and as its name."""
    texts = ['He said "no', 'a, b; "c"', "NA", "12"]
    labels = [4.2, 0] if task.is_regression else [1, task.labels[0]]
    return [
        {column: texts[2 * row + i] for i, column in enumerate(task.columns)} | {"label": labels[row]}
        for row in range(2)
    ]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "json"])
@pytest.mark.parametrize("task", GLUE, ids=lambda task: task.name)
def test_each_task_from_each_form_of_file(tmp_path, task, form):
    rows = _rows(task)
    if form == "csv":
        text = pd.DataFrame(rows).to_csv(index=False)
    elif form == "tsv":
        text = "\n".join("\t".join(map(str, line)) for line in [rows[0], *(row.values() for row in rows)])
    else:
        text = json.dumps(rows) if form == "json" else "\n".join(map(json.dumps, rows)) + "\n"
    frame = read_glue(_write(tmp_path, text, f"in.{form}"), task, flag="--train_file")
    assert frame.columns.tolist() == [*task.columns, "label"]
    assert frame["label"].tolist() == ([4.2, 0] if task.is_regression else [1, 0])
    assert frame["label"].dtype == ("float64" if task.is_regression else "int64")
    texts = [{column: row[column] for column in task.columns} for row in rows]
    assert frame[list(task.columns)].to_dict("records") == texts


ORIGINAL_FILES = {
    "MRPC": ("Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t70\t71\tHe left .\tNo .\n", ["He left .", "No ."], 1),
    "QQP": ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n3\t1\t2\tWhy?\tHow?\t0\n", ["Why?", "How?"], 0),
    "STSB": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
        "0\tmain\tMSRvid\t2012\t1\tnone\tnone\tA plane.\tAn air plane.\t4.750\n",
        ["A plane.", "An air plane."],
        4.75,
    ),
    "MNLI": (
        "index\tpromptID\tpairID\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n"
        "0\t1\t1n\tfiction\tIt rained.\tIt was dry.\tneutral\tcontradiction\n",
        ["It rained.", "It was dry."],
        2,
    ),
    "QNLI": ("index\tquestion\tsentence\tlabel\n0\tWho?\tHe did.\tnot_entailment\n", ["Who?", "He did."], 1),
    "RTE": ("index\tsentence1\tsentence2\tlabel\n0\tAll.\tSome.\tentailment\n", ["All.", "Some."], 0),
    "WNLI": ("index\tsentence1\tsentence2\tlabel\n0\tIt is big.\tA box is.\t1\n", ["It is big.", "A box is."], 1),
    "SST2": ("sentence\tlabel\na \"fine film \t1\n", ['a "fine film '], 1),
    "COLA": ("gj04\t1\t\tOur friends left.\ngj04\t0\t*\tThey left friends our.\n", ["Our friends left."], 1),
}  # fmt: skip


@pytest.mark.parametrize("name", ORIGINAL_FILES)
def test_files_as_glue_distributes_them(tmp_path, name):
    text, texts, label = ORIGINAL_FILES[name]
    frame = read_glue(_write(tmp_path, text), TASKS[name], flag="--train_file")
    assert frame.iloc[0].tolist() == [*texts, label]
    assert len(frame) == (2 if name == "COLA" else 1)


def test_test_files_of_glue_have_no_labels(tmp_path):
    frame = read_glue(_write(tmp_path, "index\tsentence\n0\tBill left.\n1\tLeft Bill.\n"), TASKS["COLA"], flag="")
    assert frame["label"].tolist() == [NOT_GIVEN] * 2
    frame = read_glue(_write(tmp_path, "sentence1,sentence2,label\na,b,-1\nc,d,\n", "t.csv"), TASKS["STSB"], flag="")
    assert np.isnan(frame["label"]).all()
    check_labels(frame, TASKS["STSB"], "t.csv", "test")


def test_what_is_measured_or_shown_needs_labels(tmp_path):
    path = _write(tmp_path, "index\tsentence\n0\tBill left.\n")
    with pytest.raises(UserError, match=r"--test_file .*in.tsv: row 1 .* no label"):
        read_task_file(path, TASKS["COLA"], flag="--test_file")
    functions = _write(tmp_path, "functionSource,label\nint a;,1\n", "in.csv")
    assert read_task_file(functions, CODE, flag="--test_file")["functionSource"].tolist() == ["int a;"]


def test_another_column_of_labels(tmp_path):
    path = _write(tmp_path, "sentence,label,mood\ngood,0,positive\n", "in.csv")
    frame = read_glue(path, TASKS["SST2"], ReadingArguments(label_column="mood"), flag="--train_file")
    assert frame["label"].tolist() == [1]
    with pytest.raises(UserError, match=r"'moods' \(--label_column\); columns found: sentence, label, mood"):
        read_glue(path, TASKS["SST2"], ReadingArguments(label_column="moods"), flag="--train_file")


@pytest.mark.parametrize(
    "task, name, text, message",
    [
        ("RTE", "a.csv", "sentence1,label\na,1\n", "sentence1 and sentence2, and label; .*: sentence1, label"),
        ("MRPC", "a.csv", "x\n1\n", r"sentence1 and sentence2 \(or #1 String and #2 String\).*found: x"),
        ("MNLI", "a.csv", "premise,hypothesis,label\na,b,1.5\n", "row 1 .*'label' is '1.5'"),
        ("STSB", "a.csv", "sentence1,sentence2,label\na,b,5.1\n", "row 1 .*'5.1'; expected a number from 0 to 5"),
        ("STSB", "a.csv", "sentence1,sentence2,label\na,b,high\n", "row 1 .*'high'"),
        ("QQP", "a.jsonl", '{"question1": "a", "question2": null, "label": 1}\n', "row 1 .*question2: expected text"),
        ("QQP", "a.csv", "question1,question2,label\na,,1\n,,1\n", "row 2 .*question1 and question2: expected text"),
        ("RTE", "a.csv", "sentence1,sentence2,label\n", "no rows"),
        ("RTE", "a.tsv", "sentence1\tsentence2\tlabel\na\tb\n", "header's 3, the first is line 2"),
        ("RTE", "a.tsv", "sentence1\tsentence2\tlabel\tlabel\na\tb\t1\t1\n", "'label' occurs twice"),
    ],
)
def test_bad_files_are_named(tmp_path, task, name, text, message):
    path = _write(tmp_path, text, name)
    with pytest.raises(UserError, match=message) as error:
        read_glue(path, TASKS[task], flag="--train_file")
    assert str(error.value).startswith(f"--train_file {path}: ")


def test_a_few_broken_lines_as_qqp_has_them_are_left_out(tmp_path, capsys):
    lines = ["question1\tquestion2\tis_duplicate", *["Why?\tHow?\t0"] * 150, "", "What is", *["Who?\tWhere?\t1"] * 50]
    frame = read_glue(_write(tmp_path, "\r\n".join(lines)), TASKS["QQP"], flag="--train_file")
    assert frame["label"].tolist() == [0] * 150 + [1] * 50
    assert "1 of 201 rows cannot be used and are skipped:\n  row 151: line 153 has 1 field" in capsys.readouterr().out
    assert frame.index.tolist() == [*range(150), *range(151, 201)] and frame.attrs[SKIPPED] == [151]


def test_messages_about_labels_count_the_rows_of_the_file_after_rows_were_skipped(tmp_path):
    reading, skipped = ReadingArguments(on_bad_rows="skip"), "sentence,label\n,1\n"
    frame = read_glue(_write(tmp_path, f"{skipped}a,1\nb,1\n", "in.csv"), TASKS["SST2"], reading, flag="--train_file")
    with pytest.raises(UserError, match="in.csv: all 2 rows have the label 1"):
        check_labels(frame, TASKS["SST2"], "in.csv", "train")
    frame = read_glue(_write(tmp_path, f"{skipped}a,1\n,0\nb,\n", "in.csv"), TASKS["SST2"], reading, flag="x")
    with pytest.raises(UserError, match="in.csv: row 4 .*no label"):
        check_labels(frame, TASKS["SST2"], "in.csv", "eval")


@pytest.mark.parametrize(
    "labels, split, message",
    [
        ([0, NOT_GIVEN], "train", "here: row 2 .* no label; expected 0 .entailment. or 1"),
        ([NOT_GIVEN, NOT_GIVEN], "eval", "here: row 1 .* no label"),
        ([0, NOT_GIVEN], "test", "here: row 2 .* no label"),
        ([1, 1], "eval", None),
        ([NOT_GIVEN, NOT_GIVEN], "test_mismatched", None),
    ],
)
def test_labels_that_a_split_needs(labels, split, message):
    frame = pd.DataFrame({"label": labels})
    with nullcontext() if message is None else pytest.raises(UserError, match=message):
        check_labels(frame, TASKS["RTE"], "here", split)


@pytest.mark.parametrize(
    "task, split, asked",
    [
        ("RTE", "train", ("nyu-mll/glue", "rte", "train")),
        ("STSB", "eval", ("nyu-mll/glue", "stsb", "validation")),
        ("MNLI", "eval", ("nyu-mll/glue", "mnli", "validation_matched")),
        ("MNLI", "eval_mismatched", ("nyu-mll/glue", "mnli", "validation_mismatched")),
        ("SST2", "test", ("nyu-mll/glue", "sst2", "test")),
    ],
)
def test_the_split_is_read_from_the_hub(monkeypatch, task, split, asked):
    task = TASKS[task]
    label = -1 if split == "test" else 1
    columns = {column: [f"a {column}"] for column in task.columns} | {"label": [label], "idx": [0]}
    calls = []

    def load_dataset(path, name, split):
        calls.append((path, name, split, datasets.config.HF_HUB_OFFLINE))
        return datasets.Dataset.from_dict(columns)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(glue_files, "is_offline", lambda: False)
    frame = read_glue_hub(task, split, flag="--x")
    assert calls == [(*asked, False)]
    assert frame.columns.tolist() == [*task.columns, "label"]
    assert frame.iloc[0].tolist() == [*(f"a {column}" for column in task.columns), NOT_GIVEN if label < 0 else label]


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No address of the hub, and an empty folder in place of its cache, which is returned."""
    monkeypatch.setattr(glue_files, "is_offline", lambda: True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    return tmp_path


def test_without_a_network_the_cache_of_the_hub_is_read(offline):
    features = datasets.Features({"sentence1": datasets.Value("string"), "sentence2": datasets.Value("string")})
    features["label"] = datasets.ClassLabel(names=["entailment", "not_entailment"])
    folder = offline / "nyu-mll___glue" / "rte" / "0.0.0" / "0123456789abcdef0123456789abcdef01234567"
    folder.mkdir(parents=True)
    with ArrowWriter(features=features, path=str(folder / "glue-train.arrow")) as writer:
        for label in (0, 1):
            writer.write({"sentence1": "All.", "sentence2": f"Some {label}.", "label": label})
        writer.finalize()
    train = {"name": "train", "num_examples": 2, "num_bytes": 1, "dataset_name": "glue"}
    info = {"builder_name": "parquet", "dataset_name": "glue", "config_name": "rte", "version": "0.0.0"}
    datasets.DatasetInfo(features=features, splits={"train": train}, **info).write_to_directory(str(folder))

    frame = read_glue_hub(TASKS["RTE"], "train", flag="--train_file")
    assert frame.values.tolist() == [["All.", "Some 0.", 0], ["All.", "Some 1.", 1]]


def test_without_a_network_the_error_comes_at_once_and_names_the_flag(offline):
    start = time.monotonic()
    with pytest.raises(UserError, match=r"^--validation_file is missing, .*validation split of RTE .*nyu-mll/glue"):
        read_glue_hub(TASKS["RTE"], "eval", flag="--validation_file")
    assert time.monotonic() - start < 15  # the library alone tries for 23
    assert datasets.config.HF_HUB_OFFLINE is False
