"""MCC, PR-AUC and VD-S, against examples worked by hand and against naive implementations."""

import math

import numpy as np
import pytest

from ltp_pipeline.measures.detection import BOUNDS, OF_BOTH_CLASSES, allowed_false_positives, detection_measures
from tests.fuzz.limits import fuzz
from tests.ltp_pipeline.measures.drawn import drawn_functions


def measured(scores, labels, predictions=None):
    scores = np.array(scores, dtype=float)
    predictions = scores > 0.5 if predictions is None else np.array(predictions)
    return detection_measures(scores, predictions, np.array(labels))


def test_a_worked_example():
    # By score: 1 0 1 1 0 0 1; predicted 1 are the first four: 3 true positives, 1 false positive, 1 missed, 2 right.
    result = measured([0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2], [1, 0, 1, 1, 0, 0, 1])
    assert result["mcc"] == pytest.approx((3 * 2 - 1 * 1) / math.sqrt(4 * 4 * 3 * 3))
    assert result["pr_auc"] == pytest.approx((1 / 1 + 2 / 3 + 3 / 4 + 4 / 7) / 4)
    # 5 % of 3 functions of class 0 is less than one: no false positive is allowed, so one of four is found
    assert [result[f"vd_s_{name}"] for name in BOUNDS] == [0.75] * 3
    assert [result[f"recall_at_fpr_{name}"] for name in BOUNDS] == [0.25] * 3


def test_vd_s_allows_exactly_the_rate():
    clean = np.arange(200) / 1000  # the highest are 0.199, 0.198, ...
    defective = [0.1995, 0.1985, 0.1975, 0.1895, 0.0005]
    result = measured(np.r_[clean, defective], [0] * 200 + [1] * 5)
    assert result["vd_s_0.5"] == pytest.approx(3 / 5)  # 1 false positive: all above 0.198
    assert result["vd_s_1"] == pytest.approx(2 / 5)  # 2: all above 0.197
    assert result["vd_s_5"] == pytest.approx(1 / 5)  # 10: all above 0.189
    assert measured(np.r_[clean[1:], defective], [0] * 199 + [1] * 5)["vd_s_0.5"] == pytest.approx(4 / 5)


def test_vd_s_takes_equal_scores_together():
    # A threshold that finds the defective function at 0.5 has two false positives among 20: 10 %.
    assert measured([0.5, 0.5, 0.5] + [0.1] * 18, [1, 0, 0] + [0] * 18)["vd_s_5"] == 1
    assert measured([0.5, 0.5] + [0.1] * 19, [1, 0] + [0] * 19)["vd_s_5"] == 0  # one of 20
    equal = measured([0.7] * 4, [1, 0, 1, 0])
    assert (equal["mcc"], equal["pr_auc"], equal["vd_s_5"], equal["recall_at_fpr_5"]) == (0, 0.5, 1, 0)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("count", [1, 3])
def test_one_class_has_no_rates(label, count):
    assert measured(np.linspace(0.2, 0.9, count), [label] * count) == {"mcc": 0}


def test_the_measures_of_both_classes_are_named():
    assert measured([0.1, 0.2], [0, 1]).keys() == {"mcc", *OF_BOTH_CLASSES} - {"auc"}


@pytest.mark.parametrize("bound", [0, 0.001, 0.005, 0.01, 0.05, 0.1, 0.3, 0.7, 0.99])
def test_the_allowed_number_is_the_largest_whose_rate_is_within_the_bound(bound):
    for clean in range(1, 1001):
        allowed = allowed_false_positives(bound, clean)
        assert allowed == max(k for k in range(clean) if k / clean <= bound)


@fuzz(functions=drawn_functions())
def test_agrees_with_naive_implementations(functions):
    scores, predictions, labels, _ = functions
    result = detection_measures(scores, predictions, labels)
    tp, fp, fn, tn = (sum((predictions == p) & (labels == y)) for p, y in ((1, 1), (1, 0), (0, 1), (0, 0)))
    below = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert result["mcc"] == pytest.approx((tp * tn - fp * fn) / below if below else 0)
    if len(set(labels)) < 2:
        assert result.keys() == {"mcc"}
        return
    assert result["pr_auc"] == pytest.approx(naive_average_precision(scores, labels))
    for name, bound in BOUNDS.items():
        assert result[f"vd_s_{name}"] == pytest.approx(naive_vd_s(scores, labels, bound))
        assert result[f"recall_at_fpr_{name}"] == pytest.approx(1 - result[f"vd_s_{name}"])


def naive_average_precision(scores, labels):
    total = last = 0.0
    for threshold in sorted(set(scores), reverse=True):
        recall = sum(labels[scores >= threshold]) / sum(labels)
        total += (recall - last) * labels[scores >= threshold].mean()
        last = recall
    return total


def naive_vd_s(scores, labels, bound):
    """The false negative rate at each threshold that is allowed; the lowest such threshold misses least."""
    thresholds = [*set(scores), math.inf]
    allowed = [t for t in thresholds if sum(scores[labels == 0] >= t) / sum(labels == 0) <= bound]
    return sum(scores[labels == 1] < min(allowed)) / sum(labels == 1)
