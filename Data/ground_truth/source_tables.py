"""Reads the tables that public repositories hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.files.file_formats import BadRows, column_list, read_table, row_place
from ltp_pipeline.files.text_files import NOT_UTF8


def read_columns(path: Path, where: str, names: Sequence[str], optional: Sequence[str] = ()) -> Iterator[tuple]:
    """The values of these columns in each row of a table, as text; "" for an optional column that it lacks.

    Raises UserError, which begins with `where`, for a file that cannot be read and for a column that is missing.
    """
    bad_rows = BadRows(where, skip=True)  # otherwise the messages would name a flag that importers lack
    frame = read_table(path, where, bad_rows=bad_rows)
    for number in sorted(bad_rows.reasons)[:1]:
        raise UserError(f"{row_place(where, number)}: {bad_rows.reasons[number]}")
    for name in names:
        if name not in frame.columns:
            raise UserError(f"{where}: no column {name!r}; columns found: {column_list(frame)}")
    for name in set(optional).difference(frame.columns):
        frame[name] = ""
    for number, cells in enumerate(zip(*(frame[name].fillna("").astype(str) for name in (*names, *optional)))):
        if any(NOT_UTF8 in cell for cell in cells):
            raise UserError(f"{row_place(where, number)}: holds a byte that is not UTF-8; expected UTF-8 text")
        yield cells
