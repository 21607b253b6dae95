"""Measures how far the analysers agree: for each pair, which functions one or both report, and Cohen's kappa."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from Data.functions.labelling import LabelledFunction
from ltp_pipeline.task.tasks import VDISC


def agreement(functions: Sequence[LabelledFunction], analyzers: Sequence[str]) -> dict[str, Any]:
    """Counts for the data card.

    `analyzers`: for each analyser, how many functions it checked, how many it reports, and how many in each of VDISC's
    groups. `pairs`: for each pair of analysers, over the functions that both checked, how many each reports.
    """
    return {
        "analyzers": [_counts_of_one(functions, name) for name in analyzers],
        "pairs": [_counts_of_pair(functions, *pair) for pair in combinations(analyzers, 2)],
    }


def cohens_kappa(both: int, first: int, second: int, neither: int) -> float | None:
    """(p_observed - p_chance) / (1 - p_chance) (Cohen 1960) of a two by two table; None if p_chance is 1."""
    total = both + first + second + neither
    if not total:
        return None
    chance = ((both + first) * (both + second) + (second + neither) * (first + neither)) / total**2
    return None if chance == 1 else round(((both + neither) / total - chance) / (1 - chance), 3)


def _reports(function: LabelledFunction, name: str) -> bool:
    return any(finding.analyzer == name for finding in function.findings)


def _counts_of_one(functions: Sequence[LabelledFunction], name: str) -> dict[str, Any]:
    groups = dict.fromkeys(VDISC.labels, 0)
    for function in functions:
        for group in {group for finding in function.findings if finding.analyzer == name for group in finding.groups}:
            groups[group] += 1
    return {
        "analyzer": name,
        "checked": sum(name in function.checked for function in functions),
        "positive": sum(_reports(function, name) for function in functions),
        **groups,
    }


def _counts_of_pair(functions: Sequence[LabelledFunction], first: str, second: str) -> dict[str, Any]:
    checked = [function for function in functions if {first, second} <= {*function.checked}]
    cells = {(a, b): 0 for a in (True, False) for b in (True, False)}
    for function in checked:
        cells[_reports(function, first), _reports(function, second)] += 1
    counts = {
        "both": cells[True, True],
        "only_first": cells[True, False],
        "only_second": cells[False, True],
        "neither": cells[False, False],
    }
    kappa = cohens_kappa(*counts.values())
    return {"pair": f"{first} / {second}", "functions": len(checked), **counts, "kappa": kappa}
