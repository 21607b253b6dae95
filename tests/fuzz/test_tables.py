"""Readers of data files: each returns rows or raises UserError, which names the file."""

from __future__ import annotations

import gzip
import io
import json

import pandas as pd
import pytest
from hypothesis import assume
from hypothesis import strategies as st

from Data.functions.row_writer import open_row_writer
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import write_csv
from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.data.glue_files import read_glue
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.file_formats import read_table
from ltp_pipeline.files.text_files import NOT_UTF8
from ltp_pipeline.task.labels import parse_label_map
from ltp_pipeline.task.tasks import find_task
from tests.fuzz.limits import fuzz
from tests.fuzz.strategies import SCALARS, VALUES, changed, code, encoded, json_files

NAMES = (
    "functionSource",
    "code",
    "label",
    "cwes",
    "sentence",
    "sentence1",
    "sentence2",
    "",
    "Label",
    "a\x1b[2J",
    "0",
    "index",
)
LABELS = ("0", "1", "true", "", "2", "nan", "1.0", "[0, 1]", "[", "inf", "9" * 5000, "good", "\u0661")
CSV_ROW = st.tuples(code(max_size=6), st.sampled_from(LABELS))
TABLE = st.builds(
    lambda names, rows, separator, ending: ending.join(separator.join(row) for row in [names, *rows]),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=4),
    st.lists(
        st.lists(st.one_of(code(max_size=4), code(max_size=4).map(json.dumps), st.sampled_from(LABELS)), max_size=4),
        max_size=4,
    ),
    st.sampled_from([",", "\t", ";", "|"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
ROW = st.dictionaries(st.sampled_from(NAMES), st.one_of(code(max_size=4), SCALARS, VALUES), max_size=4)
JSON_ROWS = st.lists(ROW, max_size=4)
JSON_LINES = JSON_ROWS.map(lambda rows: "\n".join(map(json.dumps, rows)).encode())
LAYOUTS = (
    [{"code": "a", "label": 0}, {"code": "b", "label": 1}],
    {"code": {"0": "a", "1": "b"}, "label": {"0": 0, "1": 1}},
    {"0": {"code": "a", "label": 0}, "1": {"code": "b", "label": 1}},
    {"columns": ["code", "label"], "index": [0, 1], "data": [["a", 0], ["b", 1]]},
    {"schema": {"fields": []}, "data": [{"index": 0, "code": "a", "label": 0}]},
    {"code": ["a", "b"], "label": [0, 1]},
)


@st.composite
def parquet(draw):
    """A small Parquet file, perhaps with changed bytes."""
    cells = st.one_of(
        st.none(), st.text(max_size=5).filter(lambda text: not set(text) & set(map(chr, range(0xD800, 0xE000))))
    )
    columns = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    kinds = [
        cells,
        st.integers(-2, 2),
        st.binary(max_size=4),
        st.lists(st.integers(0, 1), max_size=5),
        st.booleans(),
        st.floats(),
    ]
    rows = draw(st.integers(0, 3))
    frame = pd.DataFrame(
        {name: draw(st.lists(draw(st.sampled_from(kinds)), min_size=rows, max_size=rows)) for name in columns}
    )
    buffer = io.BytesIO()
    try:
        frame.to_parquet(buffer)
    except (ValueError, TypeError, OverflowError):
        assume(False)
    return draw(changed(st.just(buffer.getvalue()), most=2))


FILES = st.one_of(
    st.tuples(st.sampled_from([".csv", ".tsv", ".csv.gz"]), encoded(TABLE)),
    st.tuples(
        st.sampled_from([".json", ".jsonl", ".jsonl.gz"]),
        st.one_of(JSON_LINES, changed(JSON_LINES), json_files(*LAYOUTS)),
    ),
    st.tuples(st.sampled_from([".csv", ".tsv", ".json", ".jsonl", ".parquet", ".csv.gz"]), encoded(code())),
    st.tuples(st.just(".parquet"), parquet()),
)


def write_table(folder, ending: str, content: bytes):
    """A file; if its name ends in .gz it is compressed, but for every fifth content."""
    path = folder / f"table{ending}"
    path.write_bytes(gzip.compress(content, 1) if ending.endswith(".gz") and len(content) % 5 else content)
    return path


def read(reader, path, *arguments, **options):
    """What a reader returns; None if it raises UserError, which names the file and fits the screen."""
    try:
        return reader(path, *arguments, **options)
    except UserError as error:
        assert path.name in str(error)
        assert len(str(error)) < 5000
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@fuzz(file=FILES)
def test_read_table(folder, file):
    path = write_table(folder, *file)
    frame = read(read_table, path, f"--train_file {path}")
    if frame is not None:
        assert frame.index.is_unique and frame.columns.is_unique


@fuzz(
    file=FILES,
    skip=st.booleans(),
    groups=st.sampled_from([(), ("a", "b"), ("CWE-119", "CWE-120", "CWE-469", "CWE-476", "CWE-other")]),
    label_map=st.sampled_from([None, "good=0,bad=1"]),
)
def test_read_functions(folder, file, skip, groups, label_map):
    path = write_table(folder, *file)
    reading = ReadingArguments(on_bad_rows="skip" if skip else "error", label_map=None if groups else label_map)
    frame = read(read_functions, path, reading, groups=groups)
    if frame is not None:
        assert all(isinstance(text, str) and text.strip() and NOT_UTF8 not in text for text in frame["functionSource"])
        "".join(frame["functionSource"]).encode()
        if not groups:
            assert set(frame["label"]) <= {0, 1}


@fuzz(file=FILES, skip=st.booleans(), task=st.sampled_from(["SST-2", "CoLA", "QQP", "STS-B", "MNLI", "WNLI"]))
def test_read_glue(folder, file, skip, task):
    path = write_table(folder, *file)
    task = find_task(task, "--task_name")
    frame = read(read_glue, path, task, ReadingArguments(on_bad_rows="skip" if skip else "error"), flag="--train_file")
    if frame is not None:
        assert list(frame.columns) == [*task.columns, "label"]


@fuzz(content=json_files({"good": 0, "bad": 1}))
def test_label_map(folder, content):
    path = folder / "map.json"
    path.write_bytes(content)
    mapped = read(lambda path: parse_label_map(str(path)), path)
    assert mapped is None or set(mapped.values()) <= {0, 1}


@fuzz(rows=st.lists(st.tuples(code(), st.integers(0, 1)), min_size=1, max_size=4))
def test_a_csv_file_reads_back_equal(folder, rows):
    assume(all("\0" not in text for text, _ in rows))  # the builder removes NULs
    frame = pd.DataFrame(rows, columns=["functionSource", "label"])
    write_csv(folder / "written.csv", frame)
    found = read_table(folder / "written.csv", "", as_text=["functionSource"])
    assert found["functionSource"].tolist() == frame["functionSource"].tolist()
    assert found["label"].tolist() == frame["label"].tolist()


@fuzz(
    rows=st.lists(st.tuples(code(), st.integers(0, 1), code(max_size=3)), min_size=1, max_size=4),
    ending=st.sampled_from(["csv", "tsv.gz", "jsonl", "parquet"]),
)
def test_rows_of_an_import_read_back_equal(folder, rows, ending):
    assume(all("\0" not in text + cwes for text, _, cwes in rows))
    path = folder / f"rows.{ending}"
    with open_row_writer(path, label_is_list=False) as write:
        for row in rows:
            write(row)
    found = read_table(path, "", as_text=["functionSource", "cwes"])
    assert [tuple(row) for row in found.itertuples(index=False)] == [tuple(row) for row in rows]
