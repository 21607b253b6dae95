"""Bootstrap intervals: how much the measures would vary with other functions of the same kind.

The functions are drawn anew with replacement, as many as there are; the two functions of a pair are drawn together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ltp_pipeline.measures.detection import BOUNDS
from ltp_pipeline.measures.pairs import OUTCOMES, complete_pairs, pair_outcomes

LEVEL = 95  # percent
AT_ONCE = 500_000  # weights of functions that are in memory at once


def resampled_measures(
    scores: np.ndarray,
    predictions: np.ndarray,
    labels: np.ndarray,
    pairs: Sequence[str] | None,
    resamples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """The measures of each of `resamples` draws of N functions: `[resamples]`, NaN if a measure has no value.

    The draws depend on N, the labels, the pairs, `resamples` and `seed` alone. Two models that are measured on the
    same functions are therefore measured on the same draws, and the differences of their values can be taken.

    Args:
        scores: a number that is larger the more probable class 1 is, `[N]`, finite.
        predictions: predicted class, 0 or 1, `[N]`.
        labels: class, 0 or 1, `[N]`.
        pairs: for each function the name of its pair, "" without a partner; None: there are no pairs.
    """
    scores, labels = np.asarray(scores), np.asarray(labels) == 1
    predictions = np.asarray(predictions) == 1
    members = complete_pairs(labels, pairs)[0] if pairs is not None else np.zeros((0, 2), dtype=int)
    units = np.arange(len(labels))
    units[members[:, 1]] = members[:, 0]  # a repaired function is drawn with the defective one
    drawn, units = np.unique(units, return_inverse=True)
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))  # the last of each run of equal scores
    outcomes = pair_outcomes(predictions, members)
    rng, chunks = np.random.default_rng(seed), []
    step = max(1, AT_ONCE // len(labels))
    for start in range(0, resamples, step):
        draws = rng.integers(0, len(drawn), (min(step, resamples - start), len(drawn)))
        counts = np.stack([np.bincount(draw, minlength=len(drawn)) for draw in draws]).astype(float)
        weights = counts[:, units]
        with np.errstate(divide="ignore", invalid="ignore"):
            measures = _of_decisions(weights, predictions, labels)
            measures |= _of_scores(weights[:, order], labels[order], ends)
            if len(members):
                measures |= _of_pairs(weights[:, members[:, 0]], outcomes)
        chunks.append(measures)
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def interval(values: np.ndarray) -> list[float] | None:
    """The central LEVEL percent, [low, high], of a measure's values `[resamples]`.

    Values that are NaN are left out. None if they are more than half.
    """
    values = values[~np.isnan(values)] if np.isnan(values).mean() <= 0.5 else values[:0]
    if not len(values):
        return None
    outside = (100 - LEVEL) / 2
    return np.percentile(values, [outside, 100 - outside]).tolist()


def _of_decisions(weights: np.ndarray, predictions: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """The measures of the predicted classes, for each row of `weights` `[R, N]`. A ratio with denominator 0 is 0."""
    cells = [predictions & labels, predictions & ~labels, ~predictions & labels, ~predictions & ~labels]
    tp, fp, fn, tn = (weights @ np.stack(cells, axis=1).astype(float)).T
    ratios = {
        "f1": (2 * tp, 2 * tp + fp + fn),
        "recall": (tp, tp + fn),
        "precision": (tp, tp + fp),
        "false_alarm_rate": (fp, fp + tn),
        "mcc": (tp * tn - fp * fn, np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)),
    }
    measures = {name: np.where(below > 0, above / below, 0.0) for name, (above, below) in ratios.items()}
    return {"accuracy": (tp + tn) / weights.sum(axis=1), **measures}


def _of_scores(weights: np.ndarray, labels: np.ndarray, ends: np.ndarray) -> dict[str, np.ndarray]:
    """The measures of the scores, for each row of `weights` `[R, N]`; NaN in a row in which only one class is drawn.

    The functions are in the order of their scores, the highest first. `ends`: the last of each run of equal scores.
    """
    true, false = (np.cumsum(weights * chosen, axis=1)[:, ends] for chosen in (labels, ~labels))
    positives, negatives = true[:, -1:], false[:, -1:]
    gained, spent = (np.diff(counts, axis=1, prepend=0) for counts in (true, false))
    precision = np.divide(true, true + false, out=np.zeros_like(true), where=true + false > 0)
    one_class = (positives == 0) | (negatives == 0)
    measures = {
        "auc": (spent * (true - gained / 2)).sum(axis=1, keepdims=True) / (positives * negatives),
        "pr_auc": (gained * precision).sum(axis=1, keepdims=True) / positives,
    }
    for name, bound in BOUNDS.items():
        allowed = np.floor(bound * negatives + 1e-9)
        taken = (false <= allowed).sum(axis=1, keepdims=True)
        found = np.where(taken > 0, np.take_along_axis(true, np.maximum(taken - 1, 0), axis=1), 0) / positives
        measures |= {f"vd_s_{name}": 1 - found, f"recall_at_fpr_{name}": found}
    return {name: np.where(one_class, np.nan, values)[:, 0] for name, values in measures.items()}


def _of_pairs(weights: np.ndarray, outcomes: np.ndarray) -> dict[str, np.ndarray]:
    """The share of each outcome, for each row of `weights` `[R, pairs]`; NaN in a row in which no pair is drawn."""
    total = weights.sum(axis=1)
    return {name: (weights @ (outcomes == place)) / total for place, name in enumerate(OUTCOMES)}
