"""Measures of a detector of rare defects: MCC, PR-AUC, and what it finds at a bounded rate of false positives."""

from __future__ import annotations

import math

import numpy as np

# bounds of the false positive rate: how they are named, in percent, and their values
BOUNDS = {"0.5": 0.005, "1": 0.01, "5": 0.05}
# measures that have a value only if functions of both classes occur
OF_BOTH_CLASSES = ("auc", "pr_auc", *(f"{name}_{bound}" for name in ("vd_s", "recall_at_fpr") for bound in BOUNDS))


def detection_measures(scores: np.ndarray, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Measures of N functions, each from 0 to 1 (mcc: from -1); docs/measures.md defines them.

    Args:
        scores: a number that is larger the more probable class 1 is, `[N]`, finite.
        predictions: predicted class, 0 or 1, `[N]`.
        labels: class, 0 or 1, `[N]`.

    Returns mcc (0 if only one class occurs or is predicted). If both classes occur, also pr_auc and, for each of
    BOUNDS, vd_s_<bound> and recall_at_fpr_<bound>.
    """
    from sklearn.metrics import average_precision_score, matthews_corrcoef

    defective = np.asarray(labels) == 1
    if defective.all() or not defective.any():
        return {"mcc": 0.0}
    measures = {
        "mcc": float(matthews_corrcoef(defective, np.asarray(predictions) == 1)),
        "pr_auc": float(average_precision_score(defective, scores)),
    }
    own, clean = scores[defective], np.sort(scores[~defective])[::-1]
    for name, bound in BOUNDS.items():
        missed = float((own <= clean[allowed_false_positives(bound, len(clean))]).mean())
        measures |= {f"vd_s_{name}": missed, f"recall_at_fpr_{name}": 1 - missed}
    return measures


def allowed_false_positives(bound: float, clean: int) -> int:
    """How many of `clean` functions of class 0 may be predicted as class 1 at a rate of at most `bound`, below 1.

    It is 0 if `bound * clean` is below 1. The share `k / clean` allows exactly k, whatever its rounding error.
    """
    return min(math.floor(bound * clean + 1e-9), clean - 1)
