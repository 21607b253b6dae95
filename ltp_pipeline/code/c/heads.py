"""Decides what a brace of C or C++ opens, by the declaration in front of it and sometimes by the block."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ltp_pipeline.code.c.branches import View
from ltp_pipeline.code.c.lexer import Tokens

FUNCTION, SCOPE, STATEMENT, WORDS, OTHER = "function", "scope", "statement", "words", "other"
LIST, MEMBERS = "a list after a macro", "members of a structure after a macro"  # what a block holds that is no body
LONGEST_HEAD = 200  # tokens in front of a brace that are looked at, not counting those in parentheses

_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_TYPE = re.compile(r"\*\s*\)$|\b(?:void|bool|char|short|int|long|float|double|signed|unsigned|const|struct|enum)\b")
_CALLS = re.compile("(?:wP)*")
_OLD_STYLE = re.compile(r"[^=]*wP[wSU]")
_PARAMETERS = re.compile(r"[wSU][^=P]*(?:P+|w)")
_MEMBERS = re.compile(r"(?:[wSU][wSUn*<>.,:&\[\]]+;)+")
_KEYWORD = re.compile("[;}IEFD]Q")
_STATEMENT = re.compile(r"[;}IEFD](?:Q|w(?:[.-]w)*[(\[=o].*;)")


class Declaration:
    """The tokens of a declaration so far.

    `kinds` has an item for each: its kind, `P` for a pair of parentheses, `B` for a pair of brackets or braces.
    `first` and `last` are the first and the last token of each item. `template<...>` is not part of it.
    """

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.first: list[int] = []
        self.last: list[int] = []

    def add(self, kind: str, first: int, last: int) -> None:
        self.kinds.append(kind)
        self.first.append(first)
        self.last.append(last)

    @property
    def shape(self) -> str:
        """The kinds as one string."""
        return "".join(self.kinds)

    @property
    def is_macro_call(self) -> bool:
        return self.kinds == ["w", "P"]

    def after(self, count: int) -> Declaration:
        """The declaration without its first `count` items."""
        rest = Declaration()
        rest.kinds, rest.first, rest.last = self.kinds[count:], self.first[count:], self.last[count:]
        return rest

    def head(self, view: View) -> Declaration:
        """The declaration without calls of macros on earlier lines that lack a semicolon."""
        tokens = view.branches.tokens
        rest = self.after(max(0, len(self.kinds) - LONGEST_HEAD))
        while True:
            shape = rest.shape
            count = 2 if re.match("wP.", shape) else 1 if re.match("w[wS]", shape) else 0
            if count == 0 or not _is_complete(shape[count:]):
                return rest
            end = tokens.ends[rest.last[count - 1]]
            between = tokens.text[end : tokens.starts[rest.first[count]]]
            needed = count == 1 or _TYPE.search(tokens.text[tokens.starts[rest.first[1]] : end])
            apart = _BLANK_LINE.search(between) or view.leaves_branch(rest.last[count - 1] + 1, rest.first[count])
            if "\n" not in between or (needed and not apart):
                return rest
            rest = rest.after(count)

    def first_of_function(self) -> int:
        """The first token of a function with this head, without `extern "C"` and `friend`."""
        return self.first[re.match("(?:Xs|R)*", self.shape).end()]

    def has_member_initialiser(self) -> bool:
        """Whether a brace here holds the value of a member, as in `C() : a{1} {}`."""
        if ":" not in self.kinds[-LONGEST_HEAD:]:
            return False
        shape = _simplified("".join(self.kinds[-LONGEST_HEAD:]))
        return shape.endswith("w") and "P" in shape.partition(":")[0] and ":" in shape and not _is_class(shape)

    def begins_old_style(self, tokens: Tokens) -> bool:
        """Whether this is a function's head and its first parameter, as in `int f(a, b) int a;`."""
        shape = self.shape
        if _OLD_STYLE.match(shape) is None:
            return False
        place = shape.index("P")
        names = tokens.kinds[self.first[place] + 1 : self.last[place]]
        return re.fullmatch(r"w(?:,w)*", names) is not None

    def goes_on_old_style(self) -> bool:
        """Whether this may be a further parameter of such a function, as in `char *b;`."""
        return _PARAMETERS.match(self.shape) is not None


def opened_by(shape: str) -> str:
    """What a brace after a declaration of this shape opens: FUNCTION, SCOPE (of declarations), STATEMENT or OTHER.

    WORDS: a scope, a value, or a function whose parameter list is a macro. `holds_statements` tells.
    """
    shape = _simplified(shape)
    if re.search("N(?!P)", shape) or shape.endswith("Xs"):
        return SCOPE
    if "=" in shape:
        return OTHER
    if re.match("[tc]", shape) or "Q" in shape:
        return STATEMENT
    if _is_class(shape):
        return OTHER if "U" in shape else SCOPE
    if "P" not in shape:
        return WORDS if re.fullmatch("[w*&]+", shape) else OTHER
    shape = re.sub("^(?:Xs|R)+", "", shape)
    if "," in shape.partition(":")[0] or re.search(r"[+/%?s]", shape) or not re.search(r"[wSNOtc]B?P|PP", shape):
        return OTHER
    return FUNCTION


def holds_statements(tokens: Tokens, shape: str, opening: int, pairs: Mapping[int, int]) -> bool:
    """Whether the block after words alone is the body of a function."""
    token, closing, kept = opening + 1, pairs[opening], [";"]
    while token < closing:
        kept.append(tokens.kinds[token])
        token = pairs.get(token, token) + 1
    pattern = _STATEMENT if len(_simplified(shape)) > 1 else _KEYWORD
    return pattern.search("".join(kept)) is not None


def data_in(tokens: Tokens, shape: str, opening: int, pairs: Mapping[int, int]) -> str:
    """What the block after a head is if it is no body, "" if it is one.

    A list, as in `M(x) { 1, 2 }`, or the members of a structure, as in `M(x) { int a; };`.
    """
    kinds, closing = tokens.kinds, pairs[opening]
    if re.search("^S|^a*w?wP$", shape) and kinds.startswith(";", closing + 1):
        if _MEMBERS.fullmatch(kinds, opening + 1, closing):
            return MEMBERS
    token, commas, parentheses = opening + 1, False, 0
    while token < closing:
        kind = kinds[token]
        if kind in ";Q":
            return ""
        parentheses += (kind == "(") - (kind == ")")
        commas |= kind == "," and parentheses == 0
        token = pairs.get(token, token) + 1
    return LIST if commas else ""


def _simplified(shape: str) -> str:
    """The shape without attributes and arguments of templates, and with `a::b` as one word."""
    kept: list[str] = []
    opened: list[int] = []
    for kind in shape.replace("a", ""):
        if kind == ">" and opened:
            del kept[opened.pop() :]
        else:
            if kind == "<":
                opened.append(len(kept))
            kept.append(kind)
    return re.sub(r"\.?w(?:\.[~*]*w)+", "w", "".join(kept))


def _is_complete(shape: str) -> bool:
    """Whether a declaration needs nothing in front of it: it has a type and a name."""
    calls = _CALLS.match(shape).end()
    shape = shape[calls:]
    if shape[:1] in tuple("SUNXT"):
        return True
    before, parentheses, _ = shape.partition("P")
    words = _simplified(before)
    named = re.search(r"w[*&]*w$", words) or (calls and re.fullmatch(r"[*&]+w", words))  # the last call is the type
    return bool(parentheses and named) and not {":", "="} & set(words)


def _is_class(shape: str) -> bool:
    """Whether a class, structure, union or enumeration begins here, not a function that returns one."""
    found = re.search("U?S|U", shape)
    if found is None or shape.startswith("P", found.end()):
        return False
    returned = re.match(r"[wSB*&]+(?=P)", shape[found.end() :])
    return returned is None or len(re.sub("[^w*&]", "", returned[0])) < 2
