"""Finds what a reader wants to see in colour: comments, literals, numbers and keywords.

The time is linear in the length of the text, also for hostile texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from keyword import kwlist

from ltp_pipeline.code.languages import Language
from ltp_pipeline.code.literals import COMMENT, LITERAL, Span, spans

NUMBER, KEYWORD = "number", "keyword"
KINDS = (COMMENT, LITERAL, NUMBER, KEYWORD)

_C = """auto break case char const continue default do double else enum extern float for goto if inline int long
register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
_Bool bool true false NULL size_t"""
_CPP = """alignas alignof catch class concept const_cast consteval constexpr constinit co_await co_return co_yield
decltype delete dynamic_cast explicit export final friend mutable namespace new noexcept nullptr operator
override private protected public reinterpret_cast requires static_assert static_cast template this thread_local
throw try typeid typename using virtual wchar_t"""
_POWERSHELL = """begin break catch class continue data do dynamicparam else elseif end enum exit filter finally for
foreach from function hidden if in param process return static switch throw trap try until using while workflow"""
_KEYWORDS = {
    "c": {*_C.split()},
    "cpp": {*_C.split(), *_CPP.split()},
    "python": {*kwlist},
    "powershell": {*_POWERSHELL.split()},
}
_NUMBER = r"(?P<number>(?<![\w$.])\.?\d[\w.]*)"
_WORD = rf"{_NUMBER}|[\w$.]+"  # with dots: a member such as .default is no keyword
_RULES = {
    "c": re.compile(rf"(?P<keyword>^[ \t]*\#[ \t]*[a-z]+)|{_WORD}", re.M),  # #include, #if
    "python": re.compile(_WORD),
    "powershell": re.compile(rf"(?P<keyword>(?<![\w-])-[a-z]+\b)|{_NUMBER}|[\w$.-]+", re.I),  # -eq, -Path
}


def syntax_spans(text: str, language: Language) -> Iterator[Span]:
    """Start, end and kind (one of `KINDS`) of what has a colour, in order, without overlaps."""
    position = 0
    for start, end, kind in spans(text, language):
        yield from _words(text, position, start, language.name)
        yield start, end, kind
        position = end
    yield from _words(text, position, len(text), language.name)


def _words(text: str, start: int, end: int, language: str) -> Iterator[Span]:
    rule = _RULES.get(language, _RULES["c"])
    keywords, fold = _KEYWORDS.get(language, set()), language == "powershell"
    for match in rule.finditer(text, start, end):
        if match.lastgroup:
            yield *match.span(), match.lastgroup
        elif (match[0].lower() if fold else match[0]) in keywords:
            yield *match.span(), KEYWORD
