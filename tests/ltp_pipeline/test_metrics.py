import numpy as np
import pytest

from ltp_pipeline.metrics import classification_metrics, positive_scores


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
    }


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
