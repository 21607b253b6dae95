"""Metrics of defect prediction, where class 1 is the positive class, and of GLUE."""

from collections.abc import Sequence

import numpy as np


def positive_scores(logits: np.ndarray) -> np.ndarray:
    """Probability of class 1 from logits [N, 2], as float64 [N]."""
    logits = np.asarray(logits, dtype=np.float64)
    return 1.0 / (1.0 + np.exp(np.clip(logits[:, 0] - logits[:, 1], -700, 700)))


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Probability of each class from logits [N, classes], as float64 [N, classes]."""
    logits = np.asarray(logits, dtype=np.float64)
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def classification_metrics(logits: np.ndarray, labels: np.ndarray, threshold: float | None = None) -> dict[str, float]:
    """Metrics of N functions from logits [N, 2] and labels [N] of 0 and 1.

    A function is predicted to be of class 1 if that has the larger logit, or a probability above `threshold`.

    Returns accuracy, f1, recall, precision, false_alarm_rate (false positives among the functions of class 0) and auc
    (area under the ROC curve of the probability of class 1), all from 0 to 1. A ratio whose denominator is 0 is 0; auc
    is left out where only one class occurs or a logit is not finite.
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support, recall_score, roc_auc_score

    labels = np.asarray(labels).astype(int)
    predictions = np.asarray(logits).argmax(axis=-1) if threshold is None else positive_scores(logits) > threshold
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


def group_metrics(names: Sequence[str], logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics of N items that may be of several of C groups, from logits and labels (0 or 1), each [N, C].

    A group is predicted where its logit is above 0. Returns macro_f1 (mean over groups), micro_f1 (over all N * C
    decisions), f1_<name> of each group and macro_auc, the mean over the groups with items of both kinds, left out if
    there is none. A ratio whose denominator is 0 is 0.
    """
    from sklearn.metrics import f1_score, roc_auc_score

    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels).astype(int)
    predictions = (logits > 0).astype(int)
    f1 = [f1_score(labels[:, i], predictions[:, i], zero_division=0) for i in range(len(names))]
    metrics = {
        "macro_f1": np.mean(f1),
        "micro_f1": f1_score(labels.ravel(), predictions.ravel(), zero_division=0),
        **{f"f1_{name}": value for name, value in zip(names, f1)},
    }
    both = [i for i in range(len(names)) if 0 < labels[:, i].sum() < len(labels)]
    if both and np.isfinite(logits).all():
        metrics["macro_auc"] = np.mean([roc_auc_score(labels[:, i], logits[:, i]) for i in both])
    return {name: float(value) for name, value in metrics.items()}


def glue_metrics(names: Sequence[str], logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The metrics of GLUE that `names` names, from logits [N, classes], or predicted numbers [N, 1], and labels [N].

    accuracy; f1 of class 1; matthews_correlation; pearson and spearmanr, the correlations of the predicted numbers
    with the labels. A correlation with what is the same everywhere is 0.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    predictions = logits[:, 0] if logits.shape[1] == 1 else logits.argmax(axis=-1)
    return {name: float(_GLUE_METRICS[name](labels, predictions)) for name in names}


def _accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    return (labels == predictions).mean()


def _f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return f1_score(labels, predictions, zero_division=0)


def _matthews_correlation(labels: np.ndarray, predictions: np.ndarray) -> float:
    from sklearn.metrics import matthews_corrcoef

    return matthews_corrcoef(labels, predictions)


def _pearson(labels: np.ndarray, predictions: np.ndarray) -> float:
    if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
        return 0.0
    return np.corrcoef(labels, predictions)[0, 1]


def _spearman(labels: np.ndarray, predictions: np.ndarray) -> float:
    from scipy.stats import rankdata

    return _pearson(rankdata(labels), rankdata(predictions))


_GLUE_METRICS = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews_correlation": _matthews_correlation,
    "pearson": _pearson,
    "spearmanr": _spearman,
}
