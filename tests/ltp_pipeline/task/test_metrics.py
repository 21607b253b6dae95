import numpy as np
import pytest

from ltp_pipeline.task.metrics import (
    classification_metrics,
    glue_metrics,
    group_metrics,
    positive_scores,
    probabilities,
)


def test_metrics_of_a_worked_example():
    # 3 true positives, 1 false negative, 2 false positives, 4 true negatives
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    margin = np.array([3.0, 2.0, 1.0, -1.0, 2.5, 0.5, -2.0, -2.0, -3.0, -4.0])
    metrics = classification_metrics(np.stack([np.zeros(10), margin], axis=1), labels)
    assert metrics == {
        "accuracy": 0.7,
        "f1": pytest.approx(6 / 9),
        "recall": 0.75,
        "precision": 0.6,
        "false_alarm_rate": pytest.approx(2 / 6),
        "auc": pytest.approx((6 + 5 + 5 + 4) / 24),
        "mcc": pytest.approx((3 * 4 - 2 * 1) / np.sqrt(5 * 4 * 6 * 5)),
        "pr_auc": pytest.approx((1 / 1 + 2 / 3 + 3 / 4 + 4 / 6) / 4),
        **{f"vd_s_{bound}": 0.75 for bound in ("0.5", "1", "5")},
        **{f"recall_at_fpr_{bound}": 0.25 for bound in ("0.5", "1", "5")},
    }


def test_logits_that_are_not_finite_give_only_what_needs_no_scores():
    metrics = classification_metrics(np.array([[0, np.nan], [0, 1.0]]), np.array([0, 1]))
    assert metrics.keys() == {"accuracy", "f1", "recall", "precision", "false_alarm_rate"}


def test_auc_counts_ties_half_and_agrees_with_every_pair():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 5, 60).astype(float), rng.integers(0, 2, 60)
    positive, negative = scores[labels == 1], scores[labels == 0]
    pairs = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    logits = np.stack([np.zeros(60), scores], axis=1)
    assert classification_metrics(logits, labels)["auc"] == pytest.approx(pairs.mean())


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_gives_no_auc_and_no_nan(label):
    metrics = classification_metrics(np.array([[1.0, 0.0]] * 3), np.full(3, label))
    assert "auc" not in metrics
    assert metrics["accuracy"] == 1 - label
    assert (metrics["f1"], metrics["recall"], metrics["precision"], metrics["false_alarm_rate"]) == (0, 0, 0, 0)


def test_scores_are_probabilities_without_overflow():
    scores = positive_scores(np.array([[0.0, 0.0], [0.0, np.log(3)], [1000.0, -1000.0], [-1000.0, 1000.0]]))
    assert scores == pytest.approx([0.5, 0.75, 0, 1])


def test_metrics_of_glue():
    # predictions 1 1 1 0 0 0: 2 true positives, 1 false positive, 2 false negatives, 1 true negative
    logits = np.array([[0, 1], [0, 1], [0, 1], [1, 0], [1, 0], [1, 0.0]])
    labels = np.array([1, 1, 0, 1, 1, 0])
    assert glue_metrics(("accuracy",), logits, labels) == {"accuracy": 0.5}
    assert glue_metrics(("f1", "accuracy"), logits, labels) == {"f1": pytest.approx(4 / 7), "accuracy": 0.5}
    matthews = (2 * 1 - 1 * 2) / np.sqrt(3 * 4 * 2 * 3)
    assert glue_metrics(("matthews_correlation",), logits, labels) == {"matthews_correlation": matthews}
    three = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0.0]])
    assert glue_metrics(("accuracy",), three, np.array([2, 0, 0])) == {"accuracy": pytest.approx(2 / 3)}


def test_correlations_of_glue():
    scores, labels = np.array([[1.0], [2.0], [4.0], [4.0]]), np.array([0.5, 1.0, 5.0, 2.0])
    # By hand: deviations (-1.75, -0.75, 1.25, 1.25) and (-1.625, -1.125, 2.875, -0.125)
    pearson = 7.125 / np.sqrt(6.75 * 12.1875)
    # ranks (1, 2, 3.5, 3.5) and (1, 2, 4, 3)
    spearman = 4.5 / np.sqrt(4.5 * 5)
    expected = {"pearson": pytest.approx(pearson), "spearmanr": pytest.approx(spearman)}
    assert glue_metrics(("pearson", "spearmanr"), scores, labels) == expected
    constant = glue_metrics(("pearson", "spearmanr"), np.ones((4, 1)), labels)
    assert constant == {"pearson": 0, "spearmanr": 0}


def test_probabilities_without_overflow():
    shares = probabilities(np.array([[0.0, np.log(2), np.log(5)], [1000.0, 0.0, -1000.0]]))
    assert shares == pytest.approx(np.array([[1 / 8, 2 / 8, 5 / 8], [1, 0, 0]]))


def test_metrics_of_several_groups_at_once():
    logits = np.array([[1, -1, 1], [1, 1, -1], [-1, -2, -1], [-1, 2, -1]], dtype=float)
    labels = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 1, 0]])
    metrics = group_metrics(("a", "b", "c"), logits, labels)
    assert metrics == pytest.approx(
        {"macro_f1": 0.8 * 2 / 3, "micro_f1": 8 / 11, "f1_a": 0.8, "f1_b": 0.8, "f1_c": 0, "macro_auc": 0.75}
    )
