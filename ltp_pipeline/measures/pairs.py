"""Measures of pairs: a defective function (class 1) and its repaired form (class 0)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# In the order 2 * (prediction for the defective function) + (prediction for the repaired one)
OUTCOMES = ("pair_benign", "pair_reversed", "pair_correct", "pair_vulnerable")


def pair_measures(predictions: np.ndarray, labels: np.ndarray, pairs: Sequence[str]) -> dict[str, float]:
    """Measures of the pairs among N functions.

    Args:
        predictions: predicted class, 0 or 1, `[N]`.
        labels: class, 0 or 1, `[N]`.
        pairs: for each function the name of its pair; "": it has no partner.

    Returns pairs (the number of complete pairs) and the shares of them that are pair_correct (P-C: both right),
    pair_vulnerable (P-V: both predicted 1), pair_benign (P-B: both predicted 0) and pair_reversed (P-R: both wrong);
    pairs_incomplete, if not 0, is the number of names that are not those of one function of each class: they are left
    out. {} if no function has a pair.
    """
    members, incomplete = complete_pairs(labels, pairs)
    if not len(members) and not incomplete:
        return {}
    counts = np.bincount(pair_outcomes(predictions, members), minlength=len(OUTCOMES))
    shares = dict(zip(OUTCOMES, (counts / len(members)).tolist(), strict=True)) if len(members) else {}
    return {"pairs": len(members), **shares, **({"pairs_incomplete": incomplete} if incomplete else {})}


def complete_pairs(labels: np.ndarray, pairs: Sequence[str]) -> tuple[np.ndarray, int]:
    """The pairs of exactly one function of each class, and the number of names that have no such pair.

    Returns the place of the function of class 1 and that of class 0, `[pairs, 2]`, in the order of the names.
    """
    names, pair = np.unique(np.asarray(pairs, dtype=str), return_inverse=True)
    defective = np.asarray(labels) == 1
    numbers = [np.bincount(pair[chosen], minlength=len(names)) for chosen in (defective, ~defective)]
    complete = (numbers[0] == 1) & (numbers[1] == 1) & (names != "")
    chosen = np.flatnonzero(complete[pair])
    order = chosen[np.lexsort((~defective[chosen], pair[chosen]))]
    return order.reshape(-1, 2), int((~complete & (names != "")).sum())


def pair_outcomes(predictions: np.ndarray, members: np.ndarray) -> np.ndarray:
    """For each pair its place in OUTCOMES. `members`: see `complete_pairs`."""
    predicted = np.asarray(predictions)[members] == 1
    return 2 * predicted[:, 0] + predicted[:, 1]
