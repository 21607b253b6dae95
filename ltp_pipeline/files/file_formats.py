"""Reads tables (CSV, TSV, JSON, JSON lines, Parquet) as data frames.

Error messages begin with `where`, the flag and the file, and name the row or line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.files.json_tables import json_rows
from ltp_pipeline.files.text_files import (
    NOT_UTF8,
    SURROGATE,
    check_content,
    check_file,
    check_header,
    read_bytes,
    read_text,
)

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = ".csv, .tsv, .json, .jsonl (each also with .gz) or .parquet"
SHOWN = 10
SKIPPED = "skipped_rows"  # key in a frame's `attrs`: numbers, from 1, of the rows of the file that were skipped
_JSON = re.compile(r'\s*(\[\s*)?\{\s*"')
LARGEST_EXACT = 2**53  # up to this number float64 holds every whole number
FIELD_LIMIT = 2**31 - 1  # characters; the csv module's own limit is 131,072


class BadRows:
    """Collects the rows of a file that cannot be used.

    `skip`: skip such rows and report them; otherwise the first one raises an error.
    """

    def __init__(self, where: str, skip: bool = False):
        self.where, self.skip = where, skip
        self.reasons: dict[int, str] = {}  # number of a row, from 0 -> why the row cannot be used

    def add(self, row: int, reason: str, place: str | None = None, skip: bool = False) -> None:
        """Records that row `row`, from 0, cannot be used.

        If such rows are not skipped, raises UserError, which names `place` in the file (None: the row).
        `skip`: skip this row in any case.
        """
        if not self.skip and not skip:
            place = row_place(self.where, row) if place is None else f"{self.where}: {place}"
            raise UserError(f"{place}: {reason} (or skip such rows: --on_bad_rows skip)")
        self.reasons.setdefault(int(row), reason)

    @property
    def numbers(self) -> list[int]:
        """The numbers of these rows, from 1."""
        return [row + 1 for row in sorted(self.reasons)]

    def report(self, rows: int) -> None:
        """Prints which of the file's `rows` rows are skipped. Raises UserError if all are."""
        if not self.reasons:
            return
        ordered = sorted(self.reasons.items())
        if len(ordered) == rows:
            row, reason = ordered[0]
            raise UserError(f"{self.where}: none of the {rows} rows can be used; row {row + 1}: {reason}")
        shown = "".join(f"\n  row {row + 1}: {reason}" for row, reason in ordered[:SHOWN])
        more = f"\n  and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
        print(f"{self.where}: {len(ordered)} of {rows} rows cannot be used and are skipped:{shown}{more}", flush=True)


def read_table(
    path: Path, where: str, as_text: Sequence[str] | None = None, bad_rows: BadRows | None = None
) -> pd.DataFrame:
    """Reads a file of rows. An empty field of a CSV is "". The index is each row's position in the file, from 0.

    Args:
        path: the file; its ending, one of `ENDINGS`, gives the format.
        as_text: columns of a CSV or TSV that stay text even if all their values are numbers; None: all columns.
        bad_rows: collects malformed rows; None: they are errors.

    Raises UserError if the file does not exist, has another format, is empty or is malformed.
    """
    read = FORMATS[format_of(path, where)]
    return read(path, where, as_text, BadRows(where) if bad_rows is None else bad_rows)


def format_of(path: Path, where: str) -> str:
    """The ending of a file, without .gz. Raises UserError for an unknown ending or if there is no such file."""
    check_file(path, where)
    name = path.name.lower()
    ending = Path(name.removesuffix(".gz")).suffix
    if ending == ".parquet" and name.endswith(".gz"):
        raise UserError(f"{where}: a Parquet file is already compressed; expected a name that ends in .parquet")
    if ending not in FORMATS:
        raise UserError(f"{where}: expected a file that ends in {ENDINGS}")
    return ending


def row_place(where: str, row: int) -> str:
    """Names row `row` (from 0) in a message. Messages count rows from 1, without the header."""
    return f"{where}: row {int(row) + 1} (the first after the header is row 1)"


def count_of(items: Sequence, name: str) -> str:
    """The number of items with their name: "1 field", "2 fields"."""
    return f"{len(items)} {name}{'' if len(items) == 1 else 's'}"


def column_list(frame: pd.DataFrame) -> str:
    """The names of the first columns for a message, and how many more there are."""
    names = [printable(str(name), 60) for name in frame.columns[: 2 * SHOWN]]
    more = f" and {len(frame.columns) - len(names)} more" if len(frame.columns) > len(names) else ""
    return ", ".join(names) + more or "none"


def shortened(items: Sequence) -> str:
    """The first `SHOWN` of these names or numbers as text, and how many more there are."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(map(str, items[:SHOWN])) + more


def _read_parquet(path: Path, where: str, as_text: Sequence[str] | None, bad_rows: BadRows) -> pd.DataFrame:
    import pandas as pd
    import pyarrow
    from pyarrow import parquet

    try:
        frame = parquet.read_table(path).to_pandas(integer_object_nulls=True)  # not float64, which rounds
    except (pyarrow.ArrowException, OSError) as error:
        raw = read_bytes(path, where)
        if not raw.startswith(b"PAR1"):
            check_content(raw, path, where)
        raise UserError(f"{where}: not a complete Parquet file: {str(error).splitlines()[0]}") from error
    frame = frame.reset_index(drop=frame.index.names == [None])  # an index with a name may hold the code
    check_header(list(map(str, frame.columns)), where)
    for name, cells in frame.items():
        if getattr(cells.dtype, "na_value", None) is pd.NA:  # cannot be compared: every test of a cell would fail
            frame[name] = cells.astype(object).where(cells.notna(), None)
    return frame


def _read_tsv(path: Path, where: str, as_text: Sequence[str] | None, bad_rows: BadRows) -> pd.DataFrame:
    return _read_csv(path, where, as_text, bad_rows, separator="\t")


def _read_csv(
    path: Path, where: str, as_text: Sequence[str] | None, bad_rows: BadRows, separator: str = ","
) -> pd.DataFrame:
    import pandas as pd

    csv.field_size_limit(FIELD_LIMIT)
    text = read_text(path, where, keep_bad_bytes=bad_rows.skip)
    if _JSON.match(text):
        raise UserError(f"{where}: this is JSON; expected a name that ends in .json or .jsonl")
    separator, names_separator = _separator_of(text, separator)
    records = _records(text, separator, where)
    if names_separator:
        next(records)
    header = next(records, [""])
    columns = len(header) if any(header) else 1
    while columns > 1 and not header[columns - 1]:  # a header that ends in separators, as spreadsheets write it
        columns -= 1
    check_header(header[:columns], where)
    numbers, rows = [], []
    for number, fields in enumerate(records):
        if columns <= len(fields) <= len(header) and not any(fields[columns:]):
            numbers.append(number)
            rows.append(fields[:columns])
        else:
            expected = f"expected the header's {columns}"
            hint = "a field that contains the separator must be quoted, and an index needs a name in the header"
            bad_rows.add(number, f"has {count_of(fields, 'field')}; {expected} ({hint})")
    cells = list(zip(*rows)) or [()] * columns
    frame = pd.DataFrame(
        {name: pd.Series(values, dtype=object) for name, values in zip(header, cells)}, columns=header[:columns]
    )
    for name in () if as_text is None else set(header[:columns]).difference(as_text):
        with suppress(ValueError, TypeError):  # text stays text
            numbers_read = pd.to_numeric(frame[name])
            if _are_exact(numbers_read, frame[name]):
                frame[name] = numbers_read
    return frame.set_axis(pd.Index(numbers, dtype="int64"))


def _are_exact(numbers: pd.Series, cells: pd.Series) -> bool:
    """Whether numbers say what the cells of a CSV file say: not for 007, or for 12 that an empty cell makes 12.0."""
    if any(cell[0] == "0" and len(cell) > 1 and cell.isdecimal() for cell in cells if cell):
        return False
    if numbers.dtype != "float64":
        return True
    return not (numbers.abs() > LARGEST_EXACT).any() and not all(cell.isdecimal() for cell in cells if cell)


def _separator_of(text: str, separator: str) -> tuple[str, bool]:
    """The separator of a CSV file, and whether its first line names it, as in `sep=;`.

    A header without `separator`, which would be a single column, may have another one, as from some spreadsheets.
    """
    first = re.match("[^\r\n]*", text.lstrip("\r\n"))[0]
    named = re.fullmatch('"?sep=(.)"?', first)
    if named:
        return named[1], True
    if len(_fields(first, separator)) == 1:
        counts = {other: len(_fields(first, other)) for other in ",;\t|"}
        most = max(counts, key=counts.get)
        return (most if counts[most] > 1 else separator), False
    return separator, False


def _fields(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:  # `_records` names the line
        return []


def _records(text: str, separator: str, where: str) -> Iterator[list[str]]:
    """The fields of the header, then of each row. Empty lines are skipped."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    begin = 1
    try:
        for fields in reader:
            if fields:
                yield fields
            begin = reader.line_num + 1
    except csv.Error as error:
        if "end of data" in str(error):
            reason = f"a quote in the row that begins at line {begin} is never closed"
        else:
            reason = f"line {reader.line_num}: {error}; expected quotes inside a quoted field to be doubled"
        kind = "TSV" if separator == "\t" else "CSV"
        raise UserError(f"{where}: not a well-formed {kind} file: {reason}") from error


def _read_json(path: Path, where: str, as_text: Sequence[str] | None, bad_rows: BadRows) -> pd.DataFrame:
    """The objects of a JSON file."""
    import pandas as pd

    rows = {}
    for row, place, value in json_rows(read_text(path, where, keep_bad_bytes=bad_rows.skip), bad_rows):
        if isinstance(value, dict):
            rows[row] = {name: _without_surrogates(cell) for name, cell in value.items()}
        else:
            bad_rows.add(row, "expected a JSON object with a text and its label", place=place)
    frame = pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), dtype="int64"), dtype=object)
    for name, cells in frame.items():
        inferred = cells.infer_objects()
        if inferred.dtype != "float64" or not any(
            isinstance(cell, int) and abs(cell) > LARGEST_EXACT for cell in cells
        ):
            frame[name] = inferred
    return frame


def _without_surrogates(cell: Any) -> Any:
    """Replaces lone surrogates (half characters), which a JSON file may escape but UTF-8 cannot encode."""
    return SURROGATE.sub(NOT_UTF8, cell) if isinstance(cell, str) and not cell.isascii() else cell


# ending without .gz -> reader
FORMATS = {".csv": _read_csv, ".tsv": _read_tsv, ".json": _read_json, ".jsonl": _read_json, ".parquet": _read_parquet}
