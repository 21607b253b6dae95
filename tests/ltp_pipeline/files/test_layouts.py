"""Files as other programs write them are read rightly, or the message says what they are and what to do."""

import bz2
import codecs
import gzip
import io
import json
import lzma
import pickle
import zipfile

import pandas as pd
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.task.labels import parse_label_map

CODE = ["int f(a, b) {\r\n  return '';\n}", 'puts("é;\t|");', "=1+1", "-0.5", "@x", "+y"]
LABELS = [1, 0, 1, 0, 1, 0]
FRAME = pd.DataFrame({"code": CODE, "label": LABELS})
CSV = FRAME.to_csv(index=False)


def read(tmp_path, content, name="in.csv", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_functions(path, ReadingArguments(**options))


def is_right(frame):
    return frame["functionSource"].tolist() == CODE and frame["label"].tolist() == LABELS


@pytest.mark.parametrize("index", [None, [7, 3, -1, 12, 5, 9]])
@pytest.mark.parametrize("form", ["columns", "index", "split", "table", "records", "tight", "list"])
def test_every_layout_that_pandas_writes_as_json(tmp_path, form, index):
    frame = FRAME if index is None else FRAME.set_axis(index)
    plain = json.dumps(frame.to_dict(form)) if form in ("tight", "list") else frame.to_json(orient=form)
    for text in (plain, json.dumps(json.loads(plain), indent=2), f"\n {plain}\n\n"):
        assert is_right(read(tmp_path, text, "in.json"))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_three_ways(tmp_path, ending):
    rows = FRAME.to_dict("records")
    assert is_right(read(tmp_path, ending.join(map(json.dumps, rows)), "in.jsonl"))
    lines = ["code,label", "a,1", '"b,c",0']
    frame = read(tmp_path, ending.join(lines))
    assert frame["functionSource"].tolist() == ["a", "b,c"] and frame["label"].tolist() == [1, 0]


@pytest.mark.parametrize("name", ["in.csv", "in.tsv", "in.jsonl", "in.json", "in.csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_unicode_with_and_without_a_mark(tmp_path, encoding, name):
    kind = name.split(".")[1]
    lines = kind == "jsonl"
    text = FRAME.to_json(orient="records", lines=lines, force_ascii=False) if "json" in kind else CSV
    if kind == "tsv":
        text = FRAME.to_csv(index=False, sep="\t")
    raw = text.encode(encoding)
    assert is_right(read(tmp_path, gzip.compress(raw) if name.endswith(".gz") else raw, name))


@pytest.mark.parametrize("name", ["in.csv", "in.tsv"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_that_of_the_header(tmp_path, separator, name):
    text = FRAME.assign(line=3).to_csv(index=False, sep=separator)
    frame = read(tmp_path, text, name)
    assert is_right(frame) and frame["line"].tolist() == [3] * 6
    assert is_right(read(tmp_path, f"sep={separator}\r\n{text}", name))


def test_columns_without_a_name(tmp_path):
    assert is_right(read(tmp_path, FRAME.to_csv()))  # pandas' index has an empty name
    header, *rows = ["code,label", "a,1", "b,0"]
    for text in (
        [f"{header},,", *(f"{row},," for row in rows)],
        [f"{header},,", *rows],
        [f"{header},", rows[0], rows[1] + ","],
    ):
        frame = read(tmp_path, "\n".join(text))
        assert frame.to_dict("list") == {"functionSource": ["a", "b"], "label": [1, 0]}
    for text in (f"{header},\na,1,x\n", f"{header}\n1,a,1\n", f"{header}\na,1,\n"):
        with pytest.raises(UserError, match="row 1 .*has 3 fields; expected the header's 2 .*quoted"):
            read(tmp_path, text)


def test_labels_of_other_programs(tmp_path):
    labels = [0.0, 1.0, True, False, "1", " true ", [0, 1], [], "0.0", "[0, 0]"]
    frame = read(tmp_path, json.dumps([{"code": "a", "label": label} for label in labels]), "in.json")
    assert frame["label"].tolist() == [0, 1, 1, 0, 1, 1, 1, 0, 0, 0]
    nested = "[" * 100_000
    for label in (10**30, 0.5, None, {"a": 1}, [[1]], "maybe", "", "1.5", "٣", nested, "[" + "1" * 5000 + "]"):
        with pytest.raises(UserError, match="in.json: row 1 .*the 'label' is .*expected 0 or 1"):
            read(tmp_path, json.dumps([{"code": "a", "label": label}]), "in.json")


def test_nuls_in_a_text_stay(tmp_path):
    assert read(tmp_path, "code,label\na\0b,1\nc,0\n")["functionSource"].tolist() == ["a\0b", "c"]


def archive():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("in.csv", CSV)
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("in.csv", b"", "is empty"),
        ("in.csv", codecs.BOM_UTF8, "is empty"),
        ("in.csv", codecs.BOM_UTF16_LE + b"\n\0", "is empty"),
        ("in.csv", b"\0" * 100, "NUL bytes"),
        ("in.json", b" \n\r\n", "is empty"),
        ("in.csv", "code,label\n", "no functions"),
        ("in.json", "[]", "no column with the code"),
        ("in.json", "{}", "no column with the code"),
        ("in.csv", archive(), r"a zip archive or an Excel file \(.xlsx\).*saved as CSV"),
        ("in.csv.gz", archive(), "not a complete gzip file"),
        ("in.csv.gz", gzip.compress(archive()), "a zip archive"),
        ("in.csv", b"\xd0\xcf\x11\xe0\xa1", "an old Excel file"),
        ("in.csv", gzip.compress(CSV.encode()), "gzip.*in.csv.gz"),
        ("in.csv", bz2.compress(CSV.encode()), "bzip2"),
        ("in.csv", lzma.compress(CSV.encode()), "xz"),
        ("in.json", pickle.dumps(LABELS), "a Python pickle, which could run code"),
        ("in.csv", b"PAR1....PAR1", "Parquet; expected a name that ends in .parquet"),
        ("in.csv", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer.*`git lfs pull`"),
        ("in.parquet", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer.*`git lfs pull`"),
        ("in.csv", b"\n<!DOCTYPE html>\n<html>", "a web page"),
        ("in.parquet", b"<html>", "a web page"),
        ("in.csv", b"<!-- saved from url -->\n<body>", "a web page"),
        ("in.csv", b"/annex/objects/SHA256E-s9--0.csv\n", "git-annex pointer.*`git annex get`"),
        ("in.json", b"<?xml version='1.0'?><Error>", "a web page or XML"),
        ("in.csv", FRAME.to_json(orient="records"), "this is JSON; expected a name that ends in .json"),
        ("in.csv", FRAME.to_json(orient="records", lines=True), "this is JSON"),
        ("in.tsv", FRAME.to_json(), "this is JSON"),
        ("in.json", CSV, "this is not JSON; .*for CSV a name that ends in .csv"),
        ("in.json", FRAME.set_axis(list("abcdef")).to_json(), "not clear what its rows are; .*orient='records'"),
        ("in.json", FRAME.to_json(orient="values"), "item 1: expected a JSON object"),
        ("in.json", '{"code": ["a"], "label": [0, 1]}', "different lengths"),
        ("in.json", '{"columns": ["code", "label"], "data": [["a"]]}', "item 1 of 'data': expected 2 cells"),
        ("in.json", '{"code": "a", "label": 1, "label": 0}', "the key 'label' occurs twice"),
        ("in.jsonl", '{"code": "a", "label": ' + "1" * 5000 + "}\n", "line 1: not well-formed JSON"),
        ("in.json", "[" * 200_000, "not well-formed JSON"),
        ("in.jsonl", '{"a":' * 200_000, "not well-formed JSON"),
        ("in.csv", CSV.encode("utf-16")[:-1], "not complete UTF-16-LE text: truncated data"),
        ("in.csv", "code,label\ncafé,1\n".encode("latin-1"), "line 2 holds a byte that is not UTF-8"),
        ("in.csv", ",,code,code\n", "'' occurs twice"),
    ],
)
def test_the_message_says_what_the_file_is(tmp_path, name, content, says):
    with pytest.raises(UserError, match=rf"(?s){name}: .*{says}") as error:
        read(tmp_path, content, name)
    assert len(str(error.value)) < 500


def test_damaged_units_of_utf16_are_bad_rows(tmp_path):
    raw = "code,label\na,1\nbad!,1\nc,0\n".encode("utf-16").replace("!".encode("utf-16-le"), b"\x00\xd8")
    assert read(tmp_path, raw, on_bad_rows="skip").attrs["skipped_rows"] == [2]


def test_parquet_with_an_index_and_with_repeated_columns(tmp_path):
    FRAME.set_index("code").to_parquet(tmp_path / "index.parquet")
    assert is_right(read_functions(tmp_path / "index.parquet"))
    FRAME.astype({"code": "category"}).set_axis(range(5, 11)).to_parquet(tmp_path / "category.parquet")
    assert is_right(read_functions(tmp_path / "category.parquet"))


@pytest.mark.parametrize("text", ['{"bad": 1, "bad": 0}', '[{"a": 1}]', "[" * 200_000, "bad"])
def test_a_file_of_label_names_is_checked(tmp_path, text):
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(UserError, match="--label_map .*map.json"):
        parse_label_map(str(tmp_path / "map.json"))
    (tmp_path / "map.json").write_text('{"good": 0, "bad": 1}', encoding="utf-16")
    assert parse_label_map(str(tmp_path / "map.json")) == {"good": 0, "bad": 1}


@pytest.mark.parametrize("content", ["\x0b", "\u2003\n", "\x1c\x1d"])
def test_a_json_file_of_rare_white_space_is_an_error(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match="a.json: "):
        read_functions(tmp_path / "a.json")


def test_the_message_names_few_of_many_columns(tmp_path):
    (tmp_path / "a.csv").write_text(",".join(f"column{i}" for i in range(5000)) + "\n")
    with pytest.raises(UserError, match="column0, column1, .* and 4980 more") as error:
        read_functions(tmp_path / "a.csv")
    assert len(str(error.value)) < 1000
