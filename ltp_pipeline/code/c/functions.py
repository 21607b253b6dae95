"""The functions of a C or C++ file, in every view of it, with their text."""

from __future__ import annotations

import re
from bisect import bisect, bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from ltp_pipeline.code.c.branches import MAX_VIEWS, Branches, Group, View
from ltp_pipeline.code.c.lexer import tokens_of
from ltp_pipeline.code.c.reader import HEAD, Reader, Span
from ltp_pipeline.code.parts import Function, NotExtracted, SourceFile

Part = tuple[int, int]  # of a text: the index of the first character, and of the first character after it


DEAD = "#if 0 with braces that do not match"
UNREAD = "more branches of #if than are read"


def find_c_functions(file: SourceFile) -> tuple[list[Function], list[NotExtracted]]:
    """The functions of a file, and what looks like a function and is not extracted, both in order.

    A function inside another one is part of the outer one. If branches of #if open or close braces of a function, or
    hold its head, each branch gives a function. In its text, the lines of the other branches and of the directives are
    empty.
    """
    text, tokens = file.text, tokens_of(file.text)
    branches = Branches(tokens)
    found: set[tuple[int, int, tuple[Part, ...]]] = set()
    lost: list[Span] = []
    chosen: set[Group] = set()
    for number in range(MAX_VIEWS):
        view = View(branches, chosen)
        spans = Reader(tokens, view).read()
        left_out = view.left_out()
        for span in spans:
            parts = _between(left_out, tokens.starts[span.first], tokens.ends[span.last])
            if not span.reason:
                found.add((span.first, span.last, parts))
            elif number == 0:
                lost.append(span)
        chosen |= set(view.chosen)
        if not view.reads_new or all(group.is_read for group in chosen):
            break
    heads = _unread_heads(branches, chosen)
    lost = _outside(
        [*lost, *(head for head in heads if head.reason == DEAD)], [(first, last) for first, last, _ in sorted(found)]
    )
    lost += [head for head in heads if head.reason == UNREAD]
    line_ends = [match.start() for match in re.finditer("\n", text)]

    def line(index: int) -> int:
        return bisect_left(line_ends, index) + 1

    functions = []
    for first, last, parts in sorted(found):
        start, end = tokens.starts[first], tokens.ends[last]
        lines = tuple((line(part[0]), line(part[1])) for part in parts)
        functions.append(Function(file.project, file.path, line(start), _without(text, start, end, parts), lines))
    not_extracted = []
    for span in sorted(lost):
        start, end = tokens.starts[span.first], tokens.ends[span.last]
        head = text[start:end].split("\n", 1)[0]
        not_extracted.append(NotExtracted(file.project, file.path, line(start), line(end), head, span.reason))
    return functions, not_extracted


def _unread_heads(branches: Branches, chosen: Iterable[Group]) -> list[Span]:
    """The heads in branches that no view reads: those of `#if 0`, and those beyond MAX_VIEWS."""
    tokens, heads = branches.tokens, []
    for group in chosen:
        for branch, (condition, _) in enumerate(group.conditions):
            first, last = group.marks[branch] + 1, group.marks[branch + 1] - 1
            if branch not in group.branches_read and first <= last:
                reason = DEAD if condition == "0" else UNREAD
                for match in HEAD.finditer(tokens.text, tokens.starts[first], tokens.ends[last]):
                    token = bisect_left(tokens.starts, match.start())
                    if match.start() in tokens.starts[token : token + 1]:  # not in a comment or a string
                        heads.append(Span(token, bisect(tokens.starts, match.end() - 1) - 1, reason))
    return heads


def _between(parts: Sequence[Part], start: int, end: int) -> tuple[Part, ...]:
    """The parts that begin between two places of the text."""
    return tuple(parts[bisect_left(parts, (start, 0)) : bisect_left(parts, (end, 0))])


def _without(text: str, start: int, end: int, parts: Iterable[Part]) -> str:
    """The text from `start` to `end` with empty lines for the parts."""
    pieces = []
    for first, after in parts:
        pieces += [text[start:first], "\n" * text.count("\n", first, after)]
        start = after
    return "".join([*pieces, text[start:end]])


def _outside(spans: Iterable[Span], functions: Sequence[tuple[int, int]]) -> list[Span]:
    """The spans that start in none of the functions, which are in order of their first token."""
    ends = list(accumulate((last for _, last in functions), max))
    firsts = [first for first, _ in functions]
    outside = []
    for span in spans:
        place = bisect(firsts, span.first)
        if place == 0 or ends[place - 1] < span.first:
            outside.append(span)
    return outside
