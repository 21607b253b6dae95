"""The name of a function, read from its head."""

from __future__ import annotations

import re

from ltp_pipeline.code.c.lexer import Tokens, tokens_of
from ltp_pipeline.code.languages import Language

LONGEST_NAME = 120  # characters; a longer one is cut
LONGEST_HEAD = 5000  # characters
DEEPEST = 9  # parentheses around a name

_PYTHON = re.compile(r"(?:async(?:\s|\\\n)+)?def(?:\s|\\\n)+(\w+)")
_BRACKETS = r"\[[^][\n]*\]"  # a type or an attribute, here of four levels such as `[List[int[]]]`
for _ in range(3):
    _BRACKETS = rf"\[[^][\n]*(?:{_BRACKETS}[^][\n]*)*\]"
_POWERSHELL = re.compile(
    rf"(?:function|filter|workflow)\s+([^\s(){{}};,|&]+)|(?:(?:static\b|hidden\b|{_BRACKETS})\s*)*(\w+)\s*\(", re.I
)
_SPECIFIERS = frozenset(
    "const consteval constexpr explicit extern inline register restrict static virtual volatile __inline __inline__ "
    "__restrict _Noreturn".split()
)
_TYPES = frozenset("auto bool char double float int long short signed unsigned void wchar_t decltype typeof".split())
_KEYWORDS = _SPECIFIERS | _TYPES
_TYPE_WORDS = "wSUX"  # kinds of tokens that may stand in front of a name
_CAPITALS = re.compile(r"[A-Z][A-Z0-9_]*")
_CLOSING = {"(": ")", "[": "]", "<": ">"}


def function_name(source: str, language: Language) -> str:
    """The name of the function whose text this is, as its head writes it: `A::operator()`, `main`, `Get-Item`.

    If the head is the call of a macro, such as `TEST(Suite, Case)`, the name is that call. "" if no name is found.
    """
    if language.name == "python":
        match = _PYTHON.match(source)
        name = match[1] if match else ""
    elif language.name == "powershell":
        match = _POWERSHELL.match(source)
        name = (match[1] or match[2]) if match else ""
    else:
        head = source[:LONGEST_HEAD]
        name = _c_name(head[: head.find("{") + 1]) or _c_name(head)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


def _c_name(head: str) -> str:
    tokens = tokens_of(head)
    return _Head(tokens).name(0, len(tokens.kinds))


class _Head:
    """Finds the name in the tokens of a head: the name in front of the parameter list."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens, self._kinds = tokens, tokens.kinds
        self._pairs: dict[int, int] = {}  # of brackets: the other one
        opened: dict[str, list[int]] = {")": [], "]": [], ">": []}
        for token, kind in enumerate(self._kinds):
            if kind in _CLOSING:
                opened[_CLOSING[kind]].append(token)
            elif kind in opened and opened[kind]:
                other = opened[kind].pop()
                self._pairs |= {token: other, other: token}

    def name(self, token: int, end: int, depth: int = 0) -> str:
        """The name that the tokens up to `end` declare; "" if there is none. `depth`: of parentheses around them."""
        words: list[int] = []  # names and types so far
        while token < end and self._kinds[token] not in "{;:=":
            kind = self._kinds[token]
            if kind == "O":
                return self._operator(token, end)
            if kind == "(":
                closing = self._closing(token, end)
                if name := self._name_at(token, closing, end, words, depth):
                    return name
                token = closing
            elif kind in "[a" or (kind == "<" and words):
                if kind == "a" and self._kinds.startswith("(", token + 1):
                    token += 1
                token = self._closing(token, end) if self._kinds[token] in _CLOSING else token
            elif kind in _TYPE_WORDS and self._text(token) not in _SPECIFIERS:
                words.append(token)
            token += 1
        words = [one for one in words if self._kinds[one] == "w" and self._text(one) not in _TYPES]
        if not words or token >= end or self._kinds[token] == ";":
            return ""
        named = [one for one in words if not _CAPITALS.fullmatch(self._text(one))]  # `int f NO_PARAMETERS {`
        return self._chain((named or words)[-1])

    def _name_at(self, opening: int, closing: int, end: int, words: list[int], depth: int) -> str:
        """The name, if these parentheses hold the parameters of the function or the declarator; else ""."""
        inside = self._kinds[opening + 1 : closing]
        last = self._last_of_name(opening)
        if last is None or (self._kinds.startswith("(", closing + 1) and re.match(r"[\w.]*[*&]", inside)):
            # `int (*f(int a))(char)`
            inner = self.name(opening + 1, closing, depth + 1) if depth < DEEPEST else ""
            if inner or not re.fullmatch("[*&]*w", inside):
                return inner
            return self._text(closing - 1)  # `int (f)(int a)`
        name = self._chain(last)
        has_type = any(word < self._first_of_name(last) for word in words)
        is_macro = _CAPITALS.fullmatch(name) is not None
        if (is_macro or not has_type) and not self._is_parameter_list(last, closing, end):
            return ""
        has_more = self._kinds.startswith("(", closing + 1)  # `void NAME(f)(int a)`
        if is_macro and (has_more or not has_type) and self._is_macro_argument(opening, closing):
            return _one_line(self._tokens.text[self._tokens.starts[last] : self._tokens.ends[closing]])
        return name

    def _is_parameter_list(self, last: int, closing: int, end: int) -> bool:
        """Whether no name with parameters follows, as in `MACRO(int) f(void)`, but not in `A(int a) MACRO(x)`."""
        token, name = closing + 1, None
        while token < end and self._kinds[token] not in "{;:=-" and self._text(token) != "requires":
            if self._kinds[token] == "O":
                return False
            if self._kinds[token] == "(":
                found = self._last_of_name(token)
                if found is not None and found > closing and self._text(found) not in _KEYWORDS:
                    name = found
                    break
                token = self._closing(token, end)
            elif self._kinds[token] == "a" and self._kinds.startswith("(", token + 1):
                token = self._closing(token + 1, end)
            token += 1
        capitals = [bool(_CAPITALS.fullmatch(self._text(one))) for one in (last, name if name is not None else last)]
        return name is None or capitals == [False, True]

    def _is_macro_argument(self, opening: int, closing: int) -> bool:
        """Whether the first argument is one word, and no type: `TEST(Suite, Case)`, not `A(int a)`."""
        return (
            re.match("[wns][,)]", self._kinds[opening + 1 : closing + 1]) is not None
            and self._text(opening + 1) not in _KEYWORDS
        )

    def _operator(self, token: int, end: int) -> str:
        last = token
        if self._kinds.startswith("()", token + 1):
            last = token + 2
        else:
            while last + 1 < end and self._kinds[last + 1] not in "({;":
                last += 1
        first = self._qualified(token)
        return _one_line(self._tokens.text[self._tokens.starts[first] : self._tokens.ends[last]])

    def _last_of_name(self, opening: int) -> int | None:
        """The last token of the name in front of a parenthesis; None if there is no name."""
        if opening == 0:
            return None
        if self._kinds[opening - 1] == ">":
            first = self._pairs.get(opening - 1)
            return opening - 1 if first and self._kinds[first - 1] == "w" else None
        is_name = self._kinds[opening - 1] == "w" and self._text(opening - 1) not in _KEYWORDS
        return opening - 1 if is_name else None

    def _first_of_name(self, last: int) -> int:
        first = last
        if self._kinds[last] == ">":
            first = self._pairs.get(last, last) - 1
        if first and self._kinds[first - 1] == "~":
            first -= 1
        return self._qualified(first)

    def _qualified(self, first: int) -> int:
        """The first token of the classes and namespaces in front of a name: that of `A` in `A<int>::f`."""
        while first >= 2 and self._kinds[first - 1] == ".":
            before = first - 2
            if self._kinds[before] == ">":
                before = self._pairs.get(before, 0) - 1
            if before < 0 or self._kinds[before] != "w" or self._text(before) in _KEYWORDS:
                return first
            first = before
        return first

    def _closing(self, opening: int, end: int) -> int:
        """The token that closes a bracket, or the last token."""
        return min(self._pairs.get(opening, end), end - 1)

    def _chain(self, last: int) -> str:
        start = self._tokens.starts[self._first_of_name(last)]
        return _one_line(self._tokens.text[start : self._tokens.ends[last]])

    def _text(self, token: int) -> str:
        return self._tokens.text[self._tokens.starts[token] : self._tokens.ends[token]]


def _one_line(name: str) -> str:
    """The name with single spaces, and none around `::`."""
    return re.sub(r"\s*::\s*", "::", " ".join(name.split()))
