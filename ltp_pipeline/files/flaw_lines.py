"""Reads the flaw lines of a function from the columns in which public data sets list them.

Every reader takes the row's cell, the cell of a second column (or None), and the row's text. It returns numbers of
lines of that text, from 1, in the order of the list. Lines end at a line feed.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from numbers import Integral
from typing import Any

_HUNK = re.compile(r"@@ -(\d{1,9})(,\d+)? \+\d+(,\d+)? @@")
LONGEST_NUMBER = 18  # digits
SEPARATOR = "/~/"  # between the lines in LineVul's column flaw_line


def numbers_in(cell: Any) -> tuple[int, ...] | None:
    """The whole numbers in a text such as `3 7`, `3,7` or `[3, 7]`, in a list, or in a single number.

    Returns () for an empty cell, and None if the cell holds something else.
    """
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    if isinstance(cell, str):
        words = re.sub(r"[\[\](),;]", " ", cell).split()
        right = all(word.isdecimal() and len(word) <= LONGEST_NUMBER for word in words)
        return tuple(map(int, words)) if right else None
    if cell is None or cell != cell:
        return ()
    found = cell if isinstance(cell, list | tuple) else (cell,)
    if all(isinstance(number, Integral) or isinstance(number, float) and number.is_integer() for number in found):
        return tuple(map(int, found))
    return None


def lines_from_one(cell: Any, other: Any, text: str) -> tuple[int, ...]:
    """The lines in a column of this project: numbers from 1."""
    return numbers_in(cell) or ()


def lines_of_linevul(cell: Any, other: Any, text: str) -> tuple[int, ...]:
    """The lines in LineVul's flaw_line_index, which counts from 0.

    `other`: the texts of the lines (flaw_line). They decide whether all lines or only those that are not blank are
    counted. If the numbers fit neither way, the places of these texts are returned.
    """
    lines, numbers = text.split("\n"), numbers_in(cell) or ()
    listed = other.strip().split(SEPARATOR) if isinstance(other, str) and other.strip() else None
    every = list(range(1, len(lines) + 1))
    if listed is None:
        return tuple(every[number] for number in numbers if number < len(every))
    wanted = set(map(_squeezed, listed)) - {""}
    for counted in (every, [number for number in every if lines[number - 1].strip()]):
        if all(number < len(counted) and _squeezed(lines[counted[number] - 1]) in wanted for number in numbers):
            return tuple(counted[number] for number in numbers)
    return places_of(listed, text)


def lines_of_texts(cell: Any, other: Any, text: str) -> tuple[int, ...]:
    """The lines whose texts BigVul's lines_before lists."""
    return places_of(cell.split("\n"), text) if isinstance(cell, str) and cell.strip() else ()


def lines_of_megavul(cell: Any, other: Any, text: str) -> tuple[int, ...]:
    """The lines in MegaVul's diff_line_info, an object with `deleted_lines`, which are texts.

    `other`: the unified diff (diff_func) to the repaired function. Its numbers are taken if they fit the text.
    """
    if isinstance(cell, str):
        for parse in (json.loads, ast.literal_eval):  # a CSV holds the object as text
            with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                cell = parse(cell)
                break
    listed = cell.get("deleted_lines") if isinstance(cell, dict) else None
    listed = list(map(str, listed)) if isinstance(listed, list) or hasattr(listed, "tolist") else []
    if isinstance(other, str):
        lines, numbers = text.split("\n"), _deleted_in(other)
        fits = [number <= len(lines) and lines[number - 1] == line for number, line in zip(numbers, listed)]
        if len(numbers) == len(listed) and all(fits):
            return tuple(numbers)
    return places_of(listed, text)


# Column, in lower case -> the second column that its reader takes, and the reader
READ_LINES: dict[str, tuple[str | None, Callable[[Any, Any, str], tuple[int, ...]]]] = {
    "flaw_lines": (None, lines_from_one),
    "finding_lines": (None, lines_from_one),
    "flaw_line_index": ("flaw_line", lines_of_linevul),
    "diff_line_info": ("diff_func", lines_of_megavul),
    "lines_before": (None, lines_of_texts),
}


def places_of(listed: Sequence[str], text: str) -> tuple[int, ...]:
    """The numbers, from 1, of the lines with these texts, in the order of the list.

    White space within lines does not count, unless all lines stand in the text as they are listed.
    A line that stands in the text more often than in the list is ambiguous. It is placed only directly after the
    place of the line before it in the list, or directly before that of the next one. Otherwise it is left out, as are
    blank lines and lines that the text does not have.
    """
    lines, wanted = list(map(str.rstrip, text.split("\n"))), list(map(str.rstrip, listed))
    if not set(lines).issuperset(filter(None, wanted)):
        lines, wanted = list(map(_squeezed, lines)), list(map(_squeezed, wanted))
    standing, counts = defaultdict(list), Counter(wanted)
    for place, line in enumerate(lines):
        standing[line].append(place)
    unused = {line: iter(standing[line]) for line, count in counts.items() if line and len(standing[line]) <= count}
    places = [next(unused[line], None) if line in unused else None for line in wanted]
    taken = set(places)
    for order, step in ((range(1, len(wanted)), 1), (range(len(wanted) - 2, -1, -1), -1)):
        for i in order:
            beside = None if places[i] is not None or places[i - step] is None else places[i - step] + step
            if beside is not None and 0 <= beside < len(lines) and lines[beside] == wanted[i] and beside not in taken:
                places[i] = beside
                taken.add(beside)
    return tuple(place + 1 for place, line in zip(places, wanted) if place is not None and line)


def _deleted_in(diff: str) -> list[int]:
    """The numbers of the lines that a unified diff of one file deletes."""
    numbers, line_number = [], None
    for line in diff.split("\n"):
        if hunk := _HUNK.match(line):
            line_number = int(hunk[1])
        elif line_number is not None and not line.startswith(("+", "\\")):
            if line.startswith("-"):
                numbers.append(line_number)
            line_number += 1
    return numbers


def _squeezed(line: str) -> str:
    """The line without white space."""
    return "".join(line.split())
