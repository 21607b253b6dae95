"""When a function is called defective: above which probability of class 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.task.metrics import positive_scores
from ltp_pipeline.task.tasks import CODE, Task

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from ltp_pipeline.training.arguments import FineTuningArguments

DEFAULT = 0.5  # the more probable class
NAME = "decision_threshold"  # in a checkpoint's config.json


def check_max_false_alarm(args: FineTuningArguments, task: Task, *, trains: bool, evaluates: bool) -> None:
    """Raises UserError for a `--max_false_alarm` that is no rate, or where no threshold can be chosen and stored."""
    limit = args.max_false_alarm
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
    """The lowest threshold above which at most this share of the functions of class 0 score.

    Of all that give the same predictions it is the middle between two scores, so that rounding changes none.

    Args:
        scores: probability of class 1, `[N]`.
        labels: 0 or 1, `[N]`.
        max_false_alarm: from 0 to 1.
    """
    clean = np.sort(scores[labels == 0])[::-1]
    allowed = int(np.floor(max_false_alarm * len(clean) + 1e-9))
    if allowed >= len(clean):
        return 0.0
    refused = clean[allowed]  # the best score that may not be above the threshold
    above = scores[scores > refused]
    return float((refused + (above.min() if len(above) else 1.0)) / 2)


def predicted_classes(logits: np.ndarray, threshold: float | None) -> np.ndarray:
    """Classes, `[N]`, from logits `[N, C]`: the most probable, or of two with a threshold whether 1 is above it."""
    if threshold is None:
        return np.asarray(logits).argmax(axis=-1)
    return (positive_scores(logits) > threshold).astype(np.int64)


def stored_threshold(config: PreTrainedConfig) -> float | None:
    """The threshold that a checkpoint's configuration holds, if one was chosen for it."""
    return getattr(config, NAME, None)


def drop_threshold(config: PreTrainedConfig, *, chosen_again: bool) -> None:
    """Before training: a threshold chosen for the model before does not hold for the one after."""
    if stored_threshold(config) is not None:
        if not chosen_again:
            print(
                f"note: the decision threshold {stored_threshold(config):.4g} was chosen for the model before this "
                "training, and is dropped; --max_false_alarm chooses a new one"
            )
        setattr(config, NAME, None)
