"""Mutations of names: another variable of the same type, and two arguments of a call swapped."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import permutations

from Data.mutations.c_body import Body
from Data.mutations.site import Site
from Data.mutations.variables import Variables

_SYMMETRIC = re.compile(
    r"min|max|cmp|equal|compare|swap|add|mul|xor|gcd|hypot|dist|same|overlap|intersect|incompatib|union"
    r"|^eq$|(?:^|_)(?:and|or|link)$|(?-i:(?<![A-Z])(?:AND|OR)\d*$)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+|0[xX][\da-fA-F]+")
MOST_NAMES = 30  # of a type, that are paired with each other
_JOINS = frozenset(("=", "==", "!=", "<", ">", "<=", ">=", "-", "/", "%", "&", "|", "^", "?", ":"))


def wrong_variable(body: Body, variables: Variables, chance: random.Random) -> Iterator[Site]:
    """For each two variables of a type, a random use of the first, replaced by the second."""
    by_type: dict[str, list[str]] = {}
    for name, uses in variables.uses.items():
        if len(uses) > 1:
            by_type.setdefault(variables.by_name[name][0].type, []).append(name)
    for names in by_type.values():
        for name, other in permutations(names[:MOST_NAMES], 2):
            # Of three uses two remain: the variable is not left unused, or only set.
            uses = [token for token in variables.uses[name] if _can_replace(body, variables, token, other)]
            if uses and len(variables.uses[name]) > 2:
                token = chance.choice(uses)
                edit = (body.starts[token], body.ends[token], other)
                yield Site("wrong_variable", "", "", (edit,))


def _can_replace(body: Body, variables: Variables, token: int, other: str) -> bool:
    if token in body.closed or body.words[token - 2 : token] == ["(", "void"]:
        return False
    return variables.is_visible(other, token) and not _meets_itself(body, token, other)


def _meets_itself(body: Body, token: int, name: str) -> bool:
    """Whether the name would stand on both sides of an operator, as in `a = a` and `a - a`."""
    words = body.words
    left = words[token - 1] in _JOINS and words[token - 2] == name
    return left or (words[token + 1] in _JOINS and words[token + 2] == name)


def swapped_arguments(body: Body, variables: Variables, _: random.Random) -> Iterator[Site]:
    """Each two neighbouring arguments that are variables of one type, or two numbers."""
    for opening in body.calls:
        callee = opening - 1
        if callee in body.closed or body.words[callee - 1] == "case" or _SYMMETRIC.search(body.words[callee]):
            continue
        begins = [opening + 1, *(comma + 1 for comma in body.commas(opening + 1, body.pairs[opening]))]
        for first, second in zip(begins, begins[1:]):
            if second == first + 2 and body.kinds[second + 1] in ",)":
                yield from _swap(body, variables, first, second)


def _swap(body: Body, variables: Variables, first: int, second: int) -> Iterator[Site]:
    one, two = body.words[first], body.words[second]
    before = after = ""
    if _NUMBER.fullmatch(one) and _NUMBER.fullmatch(two):
        before, after = ("up", "down") if _value(one) < _value(two) else ("down", "up")
    elif not variables.type_of(one) or variables.type_of(one) != variables.type_of(two):
        return
    if one != two:
        edits = ((body.starts[first], body.ends[first], two), (body.starts[second], body.ends[second], one))
        yield Site("swapped_arguments", before, after, edits)


def _value(number: str) -> int:
    return int(number, 16) if number[:2] in ("0x", "0X") else int(number)
