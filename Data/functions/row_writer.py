"""Writes labelled functions to a table as they are read, without holding the table in memory."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

FORMATS = ("csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "parquet")
COLUMNS = ("functionSource", "label", "cwes")
ROW_GROUP = 4096  # rows that are written to a Parquet file at once
Row = tuple[str, Any, str]  # one value for each of COLUMNS


@contextmanager
def open_row_writer(path: Path, label_is_list: bool) -> Iterator[Callable[[Row], Any]]:
    """Yields a function that appends a row to a new file, in the format of the file's ending.

    `label_is_list`: whether a label is a list of 0s and 1s instead of one number.
    """
    with ExitStack() as stack:
        if path.suffix == ".parquet":
            yield _parquet_writer(path, label_is_list, stack)
            return
        raw = stack.enter_context(open(path, "wb"))
        if path.suffix == ".gz":  # its header has no name and no time, so that every run writes the same bytes
            raw = stack.enter_context(gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0, compresslevel=6))
        stream = stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        if ".jsonl" in path.suffixes:
            yield lambda row: stream.write(json.dumps(dict(zip(COLUMNS, row)), ensure_ascii=False) + "\n")
            return
        separator = "\t" if ".tsv" in path.suffixes else ","
        table = csv.writer(stream, delimiter=separator, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        table.writerow(COLUMNS)
        yield lambda row: table.writerow((row[0], json.dumps(row[1]) if label_is_list else row[1], row[2]))


def _parquet_writer(path: Path, label_is_list: bool, stack: ExitStack) -> Callable[[Row], None]:
    import pyarrow
    from pyarrow import parquet

    types = (pyarrow.string(), pyarrow.list_(pyarrow.int8()) if label_is_list else pyarrow.int8(), pyarrow.string())
    schema = pyarrow.schema(list(zip(COLUMNS, types)))
    writer = stack.enter_context(parquet.ParquetWriter(path, schema))
    rows: list[Row] = []

    def write_group() -> None:
        if rows:
            writer.write_table(pyarrow.table(list(map(list, zip(*rows))), schema=schema))
            rows.clear()

    def write(row: Row) -> None:
        rows.append(row)
        if len(rows) == ROW_GROUP:
            write_group()

    stack.callback(write_group)  # runs before the writer closes
    return write
