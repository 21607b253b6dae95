"""The local variables and parameters of a C or C++ function: their types, scopes and uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from Data.mutations.c_body import Body

_WORDS = r"(?:\.w|[wSU])*"
_TYPE = rf"[wSU]{_WORDS}(?:<[wSU.,*&n<>]*>{_WORDS})?"  # several lists in <> are one: otherwise exponential time
_DECLARATION = re.compile(rf"(?P<type>{_TYPE})(?P<stars>[*&]*)w(?=[=;,\[])")
_PARAMETER = re.compile(rf"(?P<type>{_TYPE})(?P<stars>[*&w]*?)(?P<name>w)(?:\[|=|$)")
_NEXT = re.compile(r"(?P<stars>[*&]*)w(?=[=;,\[])")
_NO_TYPE = frozenset(
    ("delete", "throw", "new", "typedef", "using", "extern", "break", "continue", "default", "sizeof")
)
_QUALIFIERS = frozenset(
    ("volatile", "static", "register", "inline", "constexpr", "mutable", "restrict", "__restrict", "struct")
)


@dataclass(frozen=True)
class Variable:
    """A declared name: `declared` is its token, and `first` to `last` are the tokens where it is visible."""

    name: str
    type: str
    declared: int
    first: int
    last: int


class Variables:
    """The variables of a function. Names that are declared with several types, or with `auto`, are left out."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.by_name: dict[str, list[Variable]] = {}
        for variable in (*self._parameters(), *self._locals()):
            self.by_name.setdefault(variable.name, []).append(variable)
        self.declared = {one.declared for found in self.by_name.values() for one in found}
        for name, found in [*self.by_name.items()]:
            if len({one.type for one in found}) > 1 or "auto" in found[0].type.split():
                del self.by_name[name]

    def type_of(self, name: str) -> str | None:
        """The type of a variable; None for other names."""
        return self.by_name[name][0].type if name in self.by_name else None

    def is_visible(self, name: str, token: int) -> bool:
        """Whether a variable can be used at a token."""
        return any(one.first <= token <= one.last for one in self.by_name[name])

    @cached_property
    def uses(self) -> dict[str, list[int]]:
        """The tokens of the body that use each variable, without declarations."""
        body = self._body
        uses: dict[str, list[int]] = {name: [] for name in self.by_name}
        for token in range(body.start + 1, len(body.kinds) - 1):
            name = body.words[token]
            if name in self.by_name and token not in self.declared and self._is_variable(token):
                uses[name].append(token)
        return uses

    def _is_variable(self, token: int) -> bool:
        """Whether a name is not a member, a label or a function that is called."""
        before, after = self._body.words[token - 1], self._body.words[token + 1]
        if before in (".", "->", "::", "goto") or after in ("(", "::"):
            return False
        return not (after == ":" and before in (";", "{", "}", "case"))

    def _type(self, base: tuple[int, int], stars: int, name: int) -> str:
        """The type of a declarator: `base` are its first token and the one after its base type."""
        body = self._body
        words = [word for word in body.words[slice(*base)] if word not in _QUALIFIERS]
        words += [body.words[token] for token in range(stars, name) if body.kinds[token] in "*&"]
        token = name + 1
        while body.kinds[token] == "[":
            words.append("[]")
            token = body.pairs[token] + 1
        return " ".join(words)

    @cached_property
    def _opening(self) -> int | None:
        """The parenthesis that opens the parameters."""
        kinds = self._body.kinds
        return next((t for t in range(1, self._body.start) if kinds[t] == "(" and kinds[t - 1] == "w"), None)

    def _parameters(self) -> Iterator[Variable]:
        body, opening = self._body, self._opening
        if opening is None:
            return
        first = opening + 1
        for token in (*body.commas(opening + 1, body.pairs[opening]), body.pairs[opening]):
            match = _PARAMETER.match(body.kinds, first, token)
            if match:
                name = match.start("name")
                stars = match.start("stars")
                kind = self._type((first, stars), stars, name)
                yield Variable(body.words[name], kind, name, body.start, len(body.kinds))
            first = token + 1

    def _locals(self) -> Iterator[Variable]:
        body = self._body
        blocks = [len(body.kinds) - 1]
        old_style = body.start if self._opening is None else body.pairs[self._opening]  # `int f(a) int a; {`
        for token in range(old_style, len(body.kinds) - 1):
            kind = body.kinds[token]
            if kind == "{":
                blocks.append(body.pairs[token])
            elif kind == "}":
                blocks.pop()
            if kind in ";{}" or token == old_style or (kind == "(" and body.words[token - 1] == "for"):
                last = blocks[-1] if kind != "(" else body.end_of_statement(body.pairs[token] + 1)
                yield from self._declaration(token + 1, last)

    def _declaration(self, first: int, last: int) -> Iterator[Variable]:
        """The variables of the declaration that starts at a token, if one does."""
        body = self._body
        match = _DECLARATION.match(body.kinds, first)
        if match is None or not _NO_TYPE.isdisjoint(body.words[first : match.end()]):
            return
        base = first, match.start("stars")
        while match:
            name = match.end() - 1
            kind = self._type(base, match.start("stars"), name)
            end = self._end_of_declarator(name + 1)
            yield Variable(body.words[name], kind, name, end, last)
            match = _NEXT.match(body.kinds, end + 1) if body.kinds[end] == "," else None

    def _end_of_declarator(self, token: int) -> int:
        """The next comma of a list of declarators, or the end of the declaration."""
        kinds = self._body.kinds
        while kinds[token] not in ",;})":
            token = self._body.pairs[token] + 1 if kinds[token] in "([{" else token + 1
        return token
