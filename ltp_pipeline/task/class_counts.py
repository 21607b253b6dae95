"""Checks, before training, that each split has the classes that the numbers asked for are computed from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.measures.detection import OF_BOTH_CLASSES
from ltp_pipeline.task.tasks import CODE, NOT_GIVEN, Task, has_labels

NEED_BOTH = (*OF_BOTH_CLASSES, "mcc", "macro_auc")  # metrics that have no value, or always 0, if only one class occurs


def check_class_counts(
    splits: dict[str, tuple[str, Sequence]],
    task: Task,
    *,
    max_false_alarm: float | None = None,
    metric_for_best_model: str | None = None,
) -> None:
    """Checks the labels of the functions, or items, that a run will use: after rows were skipped or left out.

    Prints a note for each split in which a class, or a group of a multi-label task, does not occur: metrics about it
    are then 0 or left out.

    Args:
        splits: name of each split -> the flag and file that it comes from, and its labels as `read_splits` returns
            them.
        max_false_alarm: the value of `--max_false_alarm`; the threshold is chosen on the split "eval".
        metric_for_best_model: the metric that is computed on the split "eval" during training; None: none is.

    Raises UserError if the split "eval" has no function from which the threshold or that metric can be computed.
    """
    for split, (place, labels) in splits.items():
        counts = class_counts(np.asarray(list(labels)), task)
        if split == "eval" and max_false_alarm is not None:
            _check_clean_functions(max_false_alarm, place, counts)
        if split == "eval" and (metric_for_best_model or "").removeprefix("eval_") in NEED_BOTH:
            _check_both_kinds(metric_for_best_model, place, counts, len(labels), task)
        missing = [name for name, count in zip(task.labels, counts) if not count]
        if missing and counts:
            effect = "the model does not learn it" if split == "train" else _effect(task)
            print(f"note: {place}: none of the {len(labels)} rows has the label {', '.join(missing)}; {effect}")


def class_counts(labels: np.ndarray, task: Task) -> list[int]:
    """How many items have each label of `task`; [] if a number is predicted or the items have no labels.

    `labels`: `[N]`, or `[N, C]` of 0 and 1 if an item has several labels at once.
    """
    if task.is_regression or not len(labels) or not has_labels(labels):
        return []
    if task.multi_label:
        return labels.astype(int).sum(axis=0).tolist()
    return np.bincount(labels[labels != NOT_GIVEN].astype(int), minlength=task.num_labels).tolist()


def _effect(task: Task) -> str:
    if task.multi_label:
        return "its f1 is 0, which lowers macro_f1, and macro_auc leaves it out"
    if task is CODE:
        return "metrics about it are 0, and there is no AUC, PR-AUC and VD-S"
    return "metrics about it are 0"


def _check_clean_functions(limit: float, place: str, counts: list[int]) -> None:
    clean = counts[0]
    if not clean:
        raise UserError(
            f"--max_false_alarm {limit}: a rate of false alarms needs functions of class 0, but all {sum(counts)} "
            f"functions of {place} have class 1; expected functions of both classes"
        )
    if 0 < limit < 1 / clean:
        print(
            f"note: --max_false_alarm {limit}: {place} has {clean} functions of class 0, so the lowest rate above 0 "
            f"is {1 / clean:.3g}; the threshold will allow no false alarm. This rate needs {np.ceil(1 / limit):.0f} "
            "or more such functions"
        )


def _check_both_kinds(metric: str, place: str, counts: list[int], rows: int, task: Task) -> None:
    if not any(0 < count < rows for count in counts):
        kinds = "with and without one of the labels" if task.multi_label else "of both classes"
        raise UserError(
            f"--metric_for_best_model {metric}: cannot be computed on the {rows} functions of {place}; "
            f"expected functions {kinds}"
        )


def balanced_weights(labels: list[int], task: Task) -> list[float]:
    """Class weights with which all classes that occur have the same share of the loss; the mean over items is 1.

    A class that does not occur has weight 0.
    """
    counts = np.bincount(labels, minlength=task.num_labels)
    shares = counts / len(labels) * np.count_nonzero(counts)
    return np.divide(1.0, shares, out=np.zeros(len(counts)), where=counts > 0).tolist()
