"""Files of the public data sets are recognised by their columns and read without a flag."""

import csv
import gzip
import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.layouts import LAYOUT, flaw_lines_of, pairs_of

BAD = "int f(char *a)\n{\n  char b[4];\n\n  strcpy(b, a);\n  return 0;\n}"
FIXED = BAD.replace("strcpy(b, a)", "strncpy(b, a, 4)")
CLEAN = "int g(void)\n{\n  return 1;\n}"
DEVIGN = [
    {"func": BAD, "target": 1, "idx": 7, "project": "qemu", "commit_id": "a1"},
    {"func": CLEAN, "target": 0, "idx": 8, "project": "FFmpeg", "commit_id": "b2"},
]
PRIMEVUL = [
    {"idx": 210000000000000001, "project": "p", "commit_id": "c1", "target": 1, "func": BAD, "cwe": ["CWE-120"]},
    {"idx": 210000000000000002, "project": "p", "commit_id": "c1", "target": 0, "func": FIXED, "cwe": ["CWE-120"]},
]
LINEVUL = [
    {
        "processed_func": BAD,
        "target": 1,
        "flaw_line": "  strcpy(b, a);/~/  char b[4];",
        "flaw_line_index": "4,2",
        "vul_func_with_fix": BAD + "//",
        "CWE ID": "CWE-120",
        "func_before": BAD,
        "func_after": FIXED,
        "vul": 1,
    },
    {"processed_func": CLEAN, "target": 0, "func_before": CLEAN, "vul": 0},
]
BIGVUL = [
    {"func_before": BAD, "func_after": FIXED, "vul": 1, "lines_before": "  strcpy(b, a);", "CWE ID": "CWE-120"},
    {"func_before": CLEAN, "func_after": CLEAN, "vul": 0},
]
DIVERSEVUL = [
    {"func": BAD, "target": 1, "cwe": ["CWE-120", "CWE-787"], "project": "p", "commit_id": "c", "hash": 2**100 + 1},
    {"func": CLEAN, "target": 0, "cwe": [], "project": "q", "commit_id": "d", "hash": 5},
]
MEGAVUL = [
    {
        "is_vul": True,
        "func_before": BAD,
        "func": FIXED,
        "cwe_ids": ["CWE-120"],
        "repo_name": "r",
        "file_path": "a/f.c",
        "diff_line_info": {"deleted_lines": ["  strcpy(b, a);"], "added_lines": ["  strncpy(b, a, 4);"]},
    },
    {"is_vul": False, "func_before": None, "func": CLEAN, "diff_line_info": None, "repo_name": "r"},
]
# rows, what is printed, columns of id, CWE, project, path and partner, flaw lines
SOURCES = {
    "CodeXGLUE": (DEVIGN, "CodeXGLUE layout: func, target", ("idx", None, "project", None, None), None),
    "PrimeVul": (PRIMEVUL, "PrimeVul layout: func, target; 1 pair", ("idx", "cwe", "project", None, None), None),
    "LineVul": (
        LINEVUL,
        "LineVul layout: processed_func, target; flaw lines: flaw_line_index",
        (None, "CWE ID", None, None, None),
        [(5, 3), ()],
    ),
    "BigVul": (
        BIGVUL,
        "BigVul layout: func_before, vul; flaw lines: lines_before",
        (None, "CWE ID", None, None, "func_after"),
        [(5,), ()],
    ),
    "DiverseVul": (DIVERSEVUL, "DiverseVul layout: func, target", (None, "cwe", "project", None, None), None),
    "MegaVul": (
        MEGAVUL,
        "MegaVul layout: func_before, is_vul; flaw lines: diff_line_info",
        (None, "cwe_ids", "repo_name", "file_path", "func"),
        [(5,), ()],
    ),
}
FORMS = ["lines", "array", "csv", "quoted", "index", "crlf", "tsv", "gz", "parquet", "reversed", "upper"]


def write(folder, rows, form):
    """Writes the rows in one of FORMS, and returns the path."""
    frame = pd.DataFrame(rows, dtype=object)
    if form == "reversed":
        rows = [dict(reversed(row.items())) for row in rows]
    if form == "upper":
        rows = [{name.upper(): value for name, value in row.items()} for row in rows]
    if form in ("csv", "quoted", "index", "crlf", "tsv"):
        path = folder / ("in.tsv" if form == "tsv" else "in.csv")
        options = {"quoting": csv.QUOTE_ALL} if form == "quoted" else {}
        end = "\r\n" if form == "crlf" else "\n"
        separator = "\t" if form == "tsv" else ","
        text = frame.to_csv(index=form == "index", sep=separator, lineterminator=end, **options)
        path.write_bytes(text.encode())
    elif form == "parquet":
        path = folder / "in.parquet"
        rows = [{name: row.get(name) for name in frame.columns if name != "hash"} for row in rows]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif form == "array":
        path = folder / "in.json"
        path.write_text(json.dumps(rows, indent=1))
    else:
        text = "\n".join(map(json.dumps, rows))
        path = folder / ("in.jsonl.gz" if form == "gz" else "in.jsonl")
        path.write_bytes(gzip.compress(text.encode()) if form == "gz" else text.encode())
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SOURCES)
def test_a_public_layout_is_read_without_a_flag(tmp_path, capsys, name, form):
    rows, says, roles, lines = SOURCES[name]
    path = write(tmp_path, rows, form)
    frame = read_functions(path)
    printed = capsys.readouterr().out
    says = says if form != "upper" else says.replace("func", "FUNC")  # the case of the file
    assert printed.lower() == f"{path.name}: {says}\n".lower()
    assert frame["functionSource"].tolist() == [BAD, FIXED if name == "PrimeVul" else CLEAN]
    assert frame["label"].tolist() == [1, 0] and frame["label"].dtype == "int64"
    assert frame.index.tolist() == [0, 1]
    layout = frame.attrs[LAYOUT]
    found = layout.id, layout.cwe, layout.project, layout.path, layout.partner
    if form == "upper":
        found = tuple(role and next(column for column in roles if column and column.upper() == role) for role in found)
    assert layout.name == name and found == roles
    assert flaw_lines_of(frame) == lines
    assert (pairs_of(frame) is None) == (name != "PrimeVul")
    others = set(frame.columns) - {"functionSource", "label", "", "index"}
    dropped = {layout.text, layout.label} | ({"hash"} if form == "parquet" else set())
    assert {other.lower() for other in others} == {column.lower() for row in rows for column in row} - {
        column.lower() for column in dropped
    }


def read(tmp_path, rows, name="in.jsonl", **options):
    (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
    return read_functions(tmp_path / name, ReadingArguments(**options))


def test_our_own_columns_print_nothing(tmp_path, capsys):
    for text in ("functionSource", "code", "text"):
        assert read(tmp_path, [{text: BAD, "label": 1}]).attrs[LAYOUT].name == ""
    read(tmp_path, [{"body": BAD, "bad": 1}], text_column="body", label_column="bad")
    read(tmp_path, [{"functionSource": BAD, "code": CLEAN, "text": "", "label": 1}])
    frame = read(tmp_path, [{"func": CLEAN, "target": 0, "functionSource": BAD, "label": 1}])
    assert frame["functionSource"].tolist() == [BAD] and frame["label"].tolist() == [1]
    read(tmp_path, [{"code": BAD, "function": "f", "label": 1}])  # the name of the function
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ("func label", "other layout: func, label"),
        ("code target", "other layout: code, target"),
        ("Code Label", "other layout: Code, Label"),
        ("func_before vul cwe", "BigVul layout: func_before, vul"),
        ("source_code is_vulnerable", "other layout: source_code, is_vulnerable"),
        ("function target", "other layout: function, target"),
        ("func target extra", "CodeXGLUE layout: func, target"),
        ("processed_func target func_before vul", "LineVul layout: processed_func, target"),
        ("Func func TARGET", "CodeXGLUE layout: func, TARGET"),
    ],
)
def test_other_columns_that_can_be_read_in_one_way(tmp_path, capsys, columns, says):
    cells = {"label": 1, "target": 1, "vul": 1}
    names = columns.split()
    frame = read(tmp_path, [{name: cells.get(name.lower(), 1 if "is_" in name else "int a;") for name in names}])
    assert capsys.readouterr().out == f"in.jsonl: {says}\n" and frame["functionSource"].tolist() == ["int a;"]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ("func code target", "the code may be in 'code' or 'func'; name one with --text_column"),
        ("func target label", "the label may be in 'label' or 'target'; name one with --label_column"),
        ("func_before func target", "the code may be in 'func' or 'func_before'; .*--text_column"),
        ("func_before func_after vul target", "the label may be in 'target' or 'vul'; .*--label_column"),
        ("Func FUNC target", "the code may be in 'Func' or 'FUNC'"),
        ("is_vul func_before func label", "the code may be in 'func' or 'func_before'"),
        ("source target", "no column with the code; expected functionSource, .*--text_column.*found: source, target"),
        ("func_before func_after cwe", "no column 'label', .*two rows .*label 1 and label 0.*'pair'"),
        ("func_src_before func_src_after", "no column with the code.*two rows .*label 1 and label 0.*'pair'"),
        ("func cwe", "no column 'label', nor target, .*--label_column.*found: func, cwe"),
    ],
)
def test_the_error_names_the_choices(tmp_path, columns, says):
    with pytest.raises(UserError, match=f"--train_file .*in.jsonl: {says}"):
        read(tmp_path, [dict.fromkeys(columns.split(), 1)])


def test_flags_win_over_the_layout(tmp_path, capsys):
    row = {"func": "a", "code": "b", "target": 1, "label": 0, "cwe": [], "idx": 1}
    frame = read(tmp_path, [row], text_column="code", label_column="target")
    assert frame["functionSource"].tolist() == ["b"] and frame["label"].tolist() == [1]
    frame = read(tmp_path, [BIGVUL[0]], text_column="func_after")
    assert frame["functionSource"].tolist() == [FIXED]
    assert flaw_lines_of(frame) is None and frame.attrs[LAYOUT].partner is None  # they belong to func_before
    frame = read(tmp_path, [{**LINEVUL[0], "vul": 0}], label_column="vul")
    assert frame["label"].tolist() == [0] and flaw_lines_of(frame) == [(5, 3)]
    frame = read(tmp_path, [{"func": "a", "target": "ok"}], label_map="ok=0,wrong=1")
    assert frame["label"].tolist() == [0]
    frame = read(tmp_path, MEGAVUL, text_column="func")
    assert frame["functionSource"].tolist() == [FIXED, CLEAN]
    layout = read(tmp_path, [{"path": "a", "pair": 1}], text_column="path", label_column="pair").attrs[LAYOUT]
    assert layout.path is None and layout.pair is None  # the frame has no such columns
    with pytest.raises(UserError, match="no column 'x' .*--label_column"):
        read(tmp_path, DEVIGN, label_column="x")


def test_diversevul_rows_without_code_are_skipped_and_reported(tmp_path, capsys):
    rows = [DIVERSEVUL[0], {**DIVERSEVUL[1], "func": ""}, {**DIVERSEVUL[1], "func": None}, DIVERSEVUL[1]]
    frame = read(tmp_path, rows)
    assert frame.attrs["skipped_rows"] == [2, 3] and frame["label"].tolist() == [1, 0]
    assert "2 of 4 rows cannot be used and are skipped" in capsys.readouterr().out
    with pytest.raises(UserError, match="row 1 .*'func' is empty.*--on_bad_rows skip"):
        read(tmp_path, [{**DEVIGN[0], "func": ""}])


def test_a_defective_row_of_megavul_without_its_text_is_an_error(tmp_path):
    with pytest.raises(UserError, match="row 1 .*'func_before' is empty"):
        read(tmp_path, [{**MEGAVUL[0], "func_before": None}])


def test_long_fields_nul_bytes_and_backslashes(tmp_path):
    long = "a" * 3_000_000 + '"\0'
    (tmp_path / "in.csv").write_text(f'func,target\n"{long.replace(chr(34), chr(34) * 2)}",1\n')
    assert read_functions(tmp_path / "in.csv")["functionSource"].tolist() == [long]
    (tmp_path / "in.csv").write_text('func,target\n"puts(\\"a\\");",1\n')
    with pytest.raises(UserError, match="not a well-formed CSV file.*line 2.*quotes inside a quoted field"):
        read_functions(tmp_path / "in.csv")


@pytest.mark.parametrize("form", ["lines", "array", "csv", "parquet"])
def test_long_ids_stay_exact(tmp_path, form):
    rows = [{**row, "idx": 2**62 + place, "first": None} for place, row in enumerate(PRIMEVUL)]
    rows += [{**PRIMEVUL[0], "idx": None}]  # a missing id must not turn the others into rounded numbers
    frame = read_functions(write(tmp_path, rows, form))
    assert [str(cell) for cell in frame["idx"][:2]] == [str(2**62), str(2**62 + 1)]


def test_numbers_are_not_written_otherwise(tmp_path):
    (tmp_path / "in.csv").write_text("code,label,id,padded,gap,empty,share\na,1,12,007,5,,1.5\nb,0,13,008,,,\n")
    found = read_functions(tmp_path / "in.csv").drop(columns=["functionSource", "label"])
    assert found.iloc[0].tolist()[:4] == [12, "007", "5", ""] and found["share"].iloc[0] == 1.5


def test_exact_numbers_of_many_digits_and_ordinary_ones(tmp_path):
    rows = [{**DIVERSEVUL[0], "size": 5, "share": 0.5}, {**DIVERSEVUL[1], "size": 7, "share": 2}]
    for form in ("lines", "csv"):
        frame = read_functions(write(tmp_path, rows, form))
        assert list(map(str, frame["hash"])) == [str(2**100 + 1), "5"]
        assert frame["size"].tolist() == [5, 7] and frame["share"].tolist() == [0.5, 2.0]


def test_labels_as_words_and_booleans(tmp_path):
    for labels in (
        ["vulnerable", "Benign "],
        ["non-vul", "vul"],
        [True, False],
        ["1", "0"],
        [1.0, 0.0],
        ["yes", "no"],
    ):
        rows = [{**row, "target": label} for row, label in zip(DEVIGN, labels)]
        first = 0 if labels[0] == "non-vul" else 1
        assert read(tmp_path, rows)["label"].tolist() == [first, 1 - first]
    rows = [{**row, "target": label} for row, label in zip(DEVIGN + DEVIGN, ["good", "bad", "fixed", "good"])]
    with pytest.raises(UserError, match="'target' holds 'good' and 'fixed'.*--label_map"):
        read(tmp_path, rows)
    (tmp_path / "in.jsonl").write_text('{"func": "a", "target": NaN}\n')
    with pytest.raises(UserError, match="row 1 .*'target' is 'nan'"):
        read_functions(tmp_path / "in.jsonl")


def test_parquet_with_lists_and_an_index(tmp_path):
    frame = pd.DataFrame(PRIMEVUL).assign(cwe=[np.array(["CWE-1", "CWE-2"]), np.array(["CWE-3"])])
    frame.set_index("idx").to_parquet(tmp_path / "in.parquet")
    found = read_functions(tmp_path / "in.parquet")
    assert list(found["cwe"].iloc[0]) == ["CWE-1", "CWE-2"] and found["idx"].tolist()[0] == PRIMEVUL[0]["idx"]


def test_missing_values_of_nullable_columns_of_parquet(tmp_path):
    rows = {
        "functionSource": ["a", "b"],
        "label": [1, 0],
        "flaw_lines": [1, None],
        "id": [3, None],
        "pair": ["p", None],
    }
    pd.DataFrame(rows).convert_dtypes().to_parquet(tmp_path / "in.parquet")  # missing values are pd.NA
    found = read_functions(tmp_path / "in.parquet")
    assert flaw_lines_of(found) == [(1,), ()] and pairs_of(found).tolist() == ["", ""]
    assert found["id"].tolist() == [3, None] and found["label"].tolist() == [1, 0]


def test_the_line_is_printed_by_the_main_process_only(tmp_path, capsys, monkeypatch):
    for name, value in {"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    read(tmp_path, DEVIGN)
    assert capsys.readouterr().out == ""


def test_an_index_column_that_was_saved_twice(tmp_path):
    buffer = io.StringIO()
    pd.DataFrame(LINEVUL).to_csv(buffer)  # an unnamed index column, then one more as pandas names it
    again = pd.read_csv(io.StringIO(buffer.getvalue())).to_csv()
    (tmp_path / "in.csv").write_text(again)
    assert flaw_lines_of(read_functions(tmp_path / "in.csv")) == [(5, 3), ()]
