"""Finds the comments and the string literals of source code, in time that is linear in the length of the text.

A literal that is never closed is no literal: its opening quote is an ordinary character. For each kind of literal the
scanner remembers up to where it has searched for an end in vain, so that it reads no part of the text again and again.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

from ltp_pipeline.code.languages import Language
from ltp_pipeline.code.powershell_strings import PowerShellStrings

COMMENT, LITERAL = "comment", "literal"
Span = tuple[int, int, str]  # start, end, COMMENT or LITERAL

_C = re.compile(
    r"""(?<![\w.])(?P<number>\.?\d[\w.]*(?:'\w[\w.]*)+)  # 1'000: these quotes open no literal
    | (?P<line>//) | (?P<block>/\*)
    | (?<!\w)(?:u8|[uUL])?R(?P<raw>"(?P<delimiter>[^()\\\s"]{0,16})\()
    | (?P<double>") | (?P<single>')""",
    re.VERBOSE,
)
_PYTHON = re.compile(
    r"""(?P<line>\#) | (?P<double3>\"{3}) | (?P<single3>'{3}) | (?P<double>") | (?P<single>')""", re.X
)
# A backslash at the end of a // comment continues it on the next line.
_ENDS = {
    "c": {
        "line": re.compile(r"[^\\\n]*(?:\\(?:\n|(?=.)|\Z)[^\\\n]*)*"),
        "block": re.compile(r".*?(?:\*/|\Z)", re.DOTALL),
    },
    "python": {"line": re.compile(r"[^\n]*")},
}
# What a literal may hold. A pattern stops in front of the closing quote, or where the literal can no longer be closed.
_INSIDE = {
    "double": (re.compile(r'[^"\\\n]*(?:\\.[^"\\\n]*)*', re.DOTALL), '"'),
    "single": (re.compile(r"[^'\\\n]*(?:\\.[^'\\\n]*)*", re.DOTALL), "'"),
    "double3": (re.compile(r'[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*', re.DOTALL), '"""'),
    "single3": (re.compile(r"[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*", re.DOTALL), "'''"),
}
_RAW_END = re.compile(r'\)([^()\\\s"]{0,16})"')


def spans(text: str, language: Language) -> Iterator[Span]:
    """The comments and literals of a text in order, without overlaps."""
    if language.name == "powershell":
        return PowerShellStrings(text).spans()
    return _Scanner(text).spans(_PYTHON, "python") if language.name == "python" else _Scanner(text).spans(_C, "c")


def masked(text: str, language: Language, keep_newlines: bool = True) -> str:
    """The text with a space for each character of a comment and a `"` for each character of a literal.

    What remains is code, at its place. `keep_newlines`: whether newlines inside literals stay.
    """
    parts, position = [], 0
    for start, end, kind in spans(text, language):
        fill, replaced = (" ", r"[^\n]") if kind == COMMENT else ('"', r"[^\n]" if keep_newlines else r"[\s\S]")
        parts += [text[position:start], re.sub(replaced, fill, text[start:end])]
        position = end
    return "".join([*parts, text[position:]])


class _Scanner:
    """Scans one text of C, C++ or Python."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.unclosed_until: dict[str, int] = {}  # kind of literal -> position; a literal opened before is not closed
        self.raw_ends: dict[str, list[int]] | None = None  # delimiter -> positions after `)delimiter"`

    def spans(self, opening: re.Pattern[str], language: str) -> Iterator[Span]:
        position = 0
        while match := opening.search(self.text, position):
            kind = match.lastgroup if match["line"] is None else "line"
            start, position = match.start(), match.end()
            if kind in _ENDS[language]:
                position = _ENDS[language][kind].match(self.text, position).end()
                yield start, position, COMMENT
            elif kind != "number":
                raw = opening is _C and match["raw"] is not None
                end = self._raw_end(match["delimiter"], position) if raw else self._end(kind, start, position)
                if end is None:
                    position = match.start("raw") if raw else start + 1
                    if raw and (plain := self._end("double", position, position + 1)) is not None:
                        yield position, plain, LITERAL
                        position = plain
                else:
                    yield start, end, LITERAL
                    position = end

    def _end(self, kind: str, start: int, inside: int) -> int | None:
        """The end of a literal that opens at `start`; None if it is not closed."""
        if start < self.unclosed_until.get(kind, 0):
            return None
        pattern, quote = _INSIDE[kind]
        end = pattern.match(self.text, inside).end()
        if self.text.startswith(quote, end):
            return end + len(quote)
        self.unclosed_until[kind] = end
        return None

    def _raw_end(self, delimiter: str, inside: int) -> int | None:
        if self.raw_ends is None:
            self.raw_ends = defaultdict(list)
            for match in _RAW_END.finditer(self.text):
                self.raw_ends[match[1]].append(match.end())
        ends = self.raw_ends.get(delimiter, [])
        next_end = bisect_left(ends, inside + len(delimiter) + 2)
        return ends[next_end] if next_end < len(ends) else None
