"""Chooses and applies the decision threshold: a function counts as defective if its probability is above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.measures.detection import allowed_false_positives
from ltp_pipeline.task.metrics import positive_scores
from ltp_pipeline.task.tasks import CODE, Task

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

NAME = "decision_threshold"  # in a checkpoint's config.json


def check_max_false_alarm(limit: float | None, task: Task, *, trains: bool, evaluates: bool) -> None:
    """Checks the value of `--max_false_alarm`; None: not given.

    Raises UserError if it is not a rate, or if the run cannot choose a threshold and store it in the trained model.
    """
    if limit is None:
        return
    if not 0 <= limit < 1:
        raise UserError(f"--max_false_alarm {limit}: expected a rate, at least 0 and below 1")
    if task is not CODE:
        raise UserError(f"--max_false_alarm {limit}: is for the task code, not {task.name}")
    if not (trains and evaluates):
        raise UserError(
            f"--max_false_alarm {limit}: chooses a threshold on --validation_file for the model that is trained; "
            "expected training and evaluation"
        )


def lowest_threshold(scores: np.ndarray, labels: np.ndarray, max_false_alarm: float) -> float:
    """The lowest threshold at which the share of false alarms among the functions of class 0 is within the limit.

    All thresholds between two neighbouring scores give the same predictions. The middle one is returned, so that
    rounding changes no prediction.

    `scores`: probability of class 1, `[N]`. `labels`: 0 or 1, `[N]`.
    Raises ValueError without a function of class 0, or for a score that is not a probability, such as NaN.
    """
    clean = np.sort(scores[labels == 0])[::-1]
    if not len(clean):
        raise ValueError("a rate of false alarms needs functions of class 0")
    if not ((0 <= scores) & (scores <= 1)).all():
        raise ValueError("a score is not a probability")
    refused = clean[
        allowed_false_positives(max_false_alarm, len(clean))
    ]  # the highest score that must not be above the threshold
    above = scores[scores > refused].min(initial=1.0)
    middle = (refused + above) / 2
    return float(middle if middle < above else refused)  # no number is between two neighbouring ones


def predicted_classes(logits: np.ndarray, threshold: float | None) -> np.ndarray:
    """Classes `[N]` from logits `[N, C]`.

    `threshold`: for two classes, the probability above which class 1 is predicted; None: the most probable class.
    """
    if threshold is None:
        return np.asarray(logits).argmax(axis=-1)
    return (positive_scores(logits) > threshold).astype(np.int64)


def predictions_of(task: Task, logits: np.ndarray, threshold: float | None) -> np.ndarray:
    """What is predicted from logits `[N, C]`: a class or a number for each row, `[N]`; with several labels, `[N, C]`.

    `threshold`: for functions, the probability above which class 1 is predicted; None: the more probable class.
    """
    if task.multi_label:
        return (logits > 0).astype(np.int64)
    return logits[:, 0] if task.is_regression else predicted_classes(logits, threshold if task is CODE else None)


def stored_threshold(config: PreTrainedConfig) -> float | None:
    """The decision threshold in a checkpoint's configuration; None if none was chosen.

    Raises UserError if it is not a probability.
    """
    threshold = getattr(config, NAME, None)
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if threshold is not None and not (is_number and 0 <= threshold <= 1):
        place = getattr(config, "name_or_path", "") or "the checkpoint"
        raise UserError(
            f"config.json of {place}: {NAME} is {threshold!r}; expected a probability from 0 to 1, or null for none"
        )
    return threshold


def drop_threshold(config: PreTrainedConfig, *, chosen_again: bool) -> None:
    """Removes the decision threshold before training, because it was chosen for the model before this training.

    `chosen_again`: whether the run will choose a new one; if not, a note is printed.
    """
    if stored_threshold(config) is None:
        return
    if not chosen_again:
        print(
            f"note: the decision threshold {stored_threshold(config):.4g} was chosen for the model before this "
            "training and is removed; --max_false_alarm chooses a new one"
        )
    setattr(config, NAME, None)
