"""Reads the rows of JSON: objects in lines or in an array, and the other layouts that pandas' `to_json` writes.

For a column `code` and a column `label` these layouts are:

    records   [{"code": "a", "label": 0}, {"code": "b", "label": 1}]        also with lines=True
    columns   {"code": {"0": "a", "1": "b"}, "label": {"0": 0, "1": 1}}     the default of `to_json`
    index     {"0": {"code": "a", "label": 0}, "1": {"code": "b", "label": 1}}
    split     {"columns": ["code", "label"], "index": [0, 1], "data": [["a", 0], ["b", 1]]}
    table     {"schema": {...}, "data": [{"index": 0, "code": "a", "label": 0}, ...]}
    (dict)    {"code": ["a", "b"], "label": [0, 1]}                         `to_dict("list")`
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.files.text_files import check_header

if TYPE_CHECKING:
    from ltp_pipeline.files.file_formats import BadRows

EXPECTED = "expected one JSON object per line, or one array of objects: in pandas to_json(FILE, orient='records')"


def json_rows(text: str, bad_rows: BadRows) -> list[tuple[int, str, Any]]:
    """The rows of a JSON file: number from 0, place in the file, and value.

    `bad_rows` collects lines that are not well-formed.
    Raises UserError if the text is not JSON, or has another layout.
    """
    if not text.lstrip().startswith(("{", "[")):
        raise UserError(f"{bad_rows.where}: this is not JSON; {EXPECTED}; for CSV a name that ends in .csv")
    if text.lstrip().startswith("["):
        return _items(_parse_all(text, bad_rows.where))
    # Only a line feed ends a line. str.splitlines() would also split at separators that occur in code.
    ending = "\n" if "\n" in text else "\r"
    lines = [(number, line) for number, line in enumerate(text.split(ending), start=1) if line.strip()]
    whole = _one_object(text, lines[0][1], len(lines))
    if whole is not None:
        return _items(_rows_of(whole, bad_rows.where))
    placed = []
    for row, (number, line) in enumerate(lines):
        try:
            placed.append((row, f"line {number}", _parse(line)))
        except (ValueError, RecursionError) as error:
            bad_rows.add(row, f"not well-formed JSON: {error}", place=f"line {number}")
    return placed


def _items(values: list[Any]) -> list[tuple[int, str, Any]]:
    return [(row, f"item {row + 1}", value) for row, value in enumerate(values)]


def _parse_all(text: str, where: str) -> Any:
    try:
        return _parse(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not well-formed JSON: {error}") from error


def _parse(text: str) -> Any:
    """As `json.loads`, which raises ValueError also for numbers of more than 4,300 digits; a key must not repeat."""
    return json.loads(text, object_pairs_hook=_without_repetition)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {printable(Counter(names).most_common(1)[0][0])!r} occurs twice")
    return values


def _one_object(text: str, first_line: str, lines: int) -> dict[str, Any] | None:
    """The object, if the text is a single one; None if it is JSON lines."""
    if lines > 1:
        try:
            _parse(first_line)
            return None
        except (ValueError, RecursionError):  # the first line may be malformed, or the object has several lines
            pass
    try:
        return _parse(text)
    except (ValueError, RecursionError):
        return None


def _rows_of(whole: dict[str, Any], where: str) -> list[Any]:
    """The rows of a single object: one of the layouts of pandas, or a row."""
    columns, data = whole.get("columns"), whole.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        check_header(list(map(str, columns)), where)
        for item, cells in enumerate(data, start=1):
            if not isinstance(cells, list) or len(cells) != len(columns):
                raise UserError(f"{where}: item {item} of 'data': expected {len(columns)} cells, as in 'columns'")
        return [dict(zip(map(str, columns), cells)) for cells in data]
    if "schema" in whole and isinstance(data, list):
        return data
    values = list(whole.values())
    if values and all(isinstance(value, list) for value in values):
        if len(set(map(len, values))) > 1:
            raise UserError(f"{where}: the lists of {printable(', '.join(whole))} have different lengths; {EXPECTED}")
        return [dict(zip(whole, cells)) for cells in zip(*values)]
    if not values or not all(isinstance(value, dict) for value in values):
        return [whole]
    inner = {name: None for value in values for name in value}
    if _are_row_labels(inner) and not _are_row_labels(whole):
        return [{name: cells.get(row) for name, cells in whole.items()} for row in inner]
    if _are_row_labels(whole) and not _are_row_labels(inner):
        return values
    raise UserError(f"{where}: one JSON object, and it is not clear what its rows are; {EXPECTED}")


def _are_row_labels(names: dict[str, Any]) -> bool:
    """Whether the keys are numbers, as pandas numbers rows."""
    return all(name.lstrip("-").isdecimal() for name in names)
