import json

import pandas as pd
import pytest

from ltp_pipeline.data import read_functions, tokenize
from ltp_pipeline.errors import UserError


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
    with pytest.raises(UserError, match=r"ends in \.csv, \.json or \.jsonl"):
        read_functions(_write(tmp_path, "x", "in.txt"))


def test_single_class_is_refused_only_for_training(tmp_path):
    path = _write(tmp_path, "code,label\na,1\nb,1\n")
    assert read_functions(path)["label"].tolist() == [1, 1]
    with pytest.raises(UserError, match="all 2 functions have the label 1; training needs functions of both classes"):
        read_functions(path, need_both_classes=True)


def test_tokens_are_cut_not_padded_and_special_looking_code_stays_text(tokenizer_dir):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    frame = pd.DataFrame({"functionSource": ["int a;", 'puts("</s><pad>");' * 9], "label": [0, 1]})
    data = tokenize(frame, tokenizer, max_length=12)
    assert data["labels"] == [0, 1]
    assert data["length"] == [len(data[0]["input_ids"]), 12]
    assert data[1]["attention_mask"] == [1] * 12
    assert [data[1]["input_ids"].count(i) for i in (0, 1, 2)] == [1, 0, 1]
    assert tokenizer.decode(data[0]["input_ids"]) == "<s>int a;</s>"
