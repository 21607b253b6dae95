"""Measures of a split beyond one number for all functions: pairs, groups of similar length, bootstrap intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.measures.intervals import interval, resampled_measures
from ltp_pipeline.measures.lengths import by_length
from ltp_pipeline.measures.pairs import complete_pairs, pair_measures
from ltp_pipeline.task.decision import predictions_of
from ltp_pipeline.task.metrics import positive_scores
from ltp_pipeline.task.tasks import CODE, Task, has_labels

BOOTSTRAP_HELP = (
    "Also compute 95 %% intervals of the metrics, from N random draws of the functions with replacement, such as 1000 "
    "(default: no intervals)."
)
FEWEST = 100  # draws; the ends of an interval would be those of two or three draws


def check_bootstrap(resamples: int, task: Task) -> None:
    """Checks the value of `--bootstrap`. Raises UserError if it is too low, or `task` is not about one class."""
    if resamples != 0 and resamples < FEWEST:
        raise UserError(f"--bootstrap {resamples}: expected 0 for no intervals, or {FEWEST} or more")
    if resamples and task is not CODE:
        raise UserError(f"--bootstrap {resamples}: is for the task code, not {task.name}")


def breakdown(
    task: Task,
    logits: np.ndarray,
    labels: np.ndarray,
    threshold: float | None,
    lengths: np.ndarray,
    pairs: np.ndarray | None = None,
) -> dict[str, Any]:
    """The values of `pair_measures` and, as by_length, the metrics of `task` for each group of similar length.

    Args:
        logits: `[N, C]`.
        labels: `[N]` or `[N, C]`.
        threshold: see `Task.measure`.
        lengths: tokens of each function before it is truncated, `[N]`.
        pairs: for each function the name of its pair, see `all_pairs_of`; None: there are no pairs.

    Returns {} if the task is not about functions, or the rows have no labels.
    """
    if not (task.reads_functions and has_labels(labels)):
        return {}
    rows = by_length(lengths, labels, lambda at: task.measure(logits[at], labels[at], threshold))
    if pairs is None or task is not CODE:
        return {"by_length": rows}
    predictions = predictions_of(task, logits, threshold)

    def of_pairs(at: np.ndarray) -> dict[str, float]:
        return pair_measures(predictions[at], labels[at], pairs[at])

    # A pair belongs to the group of its longer function: its functions may be in different groups.
    members = complete_pairs(labels, pairs)[0]
    both = members.ravel()
    longer = np.repeat(lengths[members].max(axis=1, initial=0), 2)
    grouped = {row["tokens"]: row for row in by_length(longer, labels[both], lambda at: of_pairs(both[at]))}
    # The numbers of functions and positives are those of all functions of the group.
    rows = [row | grouped.get(row["tokens"], {}) | row for row in rows]
    return {**of_pairs(np.arange(len(labels))), "by_length": rows}


def resampled(
    task: Task,
    logits: np.ndarray,
    labels: np.ndarray,
    threshold: float | None,
    pairs: np.ndarray | None,
    resamples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """See `resampled_measures`, for the arguments also `breakdown`.

    Returns {} without resamples or labels, or if a logit is not finite.
    """
    if not resamples or task is not CODE or not has_labels(labels) or not np.isfinite(logits).all():
        return {}
    predictions = predictions_of(task, logits, threshold)
    return resampled_measures(positive_scores(logits), predictions, labels, pairs, resamples, seed)


def intervals(values: dict[str, np.ndarray], kind: str = "interval") -> dict[str, list[float]]:
    """`<name>_<kind>`, [low, high], of each measure in `values` (see `resampled`) that has an interval."""
    found = {f"{name}_{kind}": interval(draws) for name, draws in values.items()}
    return {name: bounds for name, bounds in found.items() if bounds is not None}
