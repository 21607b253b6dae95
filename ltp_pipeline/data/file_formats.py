"""Reads tables (CSV, TSV, JSON, JSON lines, Parquet) as data frames.

Error messages begin with `where`, the flag and the file, and name the row or line.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = ".csv, .tsv, .json, .jsonl (each also with .gz) or .parquet"
SHOWN = 10
SKIPPED = "skipped_rows"  # key in a frame's `attrs`: numbers, from 1, of the rows of the file that were skipped
NOT_UTF8 = "\ufdd0"  # a code point that never occurs in text; replaces bytes and JSON escapes that are not characters
_SURROGATE = re.compile("[\ud800-\udfff]")
FIELD_LIMIT = 2**31 - 1  # characters; the csv module's own limit is 131,072


class BadRows:
    """Collects the rows of a file that cannot be used.

    `skip`: skip such rows and report them; otherwise the first one raises an error.
    """

    def __init__(self, where: str, skip: bool = False):
        self.where, self.skip = where, skip
        self.reasons: dict[int, str] = {}  # number of a row, from 0 -> why the row cannot be used

    def add(self, row: int, reason: str, place: str | None = None) -> None:
        """Records that row `row`, from 0, cannot be used.

        If such rows are not skipped, raises UserError, which names `place` in the file (None: the row).
        """
        if not self.skip:
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
    _check_file(path, where)
    name = path.name.lower()
    ending = Path(name.removesuffix(".gz")).suffix
    if ending == ".parquet" and name.endswith(".gz"):
        raise UserError(f"{where}: a Parquet file is already compressed; expected a name that ends in .parquet")
    if ending not in FORMATS:
        raise UserError(f"{where}: expected a file that ends in {ENDINGS}")
    return ending


def read_text(path: Path, where: str, *, keep_bad_bytes: bool = False) -> str:
    """The text of a UTF-8 file, decompressed if its name ends in .gz.

    `keep_bad_bytes`: replace bytes that are not UTF-8 with `NOT_UTF8` instead of raising an error.
    Raises UserError if the file does not exist, is empty or is not UTF-8 text.
    """
    raw = _read_bytes(path, where)
    if not raw.strip():
        raise UserError(f"{where}: the file is empty; expected columns of text and of labels")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{where}: this is UTF-16; expected UTF-8 text: convert the file first")
    if raw[:2] == b"\x1f\x8b":
        raise UserError(f"{where}: is compressed with gzip; expected a name that ends in .gz: {path.name}.gz")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if keep_bad_bytes:
            return decode_utf8(raw)
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(
            f"{where}: line {line} holds a byte that is not UTF-8 (0x{raw[error.start]:02x}); "
            "expected UTF-8 text: convert the file first (or skip such rows: --on_bad_rows skip)"
        ) from error


def decode_utf8(raw: bytes) -> str:
    """Decodes UTF-8; each byte that is not UTF-8 becomes `NOT_UTF8`."""
    return _SURROGATE.sub(NOT_UTF8, raw.decode("utf-8-sig", errors="surrogateescape"))


def row_place(where: str, row: int) -> str:
    """Names row `row` (from 0) in a message. Messages count rows from 1, without the header."""
    return f"{where}: row {int(row) + 1} (the first after the header is row 1)"


def check_header(header: Sequence[str], where: str) -> None:
    """Raises UserError if a column occurs twice."""
    repeated = next((name for name, count in Counter(header).items() if count > 1), None)
    if repeated is not None:
        raise UserError(f"{where}: the column {repeated!r} occurs twice in the header; expected different names")


def count_of(items: Sequence, name: str) -> str:
    """The number of items with their name: "1 field", "2 fields"."""
    return f"{len(items)} {name}{'' if len(items) == 1 else 's'}"


def shortened(rows: Sequence[int]) -> str:
    """The first `SHOWN` of these numbers as text, and how many more there are."""
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return ", ".join(map(str, rows[:SHOWN])) + more


def _check_file(path: Path, where: str) -> None:
    if path.is_dir():
        raise UserError(f"{where}: this is a folder; expected a file")
    if not path.exists():
        raise UserError(f"{where}: no such file")


def _read_bytes(path: Path, where: str) -> bytes:
    _check_file(path, where)
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.name.lower().endswith(".gz") else raw
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{where}: not a complete gzip file ({error}); expected one, or a name that does not end in .gz"
        ) from error
    except OSError as error:
        raise UserError(f"{where}: cannot be read: {error.strerror}") from error


def _read_parquet(path: Path, where: str, as_text: Sequence[str] | None, bad_rows: BadRows) -> pd.DataFrame:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path).to_pandas().reset_index(drop=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{where}: not a complete Parquet file: {str(error).splitlines()[0]}") from error


def _read_tsv(path: Path, where: str, as_text: Sequence[str] | None, bad_rows: BadRows) -> pd.DataFrame:
    return _read_csv(path, where, as_text, bad_rows, separator="\t")


def _read_csv(
    path: Path, where: str, as_text: Sequence[str] | None, bad_rows: BadRows, separator: str = ","
) -> pd.DataFrame:
    import pandas as pd

    csv.field_size_limit(FIELD_LIMIT)
    records = _records(read_text(path, where, keep_bad_bytes=bad_rows.skip), separator, where)
    header = next(records)
    check_header(header, where)
    numbers, rows = [], []
    for number, fields in enumerate(records):
        if len(fields) == len(header):
            numbers.append(number)
            rows.append(fields)
        else:
            bad_rows.add(number, f"has {count_of(fields, 'field')}; expected the header's {len(header)}")
    columns = list(zip(*rows)) or [()] * len(header)
    frame = pd.DataFrame(
        {name: pd.Series(values, dtype=object) for name, values in zip(header, columns)}, columns=header
    )
    for name in () if as_text is None else set(header).difference(as_text):
        with suppress(ValueError, TypeError):  # text stays text
            frame[name] = pd.to_numeric(frame[name])
    return frame.set_axis(pd.Index(numbers, dtype="int64"))


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
        kind = "CSV" if separator == "," else "TSV"
        raise UserError(f"{where}: not a well-formed {kind} file: {reason}") from error


def _read_json(path: Path, where: str, as_text: Sequence[str] | None, bad_rows: BadRows) -> pd.DataFrame:
    """The objects of a JSON array or of JSON lines."""
    import pandas as pd

    text = read_text(path, where, keep_bad_bytes=bad_rows.skip)
    if text.lstrip().startswith("["):
        try:
            values = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{where}: not well-formed JSON: {error}") from error
        placed = [(row, f"item {row + 1}", value) for row, value in enumerate(values)]
    else:
        placed = []
        # Only "\n" ends a line. str.splitlines() would also split at separators that occur in code.
        lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
        for row, (number, line) in enumerate(lines):
            try:
                placed.append((row, f"line {number}", json.loads(line)))
            except (json.JSONDecodeError, RecursionError) as error:
                bad_rows.add(row, f"not well-formed JSON: {error}", place=f"line {number}")
    rows = {}
    for row, place, value in placed:
        if isinstance(value, dict):
            rows[row] = {name: _without_surrogates(cell) for name, cell in value.items()}
        else:
            bad_rows.add(row, "expected a JSON object with a text and its label", place=place)
    return pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), dtype="int64"))


def _without_surrogates(cell: Any) -> Any:
    """Replaces lone surrogates (half characters), which a JSON file may escape but UTF-8 cannot encode."""
    return _SURROGATE.sub(NOT_UTF8, cell) if isinstance(cell, str) and not cell.isascii() else cell


# ending without .gz -> reader
FORMATS = {".csv": _read_csv, ".tsv": _read_tsv, ".json": _read_json, ".jsonl": _read_json, ".parquet": _read_parquet}
