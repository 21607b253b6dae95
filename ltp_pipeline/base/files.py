"""Writes files so that a reader sees the old file or the new one, never a part; formats tables as text."""

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.display_width import columns as columns_of
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.scratch import scratch_folder

if TYPE_CHECKING:
    import pandas as pd


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` as UTF-8 and does not change its newlines. Creates missing folders.

    Half characters, as in the name of a file whose bytes are not of the locale's encoding, are written as escapes such
    as `\\udce9`, which JSON reads again.

    The text goes to a temporary file beside `path`, which then replaces `path`. A device or a pipe, such as
    /dev/stdout, is written to. Raises UserError if that fails.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if _is_device(path):
            with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                file.write(text)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _is_device(path: Path) -> bool:
    return (path.exists() and not path.is_file() and not path.is_dir()) or str(path).startswith(
        ("/dev/std", "/dev/fd/")
    )


@contextmanager
def replaced_together(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder. When the block ends, the files in it replace those in `folder`, which may be missing.

    If the block fails, `folder` stays as it was. The file written last replaces its predecessor last: if that is the
    report on the others, a new report means that all others are new too. A temporary folder that a killed run left is
    removed.
    """
    with scratch_folder(folder) as staging:
        yield staging
        for file in sorted(staging.iterdir(), key=lambda file: file.stat().st_mtime_ns):
            os.replace(file, folder / file.name)


def write_json(path: str | Path, obj: Any) -> None:
    """Writes `obj` as indented JSON, as `write_text` does. Raises ValueError for NaN and infinities: JSON has none."""
    write_text(path, json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def parse_json(content: str | bytes) -> Any:
    """The value in a JSON text. Raises ValueError if it is not JSON, or is nested too deeply to be read."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write_csv(path: str | Path, frame: "pd.DataFrame") -> None:
    """Writes `frame` without its index, as `write_text` does.

    Every text is quoted, so that code with quotes, newlines and single carriage returns is read back unchanged.
    """
    write_text(path, frame.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC))


def write_rows(path: Path, frame: "pd.DataFrame") -> None:
    """Writes a table in the format of the ending of `path`: .csv, .jsonl (an object for each row) or .parquet.

    In a CSV file, lists and objects are JSON. Raises UserError if Parquet cannot hold a column, because its values are
    of several types.
    """
    if path.suffix == ".csv":
        write_csv(path, frame.map(lambda value: as_text(value) if _is_nested(value) else value))
    elif path.suffix == ".jsonl":
        write_text(path, "".join(f"{_json_line(row)}\n" for row in frame.to_dict("records")))
    else:
        frame = frame.copy(deep=False)
        frame.attrs = {}  # pandas would write them, too, and cannot if they are not JSON
        try:
            frame.to_parquet(path, index=False)
        except (ValueError, TypeError, NotImplementedError) as error:  # ArrowException and its relatives
            reason = " ".join(map(str, error.args))
            raise UserError(f"{path.name}: not possible as Parquet: {reason}; expected .csv or .jsonl") from error


def as_text(value: Any) -> str:
    """A value of a table as text: a list or an object as JSON, "" for a missing value, a whole number without `.0`.

    A column of whole numbers becomes one of floats if a value is missing.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if _is_nested(value):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None or value != value else str(value)


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | tuple | dict) or getattr(value, "ndim", 0) > 0


def _json_line(row: dict[str, Any]) -> str:
    return json.dumps({str(name): _plain(value) for name, value in row.items()}, ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    """The value as JSON has it: no NaN, no numbers and lists of NumPy."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return None if isinstance(value, float) and value != value else value


def format_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None, markdown: bool = False
) -> str:
    """Returns a table as text: a line of column names, a rule, a line for each row. Numbers are aligned right.

    Args:
        rows: one mapping for each line. A missing key or None is shown as "-". A float has four decimals (from 10 on
            one), and below 0.001 the form 1.2e-05.
        columns: keys to show, in order; default: the keys in the order in which the rows first name them.
        markdown: a table in GitHub's Markdown, instead of columns padded with spaces.
    """
    names = list(dict.fromkeys(key for row in rows for key in row)) if columns is None else list(columns)
    lines = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    numeric = [all(not isinstance(row.get(name), str) for row in rows) for name in names]
    if markdown:
        lines = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
        lines.insert(1, ["---:" if right else "---" for right in numeric])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(map(columns_of, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = [[_pad(cell, width, right) for cell, width, right in zip(line, widths, numeric)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _pad(cell: str, width: int, right: bool) -> str:
    space = " " * (width - columns_of(cell))
    return space + cell if right else cell + space


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
