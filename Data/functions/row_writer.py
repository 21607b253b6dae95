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
Row = tuple[str, Any, str]  # one value for each of COLUMNS


@contextmanager
def open_row_writer(path: Path, label_is_list: bool) -> Iterator[Callable[[list[Row]], None]]:
    """A function that appends rows to a new file, in the format that the file's name ends with.

    Args:
        label_is_list: whether a label is a list of 0 or 1, not one number.
    """
    with ExitStack() as stack:
        if path.suffix == ".parquet":
            yield _parquet_writer(path, label_is_list, stack)
            return
        raw = stack.enter_context(open(path, "wb"))
        if path.suffix == ".gz":  # without a name and a time in it, so that every run gives the same bytes
            raw = stack.enter_context(gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0, compresslevel=6))
        stream = stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        if ".jsonl" in path.suffixes:
            yield lambda rows: stream.writelines(
                json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n" for row in rows
            )
            return
        separator = "\t" if ".tsv" in path.suffixes else ","
        table = csv.writer(stream, delimiter=separator, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        table.writerow(COLUMNS)
        yield lambda rows: table.writerows(
            (text, json.dumps(label) if label_is_list else label, cwes) for text, label, cwes in rows
        )


def _parquet_writer(path: Path, label_is_list: bool, stack: ExitStack) -> Callable[[list[Row]], None]:
    import pyarrow
    from pyarrow import parquet

    types = (pyarrow.string(), pyarrow.list_(pyarrow.int8()) if label_is_list else pyarrow.int8(), pyarrow.string())
    schema = pyarrow.schema(list(zip(COLUMNS, types, strict=True)))
    writer = stack.enter_context(parquet.ParquetWriter(path, schema))
    return lambda rows: writer.write_table(pyarrow.table(list(map(list, zip(*rows, strict=True))), schema=schema))
