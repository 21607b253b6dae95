"""Resolves the conditionals of the C preprocessor that name chosen macros, and leaves all others as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.languages import LANGUAGES
from ltp_pipeline.code.literals import COMMENT, masked, spans

_DIRECTIVE = re.compile(r"\s*#\s*(ifdef|ifndef|if|elifdef|elifndef|elif|else|endif)\b(.*)", re.DOTALL)
_TOKEN = re.compile(r"\s*(defined\b|\w+|&&|\|\||[=!<>]=|[!<>()]|\S)")
_COMPARE = {
    "==": int.__eq__,
    "!=": int.__ne__,
    "<": int.__lt__,
    ">": int.__gt__,
    "<=": int.__le__,
    ">=": int.__ge__,
}


@dataclass
class _Group:
    """An open conditional of which some branch names a macro."""

    keeps: bool  # whether the current branch stays
    done: bool = False  # whether a branch that is true has been read
    written: bool = False  # whether an #if of this conditional is in the result
    outer_keeps: bool = field(default=True)


def resolve(text: str, macros: re.Pattern[str], defined: bool) -> tuple[list[str], list[int]]:
    """The lines of a file as the preprocessor would leave them, if it knew only the macros that match.

    Args:
        text: with `\\n` line ends.
        macros: matches the whole name of each macro that is known.
        defined: whether these macros are defined (as 1). Other names in their conditionals count as undefined.

    Returns the lines that are left, and the number of each in `text`, from 1. A conditional with no such macro stays.
    Raises UserError for conditionals that do not match each other.
    """
    lines = text.split("\n")
    chosen = _chosen(text, macros)
    kept, numbers, stack = [], [], [_Group(keeps=True)]
    number = 0
    while number < len(lines):
        end = number + 1
        if number in chosen:
            kind, condition, end = chosen[number]
            line = _step(stack, kind, condition, macros, defined)
            if line is not None:
                kept.append(line)
                numbers.append(number + 1)
        elif stack[-1].keeps:
            kept.append(lines[number])
            numbers.append(number + 1)
        number = end
    return kept, numbers


def _chosen(text: str, macros: re.Pattern[str]) -> dict[int, tuple[str, str, int]]:
    """The directives of conditionals in which some condition names a macro.

    Number of the line, from 0 -> kind, condition, number of the line behind. Raises UserError as `resolve` does.
    """
    open_groups: list[list[int]] = []
    found: dict[int, tuple[str, str, int]] = {}
    chosen: set[int] = set()
    for first, end, kind, condition in _directives(text):
        found[first] = kind, condition, end
        if kind.startswith("if"):
            open_groups.append([])
        elif not open_groups:
            raise UserError(f"line {first + 1}: #{kind} without #if")
        open_groups[-1].append(first)
        if kind == "endif":
            group = open_groups.pop()
            if any(macros.fullmatch(name) for one in group for name in re.findall(r"\w+", found[one][1])):
                chosen.update(group)
    if open_groups:
        raise UserError(f"line {open_groups[-1][0] + 1}: #if without #endif")
    return {first: found[first] for first in chosen}


def _directives(text: str) -> Iterator[tuple[int, int, str, str]]:
    """The first line, the line behind, the kind and the condition of each directive outside comments."""
    lines = masked(text, LANGUAGES["c"]).split("\n")
    goes_on = _continued(text)
    number = 0
    while number < len(lines):
        end = number + 1
        while end - 1 in goes_on and end < len(lines):
            end += 1
        match = _DIRECTIVE.match(" ".join(line.removesuffix("\\") for line in lines[number:end]))
        if match:
            yield number, end, match[1], match[2].strip()
        number = end


def _continued(text: str) -> set[int]:
    """The lines, from 0, that end in a backslash or inside a comment."""
    found = {number for number, line in enumerate(text.split("\n")) if line.endswith("\\")}
    line = position = 0
    for start, end, kind in spans(text, LANGUAGES["c"]):
        line += text.count("\n", position, start)
        if kind == COMMENT:
            found.update(range(line, line + text.count("\n", start, end)))
        position = start
    return found


def _step(stack: list[_Group], kind: str, condition: str, macros: re.Pattern[str], defined: bool) -> str | None:
    """Opens, changes or closes a conditional. Returns the directive that takes its place; None: none."""
    if kind.startswith("if"):
        stack.append(_Group(keeps=False, outer_keeps=stack[-1].keeps))
    group = stack[-1]
    if kind == "endif":
        stack.pop()
        return "#endif" if group.written and group.outer_keeps else None
    value = _value(kind, condition, macros, defined)
    group.keeps = group.outer_keeps and not group.done and value is not False
    if not group.keeps:
        return None
    if value is True:
        group.done = True
        return "#else" if group.written else None
    if not group.written:
        kind = kind.removeprefix("el")  # the branches before are left out
    group.written = True
    return f"#{kind} {condition}"


def _value(kind: str, condition: str, macros: re.Pattern[str], defined: bool) -> bool | None:
    """Whether a branch is read; None: its condition names no known macro."""
    if kind == "else":
        return True
    if not any(macros.fullmatch(name) for name in re.findall(r"\w+", condition)):
        return None
    if kind.endswith("def"):
        return defined != kind.endswith("ndef")
    return bool(_Condition(condition, macros, defined).value())


class _Condition:
    """The value of a condition: `defined`, names, numbers, comparisons, `!`, `&&`, `||` and parentheses."""

    def __init__(self, text: str, macros: re.Pattern[str], defined: bool) -> None:
        self.text, self.tokens = text, [*_TOKEN.findall(text), ""]
        self.macros, self.defined = macros, defined

    def value(self) -> int:
        """Raises UserError for what is no such condition."""
        value = self._or()
        if self.tokens != [""]:
            raise UserError(f"#if {self.text}: cannot be evaluated at {self.tokens[0]!r}")
        return value

    def _next(self, *expected: str) -> str:
        """The next token, which is removed, if it is one of these (none given: in any case); otherwise ""."""
        return self.tokens.pop(0) if self.tokens[0] and (not expected or self.tokens[0] in expected) else ""

    def _or(self) -> int:
        value = self._and()
        while self._next("||"):
            value = int(bool(self._and()) or bool(value))
        return value

    def _and(self) -> int:
        value = self._comparison()
        while self._next("&&"):
            value = int(bool(self._comparison()) and bool(value))
        return value

    def _comparison(self) -> int:
        value = self._single()
        while sign := self._next(*_COMPARE):
            value = int(_COMPARE[sign](value, self._single()))
        return value

    def _single(self) -> int:
        if self._next("!"):
            return int(not self._single())
        if self._next("("):
            value = self._or()
            self._close()
            return value
        if self._next("defined"):
            in_parentheses = self._next("(")
            name = self._next()
            if in_parentheses:
                self._close()
            return self._known(name)
        name = self._next()
        number = re.fullmatch(r"(0[xX][\da-fA-F]+|\d+)[uUlL]*", name)
        if number is None and not re.fullmatch(r"[^\W\d]\w*", name):
            raise UserError(f"#if {self.text}: cannot be evaluated at {name!r}")
        if number is None:
            return self._known(name)
        octal = number[1].startswith("0") and number[1].isdigit() and set(number[1]) <= set("01234567")
        return int(number[1], 8 if octal else 16 if number[1][:2] in ("0x", "0X") else 10)

    def _known(self, name: str) -> int:
        return int(self.defined and self.macros.fullmatch(name) is not None)

    def _close(self) -> None:
        if not self._next(")"):
            raise UserError(f"#if {self.text}: a parenthesis is not closed")
