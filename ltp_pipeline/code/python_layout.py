"""Finds the functions of a Python file by heads and indentation, without a parser."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ltp_pipeline.code.languages import LANGUAGES
from ltp_pipeline.code.literals import masked

NO_HEAD = "the head has no parameter list or no colon"
NO_BLOCK = "no indented block"
TAB = 8  # columns, as Python 2 counts them
Definition = tuple[int, int, str]  # start, end, why it cannot be used ("": it can)

_BRACKET = re.compile(r"[()\[\]{}\n]")
_DEFINES = re.compile(r"[ \t\f]*(?:(?:async[ \t]+)?def|class)[ \t]+\w")
_COMMENT = re.compile(r"(?:[ \t]*|\s*\n(?P<indent>[ \t]*))#[^\n]*")
_HEAD = re.compile(r"(?P<indent>[ \t\f]*)(?P<def>(?:async[ \t]+)?def[ \t]+\w+[ \t]*)")


def python_definitions(text: str) -> list[Definition]:
    """The functions and methods, in order, without those inside others."""
    lines = list(_logical_lines(text))
    found: list[Definition] = []
    last_end = 0
    for number, (start, line) in enumerate(lines):
        match = _HEAD.match(line)
        if match is None or start < last_end:
            continue
        end_of_head = _end_of_head(line, match.end())
        if end_of_head is None:
            found.append((start + match.start("def"), start + len(line.rstrip()), NO_HEAD))
            continue
        end = start + len(line.rstrip())
        indent = _columns(match["indent"])
        has_body = bool(line[end_of_head:].strip())
        if not has_body:
            last = number
            while last + 1 < len(lines) and _columns(lines[last + 1][1]) > indent:
                last += 1
            end, has_body = lines[last][0] + len(lines[last][1].rstrip()), last > number
        last_end = _with_comments(text, end, indent)
        found.append((start + match.start("def"), last_end, "" if has_body else NO_BLOCK))
    return found


def _with_comments(text: str, end: int, indent: int) -> int:
    """`end` moved behind a comment on the same line and the comments below that are indented by more than `indent`."""
    while match := _COMMENT.match(text, end):
        if match["indent"] is not None and _columns(match["indent"] + "#") <= indent:
            break
        end = match.start() + len(match[0].rstrip())
    return end


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The start and the code of each logical line that holds code.

    Strings and comments are blanked, and the newlines inside brackets and after backslashes are spaces. Brackets that
    are never closed end where a line begins with `def` or `class`, or with the text.
    """
    code = masked(text, LANGUAGES["python"], keep_newlines=False).replace("\\\n", "  ")
    begin = depth = 0
    for match in _BRACKET.finditer(code + "\n"):
        if match[0] in "([{":
            depth += 1
        elif match[0] != "\n":
            depth = max(0, depth - 1)
        elif depth == 0 or _DEFINES.match(code, match.end()):
            depth = 0
            line = code[begin : match.start()].replace("\n", " ")
            if line.strip():
                yield begin, line
            begin = match.end()
    if code[begin:].strip():  # a bracket is still open
        yield begin, code[begin:].replace("\n", " ")


def _end_of_head(line: str, after_name: int) -> int | None:
    """The position after the colon of the head; None if there is no parameter list or no colon."""
    depth, has_parameters = 0, False
    for match in re.finditer(r"[()\[\]{}:]", line[after_name:]):
        if match[0] in "([{":
            depth += 1
            has_parameters = has_parameters or match[0] == "("
        elif match[0] != ":":
            depth -= 1
        elif depth == 0:
            return after_name + match.end() if has_parameters else None
    return None


def _columns(line: str) -> int:
    """The indentation of a line in columns."""
    indent = line[: len(line) - len(line.lstrip(" \t\f"))]
    return len(indent.rpartition("\f")[2].expandtabs(TAB))
