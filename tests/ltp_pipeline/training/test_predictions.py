"""The tables of predictions: which columns of the file they repeat, and the formats in which they are written."""

import json

import numpy as np
import pandas as pd
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.layouts import LAYOUT, Layout
from ltp_pipeline.task.tasks import CODE, TASKS, VDISC
from ltp_pipeline.training.predictions import check_format, predictions_table, write_predictions

LOGITS = np.array([[0.0, 1.0], [2.0, 0.0]])


def table_of(source, labels=(1, 0), logits=LOGITS, task=CODE):
    return predictions_table(task, np.array(logits), np.array(labels), None, source)


def frame(layout=None, **columns):
    made = pd.DataFrame({"functionSource": ["int a;", "int b;"], "label": [1, 0], **columns})
    made.attrs[LAYOUT] = layout or Layout("", "functionSource", "label")
    return made


@pytest.mark.parametrize(
    "task, logits, labels, threshold, columns, prediction",
    [
        (CODE, [[0, 1], [0, 2]], [0, 1], None, ["label", "prediction", "score"], [1, 1]),
        (CODE, [[0, 1], [0, 2]], [0, 1], 0.8, ["label", "prediction", "score"], [0, 1]),
        (CODE, [[0, 1], [0, 2]], [-100, -100], None, ["prediction", "score"], [1, 1]),
        (TASKS["STSB"], [[2.5], [4.0]], [1.0, 2.0], None, ["label", "prediction"], [2.5, 4.0]),
        (VDISC, [[1, -1, -1, -1, 1]], [[0, 0, 0, 0, 1]], None, None, ["CWE-119 CWE-other"]),
        (VDISC, [[1, -1, -1, -1, 1]], [[-1] * 5], None, ["prediction"], ["CWE-119 CWE-other"]),
    ],
)
def test_predictions(task, logits, labels, threshold, columns, prediction):
    source = pd.DataFrame(index=range(len(logits)))
    table = predictions_table(task, np.array(logits, dtype=float), np.array(labels), threshold, source)
    named = [f"score_{name}" for name in task.labels] if task.multi_label else []
    columns = ["label", "prediction"] if columns is None else columns
    assert table.columns.tolist() == [*columns, *named]
    assert table["prediction"].tolist() == prediction
    scores = table.filter(like="score").to_numpy()
    assert ((scores > 0.5) == (np.array(logits)[:, -scores.shape[1] :] > 0)).all() if scores.size else True


def test_short_columns_of_the_file_are_repeated_and_texts_are_not():
    layout = Layout("", "func", "target", id="idx", cwe="cwe", path="file", partner="fixed")
    long = ["x" * 121, "y"]
    source = frame(layout, note=["a", None], idx=[7, 8], cwe=[["CWE-119"], []], file=["p" * 300, "q"])
    source = source.assign(fixed=["int c;", ""], func_after=["int\n", ""], message=long, lines=[[3], [4]])
    source.attrs[LAYOUT] = layout
    table = table_of(source)
    assert list(table.columns) == ["idx", "cwe", "file", "note", "lines", "label", "prediction", "score"]
    assert table["idx"].tolist() == [7, 8] and table["label"].tolist() == [1, 0]


def test_names_of_columns_do_not_clash():
    source = frame(prediction=[1, 2], score=["a", "b"], source_score=["c", "d"], row=[5, 6], **{"": [0, 1]})
    source.index = [0, 4]  # rows were skipped
    table = table_of(source)
    names = ["row", "source_prediction", "source_score", "source_source_score", "source_row", "index"]
    assert list(table.columns) == [*names, "label", "prediction", "score"]
    assert table["row"].tolist() == [1, 5] and table["source_row"].tolist() == [5, 6]


def test_all_formats_hold_the_same(tmp_path):
    source = frame(
        Layout("", "func", "target", id="idx"), idx=[11, 12], cwe=[["CWE-119", "CWE-20"], []], n=[1.5, None]
    )
    table = table_of(source)
    for form in ("csv", "jsonl", "primevul"):
        write_predictions(tmp_path, "eval", table, source, form)
    write_predictions(tmp_path, "test", table, source, "primevul")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("predictions.csv", "predictions.jsonl", "predictions.txt", "test_predictions.txt")
    ]
    read = pd.read_csv(tmp_path / "predictions.csv")
    rows = list(map(json.loads, (tmp_path / "predictions.jsonl").read_text().splitlines()))
    assert [json.loads(value) for value in read["cwe"]] == [row["cwe"] for row in rows] == [["CWE-119", "CWE-20"], []]
    assert [row["n"] for row in rows] == [1.5, None] and list(rows[0]) == list(read.columns)
    lines = [line.strip().split("\t") for line in (tmp_path / "predictions.txt").read_text().splitlines()]
    assert [(int(idx), int(label), float(score)) for idx, label, score in lines] == [
        (row["idx"], row["prediction"], row["score"]) for row in rows
    ]
    assert read["score"].tolist() == [row["score"] for row in rows]


@pytest.mark.parametrize("ids", [[1, 1], ["a b", "c"], ["", "c"], [1.0, None]])
def test_ids_that_do_not_name_a_row_are_replaced_by_its_number(tmp_path, ids, capsys):
    source = frame(Layout("", "func", id="idx"), idx=ids)
    write_predictions(tmp_path, "eval", table_of(source), source, "primevul")
    assert [line.split("\t")[0] for line in (tmp_path / "predictions.txt").read_text().splitlines()] == ["1", "2"]
    assert "note: the column 'idx'" in capsys.readouterr().out


def test_the_table_of_a_file(tmp_path):
    """As read: names of our own columns are known without a flag."""
    rows = '"int a;\n",1,zlib,a.c,7,CWE-119 CWE-20\nint b;,0,zlib,b.c,1,\n'
    (tmp_path / "a.csv").write_text(f"functionSource,label,project,path,first_line,cwes\n{rows}")
    table = table_of(read_functions(tmp_path / "a.csv"))
    assert table.iloc[0][["cwes", "project", "path", "first_line"]].tolist() == ["CWE-119 CWE-20", "zlib", "a.c", 7]
    assert "functionSource" not in table


def test_only_functions_of_two_classes_have_primevul_lines():
    check_format("primevul", CODE)
    with pytest.raises(UserError, match="--predictions_format primevul: .* VDISC"):
        check_format("primevul", VDISC)


@pytest.mark.parametrize(
    "name, text, columns",
    [
        (
            "linevul.csv",
            ',processed_func,target,flaw_line,flaw_line_index,CWE ID\n8,"int a(){\n x();\n}",1, x();,1,CWE-120\n'
            '9,"int b(){\n}",0,,,\n',
            {"CWE ID": ["CWE-120", ""], "flaw_lines": ["2", ""], "index": [8, 9], "flaw_line": [" x();", ""]},
        ),
        (
            "primevul.jsonl",
            '{"idx": 4, "func": "int a;", "target": 1, "cwe": ["CWE-20"], "commit_id": "c", "func_hash": 12}\n'
            '{"idx": 5, "func": "int b;", "target": 0, "cwe": ["CWE-20"], "commit_id": "c", "func_hash": 13}\n',
            {
                "idx": [4, 5],
                "cwe": [["CWE-20"]] * 2,
                "pair": ["1", "1"],
                "commit_id": ["c"] * 2,
                "func_hash": [12, 13],
            },
        ),
        (
            "bigvul.csv",
            'CVE ID,func_before,func_after,lines_before,vul,Summary\nC-1,"int a(){\n x();\n}",int c;, x();,1,'
            + "long " * 30
            + '\nC-2,"int b;",int b;,,0,\n',
            {"flaw_lines": ["2", ""], "CVE ID": ["C-1", "C-2"]},
        ),
    ],
)
def test_rows_of_public_layouts(tmp_path, name, text, columns):
    (tmp_path / name).write_text(text)
    table = table_of(read_functions(tmp_path / name))
    assert {key: table[key].tolist() for key in table.columns[:-3]} == columns
