"""Measures of functions by their length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

LIMITS = (512, 1024, 2048)  # a function of exactly this many tokens is still in the shorter group
NAMES = ("up to 512", "513 to 1024", "1025 to 2048", "above 2048")


def by_length(
    lengths: np.ndarray, labels: np.ndarray, measure: Callable[[np.ndarray], dict[str, float]]
) -> list[dict[str, Any]]:
    """Measures N functions in groups of similar length.

    Args:
        lengths: tokens of each function before it is truncated, `[N]`.
        labels: `[N]`, or `[N, C]` if a function has several labels; above 0: positive.
        measure: computes the measures of the functions at the given places.

    Returns for each group that has functions, the shortest first: tokens (the name of the group), functions and
    positives (how many there are) and the measures.
    """
    groups, rows = np.searchsorted(LIMITS, lengths), []
    positive = np.asarray(labels) > 0
    positive = positive.any(axis=tuple(range(1, positive.ndim)))
    for group, name in enumerate(NAMES):
        places = np.flatnonzero(groups == group)
        if len(places):
            counts = {"functions": len(places), "positives": int(positive[places].sum())}
            rows.append({"tokens": name, **counts, **measure(places)})
    return rows
