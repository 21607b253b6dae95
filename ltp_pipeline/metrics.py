"""Classification metrics of defect prediction. Class 1 is the positive class."""

import numpy as np
import pandas as pd


def positive_scores(logits: np.ndarray) -> np.ndarray:
    """Probability of class 1 from logits [N, 2], as float64 [N]."""
    logits = np.asarray(logits, dtype=np.float64)
    return 1.0 / (1.0 + np.exp(np.clip(logits[:, 0] - logits[:, 1], -700, 700)))


def classification_metrics(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics of N functions from logits [N, 2] and labels [N] of 0 and 1.

    Returns accuracy, f1, recall, precision, false_alarm_rate (false positives among the functions of class 0) and auc,
    all from 0 to 1. A ratio whose denominator is 0 is 0; auc is left out where only one class occurs.
    """
    labels = np.asarray(labels).astype(bool)
    predictions = np.asarray(logits).argmax(axis=-1).astype(bool)
    true_positive = int((predictions & labels).sum())
    false_positive = int((predictions & ~labels).sum())
    false_negative = int((~predictions & labels).sum())
    true_negative = len(labels) - true_positive - false_positive - false_negative
    metrics = {
        "accuracy": _ratio(true_positive + true_negative, len(labels)),
        "f1": _ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative),
        "recall": _ratio(true_positive, true_positive + false_negative),
        "precision": _ratio(true_positive, true_positive + false_positive),
        "false_alarm_rate": _ratio(false_positive, false_positive + true_negative),
    }
    if 0 < labels.sum() < len(labels):
        metrics["auc"] = area_under_roc_curve(positive_scores(logits), labels)
    return metrics


def area_under_roc_curve(scores: np.ndarray, labels: np.ndarray) -> float:
    """Probability that a function of class 1 scores above one of class 0, ties counting half (Mann-Whitney U).

    Args:
        scores: [N], higher means rather class 1.
        labels: [N], 0 or 1; both occur.
    """
    labels = np.asarray(labels).astype(bool)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    rank_sum = pd.Series(scores).rank(method="average").to_numpy()[labels].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
