"""Classification metrics of defect prediction. Class 1 is the positive class."""

import numpy as np


def positive_scores(logits: np.ndarray) -> np.ndarray:
    """Probability of class 1 from logits [N, 2], as float64 [N]."""
    logits = np.asarray(logits, dtype=np.float64)
    return 1.0 / (1.0 + np.exp(np.clip(logits[:, 0] - logits[:, 1], -700, 700)))


def classification_metrics(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics of N functions from logits [N, 2] and labels [N] of 0 and 1.

    Returns accuracy, f1, recall, precision, false_alarm_rate (false positives among the functions of class 0) and auc
    (area under the ROC curve of the probability of class 1), all from 0 to 1. A ratio whose denominator is 0 is 0; auc
    is left out where only one class occurs or a logit is not finite.
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support, recall_score, roc_auc_score

    labels = np.asarray(labels).astype(int)
    predictions = np.asarray(logits).argmax(axis=-1)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predictions, average="binary", zero_division=0)
    specificity = recall_score(labels, predictions, pos_label=0, zero_division=1)
    metrics = {
        "accuracy": accuracy_score(labels, predictions),
        "f1": f1,
        "recall": recall,
        "precision": precision,
        "false_alarm_rate": 1 - specificity,
    }
    if 0 < labels.sum() < len(labels) and np.isfinite(logits).all():
        metrics["auc"] = roc_auc_score(labels, positive_scores(logits))
    return {name: float(value) for name, value in metrics.items()}
