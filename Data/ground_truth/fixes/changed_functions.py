"""Which functions of a source file a diff changes, in which lines, and what it makes of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from Data.ground_truth.fixes.hunk_places import Change, PlacedFile
from Data.ground_truth.fixes.unified_diffs import Hunk
from ltp_pipeline.code.code_tokens import code_tokens
from ltp_pipeline.code.functions import Function, SourceFile, extract_functions
from ltp_pipeline.code.languages import language_of
from ltp_pipeline.code.literals import masked

_LINE = re.compile(r"^[ \t]*#[ \t]*(?:line\b|\d).*", re.MULTILINE)  # what a generator writes; no change to the code
_CALLED = re.compile(r"(\w+)\s*\(")  # the name of the function in the heading of a hunk


@dataclass(frozen=True)
class ChangedFunction:
    """A function that a diff changes in more than layout, comments and #line."""

    function: Function
    flaw_lines: tuple[int, ...]  # from 1: deleted lines of code; if there are none, the lines before insertions
    has_deleted: bool  # whether the flaw lines are deleted lines
    fixed: str  # its text after the change; "": the diff does not apply cleanly to it


@dataclass
class FunctionsOfDiff:
    """The functions of a file. A function where a hunk may belong that was not found is in neither list."""

    changed: list[ChangedFunction] = field(default_factory=list)
    others: list[Function] = field(default_factory=list)
    unsure: int = 0  # functions in neither list
    hunks_not_found: int = 0
    hunks_applied: int = 0  # the file already has what the hunk adds


def functions_of_diff(file: SourceFile, hunks: Sequence[Hunk]) -> FunctionsOfDiff:
    """Divides the functions of a file into those that the hunks change and the others."""
    result = FunctionsOfDiff()
    placed = PlacedFile(file.text.split("\n"))
    changes: list[Change] = []
    lost: list[Hunk] = []
    for hunk in hunks:
        found = placed.place(hunk)
        if found is not None:
            changes += found
        elif placed.is_applied(hunk):
            result.hunks_applied += 1
        else:
            lost.append(hunk)
    result.hunks_not_found = len(lost)
    for function in extract_functions(file):
        own = [change for change in changes if _touches(change, function)]
        changed = _changed(function, own) if own else None
        is_unsure = any(_may_be_in(hunk, function) for hunk in lost)
        if changed is None:
            result.unsure += is_unsure
            if not is_unsure:
                result.others.append(function)
        elif is_unsure:
            result.changed.append(ChangedFunction(function, changed.flaw_lines, changed.has_deleted, ""))
        else:
            result.changed.append(changed)
    return result


def _touches(change: Change, function: Function) -> bool:
    """Whether the change deletes a line of the function, or inserts lines between two of its lines."""
    if change.deleted:
        return any(function.has_line(line) for line in range(change.after + 1, change.end + 1))
    return function.has_line(change.after) and change.after < function.last_line


def _changed(function: Function, changes: Sequence[Change]) -> ChangedFunction | None:
    """The function with its changes; None if they leave its tokens as they are."""
    lines = function.source.split("\n")
    fixed = list(lines)
    for change in sorted(changes, key=lambda change: -change.after):
        start = max(change.after + 1 - function.first_line, 0)
        fixed[start : max(change.end + 1 - function.first_line, 0)] = change.added
    text, language = "\n".join(fixed), language_of(function.path)
    if code_tokens(_LINE.sub("", text), language) == code_tokens(_LINE.sub("", function.source), language):
        return None
    code = _LINE.sub("", masked(function.source, language)).split("\n")
    deleted = {
        line - function.first_line + 1
        for change in changes
        for line in range(change.after + 1, change.end + 1)
        if function.has_line(line) and code[line - function.first_line].strip()
    }
    flaw_lines = deleted or {_last_code(code, change.after + 1 - function.first_line) for change in changes}
    is_clean = all(
        change.is_exact and function.first_line <= change.after + 1 and change.end <= function.last_line
        for change in changes
    )
    is_clean = is_clean and _functions_in(text, function.path) == [text]
    return ChangedFunction(function, tuple(sorted(flaw_lines)), bool(deleted), text if is_clean else "")


def _functions_in(text: str, path: str) -> list[str]:
    return [found.source for found in extract_functions(SourceFile("", path, text))]


def _last_code(code: Sequence[str], line: int) -> int:
    """The last line with code up to this line (from 1); the first line if there is none."""
    return next((number for number in range(line, 0, -1) if code[number - 1].strip()), 1)


def _may_be_in(hunk: Hunk, function: Function) -> bool:
    """Whether a hunk that was not found may belong to the function: by the name in its heading, or by its lines."""
    name = _CALLED.search(hunk.heading)
    if name is not None and re.search(rf"\b{name[1]}\s*\(", function.source.split("{", 1)[0]):
        return True
    return hunk.first_line <= function.last_line and function.first_line < hunk.first_line + len(hunk.old)
