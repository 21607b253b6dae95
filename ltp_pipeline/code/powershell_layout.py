"""Finds the functions of a PowerShell file by heads and matching braces, without a parser."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ltp_pipeline.code.languages import LANGUAGES
from ltp_pipeline.code.literals import LITERAL, masked, spans

NO_BRACES = "the braces do not match"
IN_STRING = "inside a string of several lines"  # often the string only seems to have no end
Definition = tuple[int, int, str]  # start, end, why it cannot be used ("": it can)

# A statement begins at the start of a line, or after one of these characters.
_STATEMENT = r"(?:^|(?<=[;{}()|&\n]))[ \t]*"
_NAME = r"[^\s(){};,|&=][^\s(){};,|&]*"
_FUNCTION = re.compile(rf"{_STATEMENT}(?P<head>(?:function|filter|workflow)\s+{_NAME})", re.I | re.M)
_CLASS = re.compile(rf"{_STATEMENT}class\s+\w[^{{}}();]{{0,500}}(?={{)", re.I | re.M)
_TYPE = r"\[[^\[\]\n]*(?:\[[^\[\]\n]*\][^\[\]\n]*)*\]"  # such as [int] or [Dictionary[string,int]]
_METHOD = re.compile(rf"\s*(?P<head>(?:(?:static\b|hidden\b|{_TYPE})\s*)*[A-Za-z_]\w*)\s*(?=\()", re.I)
_BASE = re.compile(r"\s*:\s*base\s*(?=\()", re.I)
_STEP = re.compile(r"[;\n{(]")
_BLANK = re.compile(r"\s*")


def powershell_definitions(text: str) -> list[Definition]:
    """The functions, filters, workflows and methods of classes, in any order. Functions inside others are included."""
    code = masked(text, LANGUAGES["powershell"])
    braces, parentheses = _pairs(code, "{", "}"), _pairs(code, "(", ")")
    found = []
    for start, end, kind in spans(text, LANGUAGES["powershell"]):
        if kind == LITERAL and text[start] in "\"'" and "\n" in text[start:end]:
            heads = _FUNCTION.finditer(text, start, end)
            found += [(match.start("head"), match.end("head"), IN_STRING) for match in heads]
    for match in _FUNCTION.finditer(code):
        found.append(_definition(match.start("head"), match.end("head"), code, braces, parentheses))
    for match in _CLASS.finditer(code):
        if match.end() in braces:
            found += _methods(match.end(), code, braces, parentheses)
    return found


def _definition(
    start: int, after_name: int, code: str, braces: dict[int, int], parentheses: dict[int, int]
) -> Definition:
    """A function whose name ends at `after_name`: the parameters may follow, then the body."""
    position = _BLANK.match(code, after_name).end()
    if code.startswith("(", position) and position in parentheses:
        position = _BLANK.match(code, parentheses[position]).end()
    if position in braces:
        return start, braces[position], ""
    return start, after_name, NO_BRACES


def _methods(body: int, code: str, braces: dict[int, int], parentheses: dict[int, int]) -> Iterator[Definition]:
    """The methods in the body of a class, which begins at `body`."""
    position, end = body + 1, braces[body]
    while position < end:
        match = _METHOD.match(code, position)
        if match and match.end() in parentheses:
            position = parentheses[match.end()]
            base = _BASE.match(code, position)
            position = parentheses.get(base.end(), position) if base else position
            found = _definition(match.start("head"), position, code, braces, {})
            yield found
            position = max(position, found[1])
        else:  # a property or an attribute: go to the next statement
            step = _STEP.search(code, position, end)
            position = end if step is None else step.end()
            while step and step[0] in "{(" and position < end:
                position = braces.get(step.start()) or parentheses.get(step.start()) or position
                step = _STEP.search(code, position, end)
                position = end if step is None else step.end()


def _pairs(code: str, opening: str, closing: str) -> dict[int, int]:
    """Position of each opening bracket that is closed -> position after its closing bracket."""
    waiting: list[int] = []
    pairs = {}
    for match in re.finditer(rf"[{re.escape(opening + closing)}]", code):
        if match[0] == opening:
            waiting.append(match.start())
        elif waiting:
            pairs[waiting.pop()] = match.end()
    return pairs
