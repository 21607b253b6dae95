"""Rows are read the same from every file format, and rows that cannot be used are reported and left out."""

import gzip
import json

import pandas as pd
import pytest

from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.data.readers import read_functions

SKIP = ReadingArguments(on_bad_rows="skip")
ROWS = pd.DataFrame({"code": ["int a;\tx\n", "b('\"');"], "label": [1, 0], "line": [3, 4]})


def _write(tmp_path, text, name="in.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_keeps_line_ends_quotes_and_empty_fields(tmp_path):
    code = 'int main() {\r\n  return "a,""b";\n}\n'
    quoted = code.replace('"', '""')
    path = _write(tmp_path, f'line,functionSource,label,cwe\n3,"{quoted}",true,\n4,NA,0,CWE-120\n')
    frame = read_functions(path)
    assert frame["label"].dtype == "int64"
    expected = {"functionSource": [code, "NA"], "label": [1, 0], "line": [3, 4], "cwe": ["", "CWE-120"]}
    assert frame.to_dict("list") == expected and frame.columns.tolist() == list(expected)


@pytest.mark.parametrize("name, form", [("a.json", "array"), ("a.jsonl", "lines"), ("b.json", "lines")])
def test_json_lines_and_arrays(tmp_path, name, form):
    rows = [{"code": "int a;\u2028\n", "label": True}, {"code": "int b;", "label": 0.0}]
    text = json.dumps(rows) if form == "array" else "\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n\n"
    frame = read_functions(_write(tmp_path, text, name))
    assert frame.to_dict("list") == {"functionSource": ["int a;\u2028\n", "int b;"], "label": [1, 0]}


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".json", ".jsonl", ".csv.gz", ".tsv.gz", ".json.gz", ".jsonl.gz"])
def test_every_text_format_also_gzipped(tmp_path, ending):
    kind = ending.removesuffix(".gz")
    if kind in (".csv", ".tsv"):
        text = ROWS.to_csv(index=False, sep="," if kind == ".csv" else "\t")
    else:
        text = ROWS.to_json(orient="records", lines=kind == ".jsonl")
    raw = gzip.compress(text.encode()) if ending.endswith(".gz") else text.encode()
    frame = read_functions(_write(tmp_path, raw, f"in{ending}"))
    assert frame.to_dict("list") == {"functionSource": ROWS["code"].tolist(), "label": [1, 0], "line": [3, 4]}


def test_parquet_with_text_bytes_lists_and_booleans(tmp_path):
    frame = pd.DataFrame({"code": ["int a;", "int b;", "int c;"], "label": [True, False, True]})
    frame.to_parquet(tmp_path / "in.parquet")
    assert read_functions(tmp_path / "in.parquet")["label"].tolist() == [1, 0, 1]
    raw = [text.encode() for text in frame["code"]]
    frame.assign(code=raw, label=[[0, 1], [], [0, 0]]).to_parquet(tmp_path / "in.parquet")
    read = read_functions(tmp_path / "in.parquet")
    assert read.to_dict("list") == {"functionSource": frame["code"].tolist(), "label": [1, 0, 0]}


BAD = 'code,label\na,1\nb,maybe\nc,0\n"  ",1\ne,1,5\nf,0\n\xff,1\n'.encode("latin-1")


def test_bad_rows_are_left_out_reported_and_numbered(tmp_path, capsys):
    path = _write(tmp_path, BAD)
    frame = read_functions(path, SKIP, need_both_classes=True)
    assert frame.to_dict("list") == {"functionSource": ["a", "c", "f"], "label": [1, 0, 0]}
    assert frame.index.tolist() == [0, 2, 5]
    assert frame.attrs["skipped_rows"] == [2, 4, 5, 7]
    told = capsys.readouterr().out
    assert f"--train_file {path}: 4 of 7 rows cannot be used" in told
    for reason in ("row 2: the 'label' is 'maybe'", "row 4: 'code' is empty", "row 5: has 3 fields", "row 7: 'code' "):
        assert reason in told


def test_ten_bad_rows_are_shown(tmp_path, capsys):
    read_functions(_write(tmp_path, "code,label\na,1\n" + "b,2\n" * 14), SKIP)
    told = capsys.readouterr().out
    assert told.count("\n  row ") == 10 and "row 11: " in told and told.endswith("\n  and 4 more\n")


def test_malformed_json_lines_can_be_left_out(tmp_path):
    path = _write(tmp_path, '{"code": "a", "label": 1}\n{"code": \n\n[3]\n{"code": "b", "label": 0}\n', "in.jsonl")
    frame = read_functions(path, SKIP)
    assert frame["functionSource"].tolist() == ["a", "b"] and frame.attrs["skipped_rows"] == [2, 3]
