"""Splits a C or C++ file into tokens, in time that is linear in the length of the file."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass

_WORDS = {
    **dict.fromkeys(("struct", "class", "union"), "S"),
    "enum": "U",
    "namespace": "N",
    "extern": "X",
    "template": "T",
    "operator": "O",
    "friend": "R",
    "try": "t",
    "catch": "c",
    **dict.fromkeys(("if", "for", "while", "switch", "else", "do", "return", "goto", "case"), "Q"),
    **dict.fromkeys(("__attribute__", "__attribute", "__declspec", "alignas", "_Alignas"), "a"),
    **dict.fromkeys(("__asm__", "__asm", "asm", "noexcept", "throw", "__pragma", "_Pragma"), "a"),
}
_SIGNS = {"::": ".", "...": "~", "->": "-", "<%": "{", "%>": "}"}
_CONDITIONALS = {"if": "I", "ifdef": "I", "ifndef": "I", "endif": "F"}
_TOKEN = re.compile(
    r"""
    //[^\n]*(?:(?<=\\)\n[^\n]*)* | /\*.*?(?:\*/|\Z)
    | ^[ \t]*(?P<directive>\#|%:)
    | (?P<raw>(?:u8|[uUL])?R"(?P<delimiter>[^()\\\s]{0,16})\()
    | (?P<string>"[^"\\\n]*(?P<escape>\\)?)"?
    | (?P<character>'(?:\\[^\n][^'\\\n]{0,9}|[^'\\\n]{1,4})')
    | (?P<number>\d[\w.]*(?:'\w[\w.]*){0,99})
    | (?P<word>\w+)
    | (?P<sign>::|\.\.\.|->|[-+*/%&|^!=<>]=|<%|%>|\S)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_REST_OF_STRING = re.compile(r'\\.|["\n]', re.DOTALL)
_REST_OF_DIRECTIVE = re.compile(
    r"""\\\n | \n | //[^\n]*(?:(?<=\\)\n[^\n]*)* | /\* | " | '(?:\\[^\n][^'\\\n]{0,9}|[^'\\\n]{1,4})'""", re.VERBOSE
)
_CONDITIONAL = re.compile(r"(?:#|%:)(?:[ \t]|\\\n){0,99}(if|ifdef|ifndef|elif\w*|else|endif)\b", re.DOTALL)


@dataclass(frozen=True)
class Tokens:
    """The tokens of a text: token `i` is `text[starts[i]:ends[i]]` and its kind is the character `kinds[i]`.

    A sign is its own kind, except that `::` is `.`, `->` is `-`, `...` is `~` and a sign that ends in `=` is `o`. `n`
    is a number and `s` a string or character. `I`, `E` and `F` are the directives #if, #else and #endif and their
    relatives, `D` is another directive. A word is `w` or one of _WORDS. Comments are not tokens.
    """

    text: str
    kinds: str
    starts: array[int]
    ends: array[int]


def tokens_of(text: str) -> Tokens:
    """The tokens of a C or C++ text. A string ends at the end of its line if it is not closed."""
    kinds: list[str] = []
    starts, ends = array("Q"), array("Q")
    go_on: int | None = 0
    while go_on is not None:
        matches, go_on = _TOKEN.finditer(text, go_on), None
        for match in matches:
            group = match.lastgroup
            if group is None:
                continue
            start, end = match.span(group)
            if group == "word":
                kind = _WORDS.get(match[0], "w")
            elif group == "sign":
                kind = match[0]
                kind = kind if len(kind) == 1 else _SIGNS.get(kind, "o")
            elif group == "number":
                kind = "n"
            elif group == "directive":
                kind, end = _directive(text, start)
                go_on = end
            else:
                kind, end = "s", match.end()
                if group == "raw":
                    closed = text.find(f'){match["delimiter"]}"', end)
                    go_on = end = closed + len(match["delimiter"]) + 2 if closed >= 0 else len(text)
                elif group == "string" and match["escape"]:
                    go_on = end = _end_of_string(text, match.end("escape") - 1)
            kinds.append(kind)
            starts.append(start)
            ends.append(end)
            if go_on is not None:
                break
    return Tokens(text, "".join(kinds), starts, ends)


def _end_of_string(text: str, position: int) -> int:
    """Where the string ends whose characters go on at `position`: after its quote, or before the end of the line."""
    while match := _REST_OF_STRING.search(text, position):
        if match[0] == '"':
            return match.end()
        if match[0] == "\n":
            return match.start()
        position = match.end()
    return len(text)


def _directive(text: str, start: int) -> tuple[str, int]:
    """The kind of the directive that starts there, and where its last line ends."""
    position = start
    while match := _REST_OF_DIRECTIVE.search(text, position):
        position = match.end()
        if match[0] == "\n":
            position = match.start()
            break
        if match[0] == "/*":
            closed = text.find("*/", position)
            position = closed + 2 if closed >= 0 else len(text)
        elif match[0] == '"':
            position = _end_of_string(text, position)
    else:
        position = len(text)
    named = _CONDITIONAL.match(text, start, position)
    return (_CONDITIONALS.get(named[1], "E") if named else "D"), position
