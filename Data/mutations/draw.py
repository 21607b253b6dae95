"""Draws, for one function, whether it is mutated, and how, from a hash of its tokens and the seed."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from Data.mutations.c_body import Body
from Data.mutations.comparisons import flipped_comparison, off_by_one
from Data.mutations.dropped_statements import dropped_check, dropped_free
from Data.mutations.names import swapped_arguments, wrong_variable
from Data.mutations.site import Site
from Data.mutations.variables import Variables

# Each kind of mutation, and how often it is drawn beside the others that a function allows: rare kinds more often.
KINDS = {
    wrong_variable: 2,
    off_by_one: 2,
    flipped_comparison: 1,
    dropped_check: 2,
    dropped_free: 6,
    swapped_arguments: 4,
}


@dataclass(frozen=True)
class Draw:
    """What was drawn for a function: the site, whether it is mutated, and its place in a random order."""

    site: Site
    is_mutated: bool
    rank: float


def draw(text: str, token_hash: bytes, seed: int, share: float) -> Draw | None:
    """The draw of a function; None if no mutation is possible. It depends on no other function.

    The kind and the site are drawn in the same way for both classes. `share`: probability that it is mutated.
    """
    body = Body(text)
    if body.start is None:
        return None
    variables = Variables(body)
    digest = hashlib.blake2b(token_hash + str(seed).encode(), digest_size=16).digest()
    chance = random.Random(int.from_bytes(digest, "big"))
    is_mutated, rank = chance.random() < share, chance.random()
    found = {kind: sites for kind in KINDS if (sites := list(kind(body, variables, chance)))}
    if not found:
        return None
    kind = chance.choices(list(found), [KINDS[kind] for kind in found])[0]
    site = chance.choice(found[kind])
    return Draw(site, is_mutated and bool(site.edits), rank)
