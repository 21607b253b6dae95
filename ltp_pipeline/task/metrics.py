"""Computes the metrics of defect detection (class 1 is positive), of tasks with several labels, and of GLUE tasks."""

from collections.abc import Sequence

import numpy as np

from ltp_pipeline.measures.detection import detection_measures


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities from logits of any shape, as float64.

    `scipy.special.expit` differs from this formula in the last bit of 1.8 % of the values; stored scores would change.
    """
    return 1.0 / (1.0 + np.exp(-np.clip(np.asarray(logits, dtype=np.float64), -700, 700)))


def positive_scores(logits: np.ndarray) -> np.ndarray:
    """Probability of class 1 from logits `[N, 2]`, as float64 `[N]`."""
    logits = np.asarray(logits, dtype=np.float64)
    return sigmoid(logits[:, 1] - logits[:, 0])


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Probability of each class from logits `[N, classes]`, as float64 `[N, classes]`."""
    from scipy.special import softmax

    return softmax(np.asarray(logits, dtype=np.float64), axis=-1)


def classification_metrics(logits: np.ndarray, labels: np.ndarray, threshold: float | None = None) -> dict[str, float]:
    """Metrics of N functions from logits `[N, 2]` and labels `[N]`, each 0 or 1.

    `threshold`: class 1 is predicted if its probability is above this; None: if it has the larger logit.
    Returns accuracy, f1, recall, precision, false_alarm_rate (share of the functions of class 0 that are predicted to
    be of class 1) and auc (area under the ROC curve of the probability of class 1), all from 0 to 1, and the values of
    `detection_measures`. A ratio with denominator 0 is 0. There is no auc if only one class occurs or a logit is not
    finite. The values of `detection_measures` need finite logits, too.
    """
    predictions = np.asarray(logits).argmax(axis=-1) if threshold is None else positive_scores(logits) > threshold
    return score_metrics(positive_scores(logits) if np.isfinite(logits).all() else None, predictions, labels)


def score_metrics(scores: np.ndarray | None, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The metrics of `classification_metrics`.

    Args:
        scores: a finite number for each function that is larger the more probable class 1 is, `[N]`; None: not known.
        predictions, labels: class, 0 or 1, `[N]`.
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support, recall_score, roc_auc_score

    labels = np.asarray(labels).astype(int)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predictions, average="binary", zero_division=0)
    specificity = recall_score(labels, predictions, pos_label=0, zero_division=1)
    metrics = {
        "accuracy": accuracy_score(labels, predictions),
        "f1": f1,
        "recall": recall,
        "precision": precision,
        "false_alarm_rate": 1 - specificity,
    }
    if scores is not None:
        if 0 < labels.sum() < len(labels):
            metrics["auc"] = roc_auc_score(labels, scores)
        metrics |= detection_measures(scores, predictions, labels)
    return {name: float(value) for name, value in metrics.items()}


def group_metrics(names: Sequence[str], logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics of N items, each of which may belong to several of C groups, from logits and labels (0 or 1) `[N, C]`.

    A group is predicted if its logit is above 0.

    Returns macro_f1 (mean over groups), micro_f1 (over all N * C decisions), f1_<name> of each group and macro_auc
    (mean over the groups with items of both kinds; omitted if there is none). A ratio with denominator 0 is 0.
    """
    from sklearn.metrics import f1_score, roc_auc_score

    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels).astype(int)
    predictions = (logits > 0).astype(int)
    f1 = f1_score(labels, predictions, average=None, zero_division=0)
    metrics = {
        "macro_f1": np.mean(f1),
        "micro_f1": f1_score(labels, predictions, average="micro", zero_division=0),
        **{f"f1_{name}": value for name, value in zip(names, f1, strict=True)},
    }
    both = [i for i in range(len(names)) if 0 < labels[:, i].sum() < len(labels)]
    if both and np.isfinite(logits).all():
        metrics["macro_auc"] = np.mean([roc_auc_score(labels[:, i], logits[:, i]) for i in both])
    return {name: float(value) for name, value in metrics.items()}


def glue_metrics(names: Sequence[str], logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The metrics of GLUE in `names` from logits `[N, classes]`, or predicted numbers `[N, 1]`, and labels `[N]`.

    accuracy; f1 of class 1; matthews_correlation; pearson and spearmanr, the correlations between predicted numbers
    and labels. A correlation with a constant is 0.
    """
    from scipy.stats import pearsonr, spearmanr
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    predictions = logits[:, 0] if logits.shape[1] == 1 else logits.argmax(axis=-1)
    constant = np.ptp(labels) == 0 or np.ptp(predictions) == 0
    metrics = {
        "accuracy": lambda: accuracy_score(labels, predictions),
        "f1": lambda: f1_score(labels, predictions, zero_division=0),
        "matthews_correlation": lambda: matthews_corrcoef(labels, predictions),
        "pearson": lambda: 0.0 if constant else pearsonr(labels, predictions).statistic,
        "spearmanr": lambda: 0.0 if constant else spearmanr(labels, predictions).statistic,
    }
    return {name: float(metrics[name]()) for name in names}
