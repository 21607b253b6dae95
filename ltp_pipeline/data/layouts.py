"""Says which column of a file holds what (text, label, flaw lines, partner, ...), and reads flaw lines and pairs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LAYOUT = "layout"  # key in a frame's `attrs`: its `Layout`


@dataclass(frozen=True)
class Layout:
    """What the columns of a file mean: for each role the name of its column in the file, or None."""

    name: str  # such as "CodeXGLUE"; "" for our own columns
    text: str
    label: str | None = None
    id: str | None = None
    cwe: str | None = None
    project: str | None = None
    path: str | None = None
    first_line: str | None = None
    flaw_lines: str | None = None
    pair: str | None = None
    partner: str | None = None  # the text of the repaired function, in the row of the defective one


def own_layout(columns: Iterable[str], text: str, label: str | None) -> Layout:
    """The layout of the tables that this project writes; `text` and `label` are the columns that were chosen."""
    found = set(columns)
    roles = {"cwe": "cwes"} | {name: name for name in ("id", "project", "path", "first_line", "pair")}
    lines = next((name for name in ("flaw_lines", "finding_lines") if name in found), None)
    named = {role: name for role, name in roles.items() if name in found}
    return Layout("", text, label, flaw_lines=lines, **named)


def flaw_lines_of(frame: pd.DataFrame) -> list[tuple[int, ...]] | None:
    """The flaw lines of each row, from 1, in the row's text, in the order in which the file lists them.

    `frame`: as `read_functions` returns it. Returns None if the file has no flaw lines; () for a row without any.
    """
    layout = frame.attrs.get(LAYOUT)
    if layout is None or layout.flaw_lines is None:
        return None
    return [_numbers(value) for value in frame[layout.flaw_lines]]


def pairs_of(frame: pd.DataFrame) -> np.ndarray | None:
    """The pair of each row: `[N]` texts, "" for a row without a partner in the frame.

    Exactly two rows, one of label 1 and one of label 0, have the same text.
    `frame`: as `read_functions` returns it. Returns None if the file has no pairs.
    """
    import numpy as np

    layout = frame.attrs.get(LAYOUT)
    if layout is None or layout.pair is None:
        return None
    names = frame[layout.pair].fillna("").astype(str)
    rows: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        rows.setdefault(name, []).append(place)
    pairs = np.full(len(frame), "", dtype=object)
    labels = frame["label"].tolist()
    for name, places in rows.items():
        if name and len(places) == 2 and {labels[place] for place in places} == {0, 1}:
            pairs[places] = name
    return pairs


def _numbers(value: Any) -> tuple[int, ...]:
    """The numbers in a text such as `3 7`, a list, or a single number; () for an empty field."""
    if isinstance(value, str):
        return tuple(int(word) for word in value.split() if word.isdecimal())
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(map(int, value))
    return () if value is None or value != value else (int(value),)
