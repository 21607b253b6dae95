"""Reads the text of a data file. If the file is something else, the message says what it is and what to do."""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.base.stand_ins import stand_in
from ltp_pipeline.base.text_encoding import MARKS, wide_encoding

NOT_UTF8 = "\ufdd0"  # a code point that never occurs in text; replaces bytes and JSON escapes that are not characters
SURROGATE = re.compile("[\ud800-\udfff]")
_UNPACK = "expected the unpacked file, or gzip with a name that ends in .gz"
# first bytes of a file -> what it is, and what to do
FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel file (.xlsx); expected the unpacked file, or the sheet saved as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls); expected the sheet saved as CSV",
    b"BZh": f"compressed with bzip2; {_UNPACK}",
    b"\xfd7zXZ": f"compressed with xz; {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"compressed with zstd; {_UNPACK}",
    b"7z\xbc\xaf": f"a 7z archive; {_UNPACK}",
    b"PAR1": "Parquet; expected a name that ends in .parquet",
    b"ARROW1": "an Arrow file; expected CSV, JSON lines or Parquet: `datasets` writes them with to_csv or to_parquet",
    b"\x89HDF": "HDF5; expected CSV, JSON lines or Parquet: Data/import_vdisc.py imports VDISC's files",
    b"SQLite format 3": "an SQLite database; expected a table exported as CSV",
    b"\x80\x02": "a Python pickle, which could run code when it is read; expected CSV, JSON lines or Parquet",
    b"%PDF": "a PDF document; expected CSV, JSON lines or Parquet",
}
FOREIGN |= {bytes([0x80, protocol]): FOREIGN[b"\x80\x02"] for protocol in (3, 4, 5)}


def read_text(path: Path, where: str, *, keep_bad_bytes: bool = False) -> str:
    """The text of a file, decompressed if its name ends in .gz: UTF-8, or UTF-16 or UTF-32 with or without a mark.

    `keep_bad_bytes`: replace what is not a character with `NOT_UTF8` instead of raising an error.
    Raises UserError if the file does not exist, is empty or is not such text.
    """
    raw = read_bytes(path, where)
    check_content(raw, path, where)
    mark, encoding = next((pair for pair in MARKS if raw.startswith(pair[0])), (b"", wide_encoding(raw) or "utf-8"))
    text = _decode(raw.removeprefix(mark), encoding, where, keep_bad_bytes)
    if not text.strip("\0 \t\r\n\ufeff"):
        what = "holds only NUL bytes: it was not copied completely" if "\0" in text else "is empty"
        raise UserError(f"{where}: the file {what}; expected columns of text and of labels")
    return text


def decode_utf8(raw: bytes) -> str:
    """Decodes UTF-8; each byte that is not UTF-8 becomes `NOT_UTF8`."""
    return SURROGATE.sub(NOT_UTF8, raw.decode("utf-8-sig", errors="surrogateescape"))


def check_content(raw: bytes, path: Path, where: str) -> None:
    """Raises UserError if the first bytes of a file show that it is of a format that is not read."""
    if raw[:2] == b"\x1f\x8b":
        raise UserError(f"{where}: is compressed with gzip; expected a name that ends in .gz: {path.name}.gz")
    what = next((what for begin, what in FOREIGN.items() if raw.startswith(begin)), stand_in(raw[:1000]))
    if raw[257:262] == b"ustar":
        what = f"a tar archive; {_UNPACK}"
    if what is not None:
        raise UserError(f"{where}: this is {what}")


def check_header(header: Sequence[str], where: str) -> None:
    """Raises UserError if a column occurs twice."""
    repeated = next((name for name, count in Counter(header).items() if count > 1), None)
    if repeated is not None:
        name = printable(repeated)
        raise UserError(f"{where}: the column {name!r} occurs twice in the header; expected different names")


def check_file(path: Path, where: str) -> None:
    """Raises UserError if there is no such file."""
    if path.is_dir():
        raise UserError(f"{where}: this is a folder; expected a file")
    if not path.exists():
        raise UserError(f"{where}: no such file")


def read_bytes(path: Path, where: str) -> bytes:
    """The bytes of a file, decompressed if its name ends in .gz. Raises UserError if it cannot be read."""
    check_file(path, where)
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.name.lower().endswith(".gz") else raw
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{where}: not a complete gzip file ({error}); expected one, or a name that does not end in .gz"
        ) from error
    except OSError as error:
        raise UserError(f"{where}: cannot be read: {error.strerror}") from error


def _decode(raw: bytes, encoding: str, where: str, keep_bad_bytes: bool) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        if keep_bad_bytes:
            if encoding == "utf-8":
                return decode_utf8(raw)
            return raw.decode(encoding, errors="replace").replace("\ufffd", NOT_UTF8)
        if encoding != "utf-8":
            reason = f"not complete {encoding.upper()} text: {error.reason}"
            raise UserError(f"{where}: {reason}; expected UTF-8 text: convert the file first") from error
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(
            f"{where}: line {line} holds a byte that is not UTF-8 (0x{raw[error.start]:02x}); "
            "expected UTF-8 text: convert the file first (or skip such rows: --on_bad_rows skip)"
        ) from error
