"""Mutations that drop a statement: a check that leaves the function, loop or block, or a call that frees something."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator

from Data.mutations.c_body import Body
from Data.mutations.site import Edit, Site
from Data.mutations.variables import Variables

_FREE = re.compile(
    r"(?:^|_)[kvx]?free(?:_|$)|[a-z]Free$|^[fp]?close(?:dir)?$|(?:^|_)(?:unref|destroy|release)$|^Py_X?DECREF$"
)
_LEAVES = frozenset(("return", "goto", "break", "continue", "throw"))
_ASSIGNS = frozenset("= += -= *= /= %= &= |= ^=".split())
MOST_STATEMENTS = 4  # of a check
MOST_COUNTED = 4  # more statements of a kind than this count as this many


def dropped_check(body: Body, variables: Variables, _: random.Random) -> Iterator[Site]:
    """Each `if` without `else` whose few statements end with return, goto, break, continue or throw.

    Its condition assigns nothing: without `if (!(p = malloc(n)))` more than a check would be missing.
    """
    checks = [(token, end) for token in _statements(body) if (end := _end_of_check(body, token))]
    yield from _sites("dropped_check", body, variables, checks)


def dropped_free(body: Body, variables: Variables, _: random.Random) -> Iterator[Site]:
    """Each statement that only calls a function that frees or closes, with an `if` in front of it or without."""
    calls = [(token, end) for token in _statements(body) if (end := _end_of_free(body, token))]
    yield from _sites("dropped_free", body, variables, calls)


def _statements(body: Body) -> Iterator[int]:
    for token in range(body.start + 1, len(body.kinds) - 1):
        if body.starts_statement(token) and token not in body.closed:
            yield token


def _end_of_check(body: Body, token: int) -> int | None:
    """The last token of a check; None if the statement is none."""
    if body.words[token] != "if" or body.kinds[token + 1] != "(":
        return None
    first = body.pairs[token + 1] + 1
    if not _ASSIGNS.isdisjoint(body.words[token:first]):
        return None
    end = body.end_of_statement(first)
    inside = body.words[first : end + 1]
    if body.kinds[first] == "{":
        if inside.count("{") > 1 or not 0 < inside.count(";") <= MOST_STATEMENTS:
            return None
        last = max((t for t in range(first, end - 1) if body.kinds[t] in ";{"), default=first) + 1
    else:
        last = first
    return end if body.words[last] in _LEAVES and body.words[end + 1] != "else" else None


def _end_of_free(body: Body, token: int) -> int | None:
    """The last token of a statement that frees; None if the statement is none."""
    first, in_braces = token, False
    if body.words[token] == "if" and body.kinds[token + 1] == "(":
        first = body.pairs[token + 1] + 1
        in_braces = body.kinds[first] == "{"
        first += in_braces
    if body.words[first] == "delete":
        end = body.end_of_statement(first)
    elif body.kinds[first : first + 2] == "w(" and _FREE.search(body.words[first]):
        end = body.pairs[first + 1] + 1
    else:
        return None
    last = end + in_braces
    complete = body.kinds[end] == ";" and (not in_braces or body.kinds[last] == "}")
    return last if complete and body.words[last + 1] != "else" else None


def _sites(kind: str, body: Body, variables: Variables, found: list[tuple[int, int]]) -> Iterator[Site]:
    """A site for each statement. The last one of a function stays, so that its words do not vanish from the text."""
    count = len(found)
    before, after = (str(min(number, MOST_COUNTED)) for number in (count, count - 1))
    for first, last in found:
        edits: tuple[Edit, ...] = ()
        if count > 1 and _leaves_no_trace(body, variables, first, last):
            edits = ((*_with_lines(body, first, last), ""),)
        yield Site(kind, before, after, edits)


def _leaves_no_trace(body: Body, variables: Variables, first: int, last: int) -> bool:
    """Whether the text around the statement looks complete without it."""
    if body.kinds[last + 1] == "}" and (body.kinds[first - 1] == "{" or body.words[first] == "if"):
        return False  # an empty block, or a check before the end of what it leaves
    if any(kind in "IEFD" for kind in (body.kinds[first - 1 : last + 2])):
        return False
    if body.gap(first).partition("\n")[2].strip() or body.gap(last + 1).partition("\n")[0].strip():
        return False  # a comment above or beside it
    removed = Counter(body.words[first : last + 1])
    if any(len(variables.uses[name]) - removed[name] < 2 for name in removed if name in variables.uses):
        return False
    labels = [body.words[t + 1] for t in range(first, last) if body.words[t] == "goto"]
    return all(body.jumps[label] > 1 for label in labels)


def _with_lines(body: Body, first: int, last: int) -> tuple[int, int]:
    """The characters to remove: whole lines if nothing else is on them, and a blank line that would be doubled."""
    text = body.text
    before, after = body.gap(first), body.gap(last + 1)
    start, end = body.starts[first], body.ends[last]
    if "\n" not in after:
        return start, end + len(after)
    if "\n" not in before:
        return start - len(before), end
    start -= len(before) - before.rindex("\n") - 1
    end += after.index("\n") + 1
    above = before.count("\n") > 1 or body.kinds[first - 1] == "{"
    blank = re.compile(r"(?:[ \t]*\n)*").match(text, end).end()
    if above and blank > end:
        return start, blank
    if body.kinds[last + 1] == "}" and above:
        start = body.ends[first - 1] + before.index("\n") + 1
    return start, end
