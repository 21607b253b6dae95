"""The tokens of one C or C++ function, as the mutations read them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property

from ltp_pipeline.code.c.lexer import tokens_of

_CLOSING = {"(": ")", "[": "]", "{": "}"}
# Calls whose arguments are not mutated: assertions, logs, and what the compiler evaluates.
_NO_MUTATION = re.compile(
    r"assert|expect|check_eq|print|log|debug|trace|warn|err(?:or)?(?:_|$)|fatal|panic|message|msg|throw|raise|except"
    r"|^(?:sizeof|alignof|_Alignof|offsetof|typeof|__typeof__|decltype|typeid|static_cast|defined|va_arg)$"
    r"|^DBG|^LOG|^(?:PyErr|PY_ERR)|usage|unused",
    re.IGNORECASE,
)


class Body:
    """A function's tokens: `words[i]` is the text of token `i`, `kinds[i]` its kind (see `tokens_of`).

    `pairs` maps an opening bracket to its closing one and back. `start` is the opening brace of the body, or None if
    the brackets do not match or the function does not end with a block.
    """

    def __init__(self, text: str) -> None:
        tokens = tokens_of(text)
        self.text, self.kinds, self.starts, self.ends = text, tokens.kinds, tokens.starts, tokens.ends
        self.words = [text[start:end] for start, end in zip(tokens.starts, tokens.ends)]
        self.pairs: dict[int, int] = {}
        self.start = self._match_brackets()

    def _match_brackets(self) -> int | None:
        opened: list[int] = []
        for token, kind in enumerate(self.kinds):
            if kind in _CLOSING:
                opened.append(token)
            elif kind in ")]}":
                if not opened or _CLOSING[self.kinds[opened[-1]]] != kind:
                    return None
                opening = opened.pop()
                self.pairs[opening], self.pairs[token] = token, opening
        ends_with_block = not opened and self.kinds.endswith("}")
        return self.pairs[len(self.kinds) - 1] if ends_with_block else None

    @cached_property
    def calls(self) -> list[int]:
        """The opening parentheses of the calls in the body."""
        return [
            token
            for token in range(self.start + 1, len(self.kinds))
            if self.kinds[token] == "(" and self.kinds[token - 1] == "w"
        ]

    @cached_property
    def closed(self) -> set[int]:
        """The tokens that are not mutated because they are in an assertion, a log call or the like."""
        closed: set[int] = set()
        for token in self.calls:
            if token not in closed and (_NO_MUTATION.search(self.words[token - 1]) or self._has_format(token)):
                closed.update(range(token - 1, self.pairs[token] + 1))
        return closed

    def _has_format(self, opening: int) -> bool:
        """Whether the first or second argument of a call is a format as that of `printf`: a log of some name."""
        first, comma, second = [*self.words[opening + 1 : opening + 4], "", "", ""][:3]
        return any(word[:1] == '"' and "%" in word for word in (first, second if comma == "," else ""))

    @cached_property
    def jumps(self) -> Counter[str]:
        """How often `goto` jumps to each label."""
        return Counter(after for word, after in zip(self.words, self.words[1:]) if word == "goto")

    @cached_property
    def _for_heads(self) -> set[int]:
        heads: set[int] = set()
        for token in range(self.start, len(self.kinds) - 1):
            if self.words[token] == "for" and self.kinds[token + 1] == "(":
                heads.update(range(token + 2, self.pairs[token + 1]))
        return heads

    def in_for_head(self, token: int) -> bool:
        """Whether a token is between the parentheses of a `for`."""
        return token in self._for_heads

    def end_of_statement(self, token: int) -> int:
        """The last token of the statement that starts here, where heads of `if` and loops are not read."""
        while self.kinds[token] not in ";}":
            if self.kinds[token] == "{":
                return self.pairs[token]
            token = self.pairs[token] + 1 if self.kinds[token] in "([" else token + 1
        return token

    def commas(self, token: int, end: int) -> Iterator[int]:
        """The commas between two tokens that are in no further brackets."""
        while token < end:
            if self.kinds[token] == ",":
                yield token
            token = self.pairs[token] + 1 if self.kinds[token] in "([{" else token + 1

    def starts_statement(self, token: int) -> bool:
        """Whether a statement of a block starts here, not the body of an `if`, a loop, a label or an `else`."""
        return self.kinds[token - 1] in ";{}"

    def gap(self, token: int) -> str:
        """The white space and comments in front of a token."""
        return self.text[self.ends[token - 1] : self.starts[token]]
