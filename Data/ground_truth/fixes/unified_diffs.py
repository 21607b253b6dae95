"""Reads unified diffs, also those that a web page or an editor has changed.

Tools for diffs refuse a diff whose lines were wrapped, whose blank lines were cut or that has too few lines. This
reader takes what is there: a hunk ends where its header says, or earlier. Whether a hunk fits its source file is
decided by its lines (see `hunk_places.py`), so that a wrong reading does not change the wrong lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CONTEXT, DELETED, ADDED = " ", "-", "+"
MOST_WRAPPED = 3  # pieces of a line that was wrapped, after the first
_HUNK = re.compile(r"\s*@@\s*-(\d+)(?:,(\d+))?\s*\+(\d+)(?:,(\d+))?\s*@@(.*)")
_PATH = re.compile(r"(?:---|\+\+\+)\s+(.*)")
_AFTER_PATH = re.compile(  # the name of a copy, a revision, or a date
    r"\s*\.(?:orig|org|old|\d{4,})(?=\s|\d{4}-|$)|\t|\s+\(|\s+\d+\s\w+\s\d{4}|\s+[A-Z]\w\w\s[A-Z]\w\w\s\d|\s+\d{4}[-/]"
)
_SPREAD = re.compile(r"^--- .*\n\n\+\+\+ ", re.MULTILINE)
_BETWEEN_FILES = re.compile(r"diff |Index: |index [0-9a-f]+\.\.[0-9a-f]+")


@dataclass(frozen=True)
class Hunk:
    """A changed place: `lines` are pairs of CONTEXT, DELETED or ADDED and the text of the line."""

    first_line: int  # in the file before the change, from 1; for a hunk without old lines the line before
    heading: str  # what follows the second @@: in most programs the head of the function
    lines: tuple[tuple[str, str], ...]

    @property
    def old(self) -> list[str]:
        """The lines before the change."""
        return [text for sign, text in self.lines if sign != ADDED]

    @property
    def new(self) -> list[str]:
        """The lines after the change."""
        return [text for sign, text in self.lines if sign != DELETED]


@dataclass(frozen=True)
class FileDiff:
    """The hunks of one file. `path` is as it is in the diff; that of the new file if there is no old one."""

    path: str
    hunks: tuple[Hunk, ...]


def parse_diff(text: str) -> list[FileDiff]:
    """The files of a diff with at least one hunk, in order. What stands between hunks and files is skipped."""
    lines = _diff_lines(text)
    files: list[FileDiff] = []
    path, hunks, number = "", [], 0

    def close() -> None:
        if hunks:
            files.append(FileDiff(path, tuple(hunks)))
            hunks.clear()

    while number < len(lines):
        if header := _HUNK.fullmatch(lines[number]):
            hunk, number = _read_hunk(header, lines, number + 1)
            hunks.append(hunk)
            continue
        if _starts_file(lines, number):
            close()
            old, new = (_path(lines[number + step]) for step in (0, 1))
            path = new if old == "/dev/null" else old
            number += 1
        number += 1
    close()
    return files


def _diff_lines(text: str) -> list[str]:
    """The lines without line ends. If a program has added a blank line after each line, these are left out."""
    text = re.sub("\r+\n|\r", "\n", text).rstrip()
    return (text.replace("\n\n", "\n") if _SPREAD.search(text) else text).split("\n")


def _starts_file(lines: list[str], number: int) -> bool:
    return lines[number].startswith("--- ") and number + 1 < len(lines) and lines[number + 1].startswith("+++ ")


def _path(line: str) -> str:
    return _AFTER_PATH.split(_PATH.match(line)[1])[0].strip().strip('"')


def _read_hunk(header: re.Match[str], lines: list[str], number: int) -> tuple[Hunk, int]:
    """The hunk whose body begins at line `number`, and the number of the line after it."""
    old, new = (int(header[group] or 1) for group in (2, 4))
    body: list[tuple[str, str]] = []
    wrapped = 0  # lines in a row that are the rest of a line
    while number < len(lines) and (old > 0 or new > 0):
        line = lines[number]
        if _HUNK.fullmatch(line) or _BETWEEN_FILES.match(line) or _starts_file(lines, number):
            break
        number += 1
        sign = line[:1] or CONTEXT
        if sign == "\\":  # \ No newline at end of file
            continue
        wrapped = wrapped + 1 if sign not in (CONTEXT, DELETED, ADDED) else 0
        if wrapped > MOST_WRAPPED:  # the hunk has too few lines, and other text follows
            break
        if wrapped:
            if body:  # the rest of a line; without a body, of the heading
                body[-1] = (body[-1][0], body[-1][1] + line)
            continue
        body.append((sign, line[1:]))
        old -= sign != ADDED
        new -= sign != DELETED
    return Hunk(int(header[1]), header[5].strip(), tuple(body)), number
