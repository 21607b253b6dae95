"""Names of flags: how they are spelled, and which one a user may have meant."""

from __future__ import annotations

import difflib
from argparse import Action
from collections.abc import Iterable


def did_you_mean(given: str, names: Iterable[str]) -> str:
    """`"; did you mean NAME?"`, with the name nearest to `given`; empty if none is near.

    >>> did_you_mean("--target_flop", ["--target_flops", "--task"])
    '; did you mean --target_flops?'
    """
    names = list(names)
    longer = sorted((name for name in names if len(given) > 2 and name.startswith(given)), key=len)
    nearest = longer[:1] or difflib.get_close_matches(given, names, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def spellings(action: Action) -> list[str]:
    """The names of a flag, without those that differ from another only in dashes instead of underscores."""
    names = list(action.option_strings)
    same = {name[2:].replace("_", "-") for name in names if "_" in name}
    return [name for name in names if "_" in name or name[2:] not in same or "-" not in name[2:]]
