import gzip
import json

import pandas as pd
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.task.labels import as_class, parse_label_map


def _write(tmp_path, text, name="in.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_keeps_code_labels_and_the_other_columns(tmp_path):
    code = 'int main() {\r\n  return "a,""b";\n}\n'
    quoted = code.replace('"', '""')
    path = _write(tmp_path, f'line,functionSource,label,cwe\n3,"{quoted}",true,\n4,NA,0,CWE-120\n')
    frame = read_functions(path)
    assert frame["functionSource"].tolist() == [code, "NA"]
    assert frame["label"].tolist() == [1, 0]
    assert frame["label"].dtype == "int64"
    assert frame.columns.tolist() == ["functionSource", "label", "line", "cwe"]
    assert frame["line"].tolist() == [3, 4]
    assert frame["cwe"].tolist() == ["", "CWE-120"]


@pytest.mark.parametrize("name, form", [("a.json", "array"), ("a.jsonl", "lines"), ("b.json", "lines")])
def test_json_lines_and_arrays(tmp_path, name, form):
    rows = [{"code": "int a;\u2028\n", "label": True}, {"code": "int b;", "label": 0.0}]
    text = json.dumps(rows) if form == "array" else "\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n\n"
    frame = read_functions(_write(tmp_path, text, name))
    assert frame["functionSource"].tolist() == ["int a;\u2028\n", "int b;"]
    assert frame["label"].tolist() == [1, 0]


def test_columns_can_be_named(tmp_path):
    path = _write(tmp_path, "functionSource,body,bad\nx,int a;,1\n")
    frame = read_functions(path, text_column="body", label_column="bad")
    assert frame["functionSource"].tolist() == ["int a;"]
    assert frame.columns.tolist() == ["functionSource", "label"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "the file is empty"),
        ("functionSource,label\n", "a header but no functions"),
        ("source,label\nint a;,1\n", "no column with the code; .*columns found: source, label"),
        ("code,cwe\nint a;,1\n", "no column 'label' .*columns found: code, cwe"),
        ("code,label\nint a;,1\nint b;,maybe\n", r"row 2 \(.*\): the 'label' is 'maybe'; expected 0 or 1"),
        ("code,label\nint a;,\n", "row 1 .*: the 'label' is ''"),
        ("code,label\nint a;,2\n", "row 1 .*: the 'label' is '2'"),
        ('code,label\nint a;,1\n" \n",0\n', "row 2 .*: 'code' is empty"),
        (b"code,label\nint a;,1\nint \xff;,0\n", r"line 3 holds a byte that is not UTF-8 \(0xff\)"),
        ('code,label\n"int a;,1\n', "not a well-formed CSV file"),
    ],
)
def test_bad_csv_is_named(tmp_path, text, message):
    path = _write(tmp_path, text)
    with pytest.raises(UserError, match=message) as error:
        read_functions(path, name="--validation_file")
    assert str(error.value).startswith(f"--validation_file {path}: ")


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"code": "a", "label": 1}\n{"code": \n', "line 2: not well-formed JSON"),
        ('{"code": "a", "label": 1}\n[1]\n', "line 2: expected JSON objects"),
        ('[{"code": "a"}, 3]', "expected JSON objects"),
        ('{"code": "a", "label": 1}\n{"code": "b"}\n', "row 2 .*: the 'label' is 'nan'"),
        ('{"code": null, "label": 1}\n', "row 1 .*: 'code' is empty"),
        ('{"code": "a\\ud800", "label": 1}\n', "row 1 .*: 'code' holds a byte or an escape"),
    ],
)
def test_bad_json_is_named(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_functions(_write(tmp_path, text, "in.json"))


def test_missing_file_folder_and_ending(tmp_path):
    with pytest.raises(UserError, match=r"--train_file .*none\.csv: no such file"):
        read_functions(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match="this is a folder"):
        read_functions(tmp_path / "folder.csv")
    with pytest.raises(UserError, match=r"ends in \.csv, \.tsv, \.json, \.jsonl \(each also with \.gz\) or \.parquet"):
        read_functions(_write(tmp_path, "x", "in.txt"))


def test_single_class_is_refused_only_for_training(tmp_path):
    path = _write(tmp_path, "code,label\na,1\nb,1\n")
    assert read_functions(path)["label"].tolist() == [1, 1]
    with pytest.raises(UserError, match="all 2 functions have the label 1; training needs functions of both classes"):
        read_functions(path, need_both_classes=True)


ROWS = pd.DataFrame({"code": ["int a;\tx\n", "b('\"');"], "label": [1, 0], "line": [3, 4]})


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
    frame.assign(code=[text.encode() for text in frame["code"]], label=[[0, 1], [], [0, 0]]).to_parquet(
        tmp_path / "in.parquet"
    )
    read = read_functions(tmp_path / "in.parquet")
    assert read["functionSource"].tolist() == frame["code"].tolist()
    assert read["label"].tolist() == [1, 0, 0]


def test_labels_by_a_map_of_names(tmp_path):
    path = _write(tmp_path, "code,verdict\na,good\nb,bad\nc,good\n")
    assert read_functions(path, label_column="verdict", label_map="good=0,bad=1")["label"].tolist() == [0, 1, 0]
    (tmp_path / "map.json").write_text('{"good": 1, "bad": false}')
    frame = read_functions(path, label_column="verdict", label_map=str(tmp_path / "map.json"))
    assert frame["label"].tolist() == [1, 0, 1]
    with pytest.raises(
        UserError, match=r"row 2 .*: the 'verdict' is 'bad'; expected one of good, worse \(--l"
    ):
        read_functions(path, label_column="verdict", label_map="good=0,worse=1")


@pytest.mark.parametrize(
    "given, message",
    [
        ("good", "--label_map good: expected NAME=0,NAME=1"),
        ("good=2", "--label_map good=2: good is '2'; expected 0 or 1"),
        ("a=0,a=1", "a is both 0 and 1"),
        ("none.json", "--label_map none.json: cannot be read: No such file"),
    ],
)
def test_bad_label_maps_are_named(given, message):
    with pytest.raises(UserError, match=message):
        parse_label_map(given)


def test_lists_of_labels_are_1_where_any_entry_is(tmp_path):
    path = _write(tmp_path, 'code,label\na,"[0, 1]"\nb,[]\nc,"[false, 0]"\nd,"[""x"", ""y""]"\n')
    with pytest.raises(UserError, match="row 4 .*'label' is .*for names give --label_map"):
        read_functions(path)
    assert [as_class(value, {"x": 0, "y": 1}) for value in ('["x", "y"]', "x", ["x"], "[x")] == [1, 0, 0, None]


BAD = 'code,label\na,1\nb,maybe\nc,0\n"  ",1\ne,1,5\nf,0\n\xff,1\n'.encode("latin-1")


def test_bad_rows_are_left_out_told_and_numbered(tmp_path, capsys):
    path = _write(tmp_path, BAD)
    frame = read_functions(path, on_bad_rows="skip", need_both_classes=True)
    assert frame["functionSource"].tolist() == ["a", "c", "f"] and frame["label"].tolist() == [1, 0, 0]
    assert frame.index.tolist() == [0, 2, 5]
    assert frame.attrs["skipped_rows"] == [2, 4, 5, 7]
    told = capsys.readouterr().out
    assert f"--train_file {path}: 4 of 7 rows cannot be used and are left out:" in told
    assert "row 2: the 'label' is 'maybe'" in told and "row 4: 'code' is empty" in told
    assert "row 5: has 3 fields; expected the header's 2" in told and "row 7: 'code' holds a byte or an escape" in told


def test_the_first_ten_bad_rows_are_shown_and_a_file_of_none_but_bad_ones_refused(tmp_path, capsys):
    read_functions(_write(tmp_path, "code,label\na,1\n" + "b,2\n" * 14), on_bad_rows="skip")
    told = capsys.readouterr().out
    assert told.count("\n  row ") == 10 and "row 11: the 'label' is '2'" in told and told.endswith("\n  and 4 more\n")
    with pytest.raises(UserError, match="none of the 2 rows can be used; row 1: the 'label' is '2'"):
        read_functions(_write(tmp_path, "code,label\nb,2\nc,3\n"), on_bad_rows="skip")


def test_malformed_json_lines_can_be_left_out(tmp_path):
    path = _write(tmp_path, '{"code": "a", "label": 1}\n{"code": \n\n[3]\n{"code": "b", "label": 0}\n', "in.jsonl")
    frame = read_functions(path, on_bad_rows="skip")
    assert frame["functionSource"].tolist() == ["a", "b"] and frame.attrs["skipped_rows"] == [2, 3]
