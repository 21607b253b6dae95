"""How far the analysers agree: two by two over functions, with Cohen's kappa, and by VDISC's groups."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from Data.analysers.cwe_groups import GROUPS
from Data.functions.labelling import LabelledFunction


def agreement(functions: Sequence[LabelledFunction], analyzers: Sequence[str]) -> dict[str, Any]:
    """`analyzers`: functions checked and positive, by group. `pairs`: over functions that both could check."""
    return {
        "analyzers": [_of_one(functions, name) for name in analyzers],
        "pairs": [_of_two(functions, *pair) for pair in combinations(analyzers, 2)],
    }


def _finds(function: LabelledFunction, name: str) -> bool:
    return any(finding.analyzer == name for finding in function.findings)


def _of_one(functions: Sequence[LabelledFunction], name: str) -> dict[str, Any]:
    groups = dict.fromkeys(GROUPS, 0)
    for function in functions:
        own = {group for finding in function.findings if finding.analyzer == name for group in finding.groups}
        for group in own:
            groups[group] += 1
    return {
        "analyzer": name,
        "checked": sum(name in function.checked for function in functions),
        "positive": sum(_finds(function, name) for function in functions),
        **groups,
    }


def _of_two(functions: Sequence[LabelledFunction], first: str, second: str) -> dict[str, Any]:
    checked = [function for function in functions if {first, second} <= {*function.checked}]
    cells = {(a, b): 0 for a in (True, False) for b in (True, False)}
    for function in checked:
        cells[_finds(function, first), _finds(function, second)] += 1
    return {
        "pair": f"{first} / {second}",
        "functions": len(checked),
        "both": cells[True, True],
        "only_first": cells[True, False],
        "only_second": cells[False, True],
        "neither": cells[False, False],
        "kappa": cohens_kappa(cells[True, True], cells[True, False], cells[False, True], cells[False, False]),
    }


def cohens_kappa(both: int, first: int, second: int, neither: int) -> float | None:
    """(p_observed - p_chance) / (1 - p_chance) (Cohen 1960) of a two by two table; None where chance decides all."""
    total = both + first + second + neither
    if not total:
        return None
    chance = ((both + first) * (both + second) + (second + neither) * (first + neither)) / total**2
    return None if chance == 1 else round(((both + neither) / total - chance) / (1 - chance), 3)
