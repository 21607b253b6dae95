"""Files that are written whole or not at all, and tables for the terminal."""

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` as UTF-8 with its newlines as they are; makes missing folders.

    Readers see the old file or the new one, never a part: the text goes to a temporary file beside `path`, which then
    takes its place. Raises UserError if the place cannot be written to.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def write_json(path: str | Path, obj: Any) -> None:
    """Writes `obj` as indented JSON, whole or not at all. Raises ValueError for NaN and infinities: JSON has none."""
    write_text(path, json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: str | Path, frame: "pd.DataFrame") -> None:
    """Writes `frame` without its index, whole or not at all.

    Every text is quoted, so that quotes, newlines and lone carriage returns inside code read back exactly.
    """
    write_text(path, frame.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC))


def format_table(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Aligned plain-text table: a header line, a rule, a line per row.

    Args:
        rows: one dict a line; a missing key or None is shown as "-", a float with four decimals (one from
            10 on; as 1.2e-05 below 0.001).
        columns: keys to show, in order; default: the keys in the order in which the rows first name them.
    """
    if columns is None:
        columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    numeric = [all(not isinstance(row.get(column), str) for row in rows) for column in columns]

    def line(texts: Sequence[str]) -> str:
        padded = [t.rjust(w) if right else t.ljust(w) for t, w, right in zip(texts, widths, numeric, strict=True)]
        return "  ".join(padded).rstrip()

    return "\n".join([line(list(columns)), "  ".join("-" * width for width in widths), *map(line, cells)])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        if 0 < abs(value) < 0.001:
            return f"{value:.1e}"
        return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"
    if isinstance(value, list | tuple):
        return " ".join(map(_cell, value))
    return str(value)
