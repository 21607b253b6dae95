"""Mutations of comparisons: `<` for `<=` (off by one), and `==` for `!=` or `<` for `>` (flipped)."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator

from Data.mutations.c_body import Body
from Data.mutations.site import Site
from Data.mutations.variables import Variables

OFF_BY_ONE = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
FLIPPED = {"==": "!=", "!=": "==", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_CONSTANTS = ("NULL", "nullptr", "0", "1", "-")
_FLOAT = re.compile(r"(?!0[xX])\d+[.eEfF]")
_FLOAT_TYPE = re.compile(r"\b(?:float|double|real|SReal|\w*[fF]loat\w*)\b")


MOST_COUNTED = 3  # more operators of a kind in a function than this count as this many


def off_by_one(body: Body, variables: Variables, _: random.Random) -> Iterator[Site]:
    """`<` and `<=`, `>` and `>=` for each other, where equal operands make a difference."""
    found = list(_comparisons(body))
    counts = Counter(body.words[token] for token in found)
    for token in found:
        if body.words[token] in OFF_BY_ONE and not _chooses_extreme(body, token):
            if not _compares_floats(body, variables, token):
                yield _site("off_by_one", body, token, OFF_BY_ONE[body.words[token]], counts)


def flipped_comparison(body: Body, variables: Variables, _: random.Random) -> Iterator[Site]:
    """`==` and `!=`, and outside the heads of `for` also `<` and `>`, `<=` and `>=`, for each other."""
    found = list(_comparisons(body))
    counts = Counter(body.words[token] for token in found)
    for token in found:
        operator = body.words[token]
        if operator in FLIPPED and (operator in ("==", "!=") or not body.in_for_head(token)):
            yield _site("flipped_comparison", body, token, FLIPPED[operator], counts)


def _site(kind: str, body: Body, token: int, new: str, counts: Counter[str]) -> Site:
    """The classes are balanced by the operator, its right operand and the counts of both operators in the function."""
    old, right = body.words[token], body.words[token + 1]
    around = "for" if body.in_for_head(token) else "", right if right in _CONSTANTS else body.kinds[token + 1]

    def standing(operator: str, count: int, other: int) -> str:
        return " ".join((operator, *around, str(min(count, MOST_COUNTED)), str(min(other, MOST_COUNTED))))

    before, after = standing(old, counts[old], counts[new]), standing(new, counts[new] + 1, counts[old] - 1)
    return Site(kind, before, after, ((body.starts[token], body.ends[token], new),))


def _comparisons(body: Body) -> Iterator[int]:
    """The operators of comparisons. One of `<` and `>` counts only between spaces: it may belong to a template."""
    statement, in_template = body.start, False
    for token in range(body.start + 1, len(body.kinds) - 1):
        if body.kinds[token] in ";{}":
            statement, in_template = token, False
        if statement == token - 1:
            in_template = _names_template(body, token)
        word = body.words[token]
        if word not in FLIPPED or token in body.closed or (in_template and word not in ("==", "!=")):
            continue
        start, end = body.starts[token], body.ends[token]
        if body.text[start - 1 : start] == " " == body.text[end : end + 1] and _is_operand_end(body, token - 1):
            yield token


def _names_template(body: Body, token: int) -> bool:
    """Whether a `>` of the statement that starts here closes arguments of a template, by what follows it."""
    while token < len(body.kinds) and body.kinds[token] not in ";{}":
        if body.words[token] == ">" and body.words[token + 1] in (",", ")", "(", "::", ">"):
            if body.ends[token] < body.starts[token + 1] or body.words[token + 1] != ">":
                return True
        token += 1
    return False


def _is_operand_end(body: Body, token: int) -> bool:
    return body.kinds[token] in "wns)]" and body.words[token] not in ("operator", "template")


def _operand(body: Body, token: int, step: int) -> tuple[str, ...]:
    """The words of a simple operand that ends (step -1) or begins (step 1) at a token."""
    words: list[str] = []
    while body.kinds[token] in "wns.-[])(" and body.words[token] != "-":
        if body.kinds[token] in (")]" if step > 0 else "(["):
            break
        other = body.pairs.get(token, token)
        words += body.words[min(token, other) : max(token, other) + 1][::step]
        token = other + step
    return tuple(words[::step])


def _chooses_extreme(body: Body, token: int) -> bool:
    """Whether only the larger or smaller operand is chosen, as in `a < b ? a : b` and `if (a > b) b = a;`."""
    left, right = _operand(body, token - 1, -1), _operand(body, token + 1, 1)
    token += 1 + len(right)
    while token < len(body.kinds) and body.kinds[token] in ")?{(":
        token += 1
    first = _operand(body, token, 1)
    token += len(first)
    if body.words[token] not in ("=", ":"):
        return False
    return {first, _operand(body, token + 1, 1)} == {left, right}


def _compares_floats(body: Body, variables: Variables, token: int) -> bool:
    """Whether an operand is a floating-point number, where equality is rare."""
    near = _operand(body, token - 1, -1) + _operand(body, token + 1, 1)
    types = [variables.type_of(word) for word in near]
    return any(map(_FLOAT.match, near)) or any(kind and _FLOAT_TYPE.search(kind) for kind in types)
