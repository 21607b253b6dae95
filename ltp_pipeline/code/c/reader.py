"""Reads the declarations of a C or C++ file and finds the functions among them.

A file is read as declarations in scopes: the file itself, namespaces, `extern "C"` blocks and classes. A declaration
with a parameter list and a block is a function, also if its head is a call of a macro. The block itself is not read.
"""

from __future__ import annotations

import re
from bisect import bisect
from dataclasses import dataclass

from ltp_pipeline.code.c.branches import BETWEEN, INSIDE, PARENTHESES, Group, View
from ltp_pipeline.code.c.heads import (
    FUNCTION,
    OTHER,
    SCOPE,
    STATEMENT,
    WORDS,
    Declaration,
    data_in,
    holds_statements,
    opened_by,
)
from ltp_pipeline.code.c.lexer import Tokens

UNMATCHED = "braces that do not match"
OUTSIDE = "statements outside a function"
UNKNOWN = "a head that is not understood"

_ACCESS = frozenset(("public", "private", "protected", "signals", "Q_SIGNALS"))
_ROUND = "(", ")", re.compile("[(){}IEF]")
_SQUARE = "[", "]", re.compile(r"[\[\]{}IEF]")
HEAD = re.compile(  # at the start of a line, with a type and a name
    r"^(?!else\b|return\b)\w+[ \t*]+\w[^\n;{}]*\)\s*\{", re.MULTILINE
)
_MAX_UNCLOSED = 3  # unclosed parentheses that are looked for up to the end of the file


@dataclass(frozen=True, order=True)
class Span:
    """Tokens of a file, the first and the last; `reason` is why they are not extracted, or "" for a function."""

    first: int
    last: int
    reason: str = ""


class Reader:
    """Reads the declarations of a file in one view of it. `read` returns what it found."""

    def __init__(self, tokens: Tokens, view: View):
        self._tokens, self._kinds, self._view = tokens, tokens.kinds, view
        self._pairs = view.closing_braces()
        closing = (event for event in view.branches.events if self._kinds[event] == "}")
        self._closing_at_line_start = [token for token in closing if self._at_line_start(token)]
        self._spans: list[Span] = []
        self._scopes = 0  # scopes that are open
        self._declaration = Declaration()
        self._around: dict[Group, Declaration] = {}  # the declaration in which an `#if 0` stands
        self._old_style: int | None = None  # the first token of what may be a function with old-style parameters
        self._unclosed = 0
        self._disturbed = False  # whether a brace closed nothing, and no function has started a line since
        self._actions = {
            "(": self._read_parentheses,
            "[": self._read_brackets,
            "{": self._read_block,
            "}": self._end_scope,
            ";": self._end_declaration,
            "T": self._skip_template,
            "O": self._read_operator,
            "a": self._read_attribute,
            ":": self._read_colon,
            "D": self._read_definition,
            **dict.fromkeys("IEF", self._read_conditional),
        }

    def read(self) -> list[Span]:
        """The functions, and what looks like one and is none, in order."""
        token, end = 0, len(self._kinds)
        while token < end:
            action = self._actions.get(self._kinds[token])
            if action is None:
                self._declaration.add(self._kinds[token], token, token)
                token += 1
            else:
                token = action(token)
        return self._spans

    # Each of the following reads what starts at `token` and returns the token to go on with.

    def _read_conditional(self, token: int) -> int:
        following = self._view.after(token, INSIDE if self._declaration.kinds else BETWEEN)
        group, number = self._view.branches.at.get(token, (None, 0))
        if group is not None and group not in self._view.chosen and group.conditions[0] == ("0", True):
            if number == 0:  # what is read in `#if 0` is no part of the declaration around it
                self._around[group] = self._declaration
                self._declaration = Declaration()
            elif number == 1:
                self._declaration = self._around.pop(group, self._declaration)
        return following

    def _read_definition(self, token: int) -> int:
        if self._declaration.is_macro_call:
            self._declaration = Declaration()
        return token + 1

    def _read_parentheses(self, token: int) -> int:
        return self._read_group(token, _ROUND, "P")

    def _read_brackets(self, token: int) -> int:
        return self._read_group(token, _SQUARE, "B")

    def _read_group(self, token: int, signs: tuple[str, str, re.Pattern[str]], kind: str) -> int:
        end = self._end_of_group(token, signs)
        if end is None:
            return token + 1
        if self._kinds[end] == "}":
            self._declaration = Declaration()
            return end
        self._declaration.add(kind, token, end)
        return end + 1

    def _end_of_group(self, token: int, signs: tuple[str, str, re.Pattern[str]]) -> int | None:
        """The token that closes a group, or the `}` before which it should have been closed; None if there is none."""
        if self._unclosed > _MAX_UNCLOSED:
            return None
        opening, closing, pattern = signs
        depth = 0
        while match := pattern.search(self._kinds, token):
            token, kind = match.start(), match[0]
            if kind in "IEF":
                token = self._view.after(token, PARENTHESES)
                continue
            if self._kinds[token - 1 : token + 1] == "(}" or self._kinds[token : token + 2] == "{)":
                pass  # a macro such as `EXTERN_C({)`
            elif kind == "}":
                return token
            elif kind == "{":
                token = self._pairs.get(token, token)
            else:
                depth += (kind == opening) - (kind == closing)
                if depth == 0:
                    return token
            token += 1
        self._unclosed += 1
        return None

    def _skip_template(self, token: int) -> int:
        """Skips `template<...>`: the declaration starts after it."""
        if not self._kinds.startswith("<", token + 1):
            self._declaration.add("w", token, token)
            return token + 1
        depth, at_line_end = 0, 0
        token += 1
        while token < len(self._kinds) and self._kinds[token] not in "{};":
            kind = self._kinds[token]
            if kind == "(":
                end = self._end_of_group(token, _ROUND)
                if end is None or self._kinds[end] == "}":
                    break
                token = end
            elif kind in "<>":
                depth += 1 if kind == "<" else -1
                if depth == 0:
                    return token + 1
                if kind == ">" and not at_line_end and self._ends_line(token):
                    at_line_end = token + 1
            token += 1
        return at_line_end or token  # one of the signs means "less than"

    def _read_operator(self, token: int) -> int:
        """Reads the name of an operator, such as `operator()` or `operator new[]`, as one word."""
        last = token
        if self._kinds.startswith("()(", token + 1):
            last = token + 2
        else:
            while last + 1 < len(self._kinds) and self._kinds[last + 1] not in "(){};IEFD":
                last += 1
        self._declaration.add("w", token, last)
        return last + 1

    def _read_attribute(self, token: int) -> int:
        """Reads `__attribute__((...))` and its relatives as one item."""
        last = token
        if self._kinds.startswith("(", token + 1):
            end = self._end_of_group(token + 1, _ROUND)
            last = end if end is not None and self._kinds[end] == ")" else token
        self._declaration.add("a", token, last)
        return last + 1

    def _read_colon(self, token: int) -> int:
        """Reads a colon; `public:` and its relatives end what is in front of them."""
        words = {self._word(first) for first in self._declaration.first[-2:]}
        if words & _ACCESS:
            self._declaration = Declaration()
        else:
            self._declaration.add(":", token, token)
        return token + 1

    def _end_declaration(self, token: int) -> int:
        declaration, self._declaration = self._declaration, Declaration()
        if declaration.begins_old_style(self._tokens):
            self._old_style = declaration.first_of_function()
        elif not declaration.goes_on_old_style():
            self._old_style = None
        return token + 1

    def _end_scope(self, token: int) -> int:
        self._disturbed |= self._scopes == 0
        self._scopes = max(0, self._scopes - 1)
        self._reset()
        return token + 1

    def _read_block(self, opening: int) -> int:
        if opening in self._pairs and self._declaration.has_member_initialiser():
            self._declaration.add("P", opening, self._pairs[opening])
            return self._pairs[opening] + 1
        head = self._declaration.head(self._view)
        first, shape, opened = self._head_of(head, opening)
        if opened == SCOPE:
            self._reset()
            self._scopes += opening in self._pairs
            return opening + 1
        closing = self._closing(opening, first)
        if closing is None:
            self._reset()
            return self._note_unmatched(first, opening) if shape else opening + 1
        if opened == OTHER:
            return self._after_value(head, opening, closing)
        self._reset()
        reason = OUTSIDE if opened == STATEMENT else data_in(self._tokens, shape, opening, self._pairs)
        if self._at_line_start(first):
            self._disturbed = False
        elif self._disturbed and re.fullmatch("a*wP+", shape):
            reason = OUTSIDE
        if opened == FUNCTION and "t" in shape:
            closing = self._after_handlers(closing)
        self._spans.append(Span(first, closing, reason))
        return closing + 1

    # What the methods above ask.

    def _head_of(self, head: Declaration, opening: int) -> tuple[int, str, str]:
        """The first token of what a brace belongs to, the shape of its head, and what the brace opens."""
        if not head.kinds:
            return (opening, "", OTHER) if self._old_style is None else (self._old_style, "wwP", FUNCTION)
        shape = head.shape
        opened = opened_by(shape)
        if opened == WORDS:
            opened = SCOPE if len(shape) == 1 else OTHER
            if opening in self._pairs and holds_statements(self._tokens, shape, opening, self._pairs):
                opened = FUNCTION
        return head.first_of_function() if opened == FUNCTION else head.first[0], shape, opened

    def _closing(self, opening: int, first: int) -> int | None:
        """The brace that closes a block, or None if braces inside the block do not match."""
        closing = self._pairs.get(opening)
        if closing is None or not self._at_line_start(first):
            return closing
        place = bisect(self._closing_at_line_start, opening)
        if place < len(self._closing_at_line_start) and self._closing_at_line_start[place] < closing:
            start = self._tokens.ends[self._closing_at_line_start[place]]
            if HEAD.search(self._tokens.text, start, self._tokens.ends[closing]):
                return None
        return closing

    def _note_unmatched(self, first: int, opening: int) -> int:
        """Notes a block whose braces do not match, and returns the token after the first `}` that starts a line."""
        place = bisect(self._closing_at_line_start, opening)
        last = self._closing_at_line_start[place] if place < len(self._closing_at_line_start) else opening
        self._spans.append(Span(first, last, UNMATCHED))
        return last + 1

    def _after_value(self, head: Declaration, opening: int, closing: int) -> int:
        """Goes on after a block that is a value or an enumeration; the declaration may go on, too."""
        shape = head.shape
        if shape.endswith("P") and "=" not in shape and "U" not in shape:
            self._spans.append(Span(head.first[0], closing, UNKNOWN))
        self._declaration.add("B", opening, closing)
        goes_on = self._kinds[closing + 1 : closing + 2] in tuple(",;=[(.)")
        if not goes_on and self._ends_line(closing):
            self._reset()
        return closing + 1

    def _after_handlers(self, closing: int) -> int:
        """The last brace of the `catch` blocks that follow the `try` block of a function."""
        while self._kinds.startswith("c(", closing + 1):
            opening = self._kinds.find("{", closing)
            if opening not in self._pairs:
                break
            closing = self._pairs[opening]
        return closing

    def _reset(self) -> None:
        self._declaration = Declaration()
        self._old_style = None

    def _at_line_start(self, token: int) -> bool:
        start = self._tokens.starts[token]
        return start == 0 or self._tokens.text[start - 1] == "\n"

    def _ends_line(self, token: int) -> bool:
        following = self._tokens.starts[token + 1] if token + 1 < len(self._kinds) else len(self._tokens.text)
        return "\n" in self._tokens.text[self._tokens.ends[token] : following]

    def _word(self, token: int) -> str:
        return self._tokens.text[self._tokens.starts[token] : self._tokens.ends[token]]
