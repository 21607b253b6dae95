"""Finds the place of each hunk of a diff in a source file, and the lines that it deletes and adds there.

The file may be of another revision than the diff: a hunk is looked for in the whole file, the nearest place first.
Lines are compared without white space, because copies of diffs lose tabs. If a hunk as a whole is nowhere, lines of
its context are left out from both ends, as the program `patch` does; then it must fit one place only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from Data.ground_truth.fixes.unified_diffs import ADDED, CONTEXT, Hunk

MOST_LEFT_OUT = 7  # lines of context that are left out at each end; projects write diffs with 3 to 8 such lines
FEWEST = 2  # lines that are not blank, for a hunk without some of its lines, or that fits several places


@dataclass(frozen=True)
class Change:
    """Lines of a file that are replaced: `deleted` lines (0 or more) after line `after` (0: at the start)."""

    after: int
    deleted: int
    added: tuple[str, ...]
    is_exact: bool  # the hunk was found with all its lines, and they agree but for white space at their ends

    @property
    def end(self) -> int:
        """The last deleted line; `after` if there is none."""
        return self.after + self.deleted


class PlacedFile:
    """The lines of a file, and where hunks are in it."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self._keys = [_key(line) for line in lines]
        self._numbers: dict[str, list[int]] = defaultdict(list)  # key of a line -> indices of such lines
        for index, key in enumerate(self._keys):
            self._numbers[key].append(index)

    def place(self, hunk: Hunk) -> list[Change] | None:
        """The changes of a hunk, in order; None if the hunk is nowhere."""
        found = self._find(hunk.old, _context(hunk), hunk.first_line - 1)
        return None if found is None else _changes(hunk, *found, self.lines)

    def is_applied(self, hunk: Hunk) -> bool:
        """Whether the file already has the lines that the hunk leaves behind, among its full context."""
        return self._find(hunk.new, (0, 0), hunk.first_line - 1) is not None

    def _find(self, old: Sequence[str], context: tuple[int, int], expected: int) -> tuple[int, int] | None:
        """The index of the line with which the old lines begin, and how many were left out at each end at most."""
        keys = [_key(line) for line in old]
        for left_out in range(min(MOST_LEFT_OUT, max(context)) + 1):
            top, bottom = (min(left_out, lines) for lines in context)
            wanted = keys[top : len(keys) - bottom]
            filled = sum(map(bool, wanted))
            if filled >= (FEWEST if left_out else 1):
                rarest = min(range(len(wanted)), key=lambda number: len(self._numbers.get(wanted[number], ())))
                starts = [index - rarest for index in self._numbers.get(wanted[rarest], ())]
                starts = [
                    start for start in starts if start >= 0 and self._keys[start : start + len(wanted)] == wanted
                ]
                if len(starts) == 1 or (starts and not left_out and filled >= FEWEST):
                    return min(starts, key=lambda start: abs(start - top - expected)) - top, left_out
        return None


def _key(line: str) -> str:
    return "".join(line.split())


def _context(hunk: Hunk) -> tuple[int, int]:
    """How many lines of context the hunk has at its start and at its end."""
    changed = [number for number, (sign, _) in enumerate(hunk.lines) if sign != CONTEXT]
    return (changed[0], len(hunk.lines) - 1 - changed[-1]) if changed else (0, 0)


def _changes(hunk: Hunk, start: int, left_out: int, lines: Sequence[str]) -> list[Change]:
    at = lines[start : start + len(hunk.old)] if start >= 0 else []
    is_exact = not left_out and [line.rstrip() for line in at] == [line.rstrip() for line in hunk.old]
    changes: list[Change] = []
    index, deleted, added = start, 0, []
    for sign, text in (*hunk.lines, (CONTEXT, "")):
        if sign == CONTEXT:
            if deleted or added:
                changes.append(Change(index - deleted, deleted, tuple(added), is_exact))
            deleted, added = 0, []
            index += 1
        elif sign == ADDED:
            added.append(text)
        else:
            deleted += 1
            index += 1
    return changes
