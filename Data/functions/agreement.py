"""Measures how much the analysers agree: for each pair, how many functions one or both report, and Cohen's kappa."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from Data.functions.labelling import LabelledFunction
from ltp_pipeline.task.tasks import VDISC


def agreement(functions: Sequence[LabelledFunction], analyzers: Sequence[str]) -> dict[str, Any]:
    """Counts for the data card.

    `analyzers`: for each analyser, how many functions it checked and how many it reports, in total and in each of
    VDISC's groups. `pairs`: for each pair of analysers, how many each reports of the functions that both checked.
    """
    return {
        "analyzers": [_counts_of_one(functions, name) for name in analyzers],
        "pairs": [_counts_of_pair(functions, *pair) for pair in combinations(analyzers, 2)],
    }


def cohens_kappa(first: Sequence[bool], second: Sequence[bool]) -> float | None:
    """Cohen's kappa (1960), with three decimals; None if all values are equal, where it is undefined."""
    from sklearn.metrics import cohen_kappa_score

    if len({*first, *second}) < 2:
        return None
    return round(float(cohen_kappa_score(first, second)), 3)


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
    by_first, by_second = ([_reports(function, name) for function in checked] for name in (first, second))
    cells = Counter(zip(by_first, by_second))
    return {
        "pair": f"{first} / {second}",
        "functions": len(checked),
        "both": cells[True, True],
        "only_first": cells[True, False],
        "only_second": cells[False, True],
        "neither": cells[False, False],
        "kappa": cohens_kappa(by_first, by_second),
    }
