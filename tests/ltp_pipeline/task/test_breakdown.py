"""Measures of pairs, by length and their intervals, from the logits of a split."""

from pathlib import Path

import numpy as np
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.measures.lines import TRUE_POSITIVES, line_measures
from ltp_pipeline.task.breakdown import breakdown, check_bootstrap, intervals, resampled
from ltp_pipeline.task.tasks import CODE, NOT_GIVEN, TASKS, VDISC

LABELS = np.array([1, 0, 1, 0, 1])
LOGITS = np.array(
    [[0, 1], [0, 3.0], [1, 0], [1, 0], [0, 2]]
)  # predicted 1 1 0 0 1; with a threshold of 0.9: 0 1 0 0 0
LENGTHS = np.array([600, 100, 5000, 3000, 100])
PAIRS = np.array(["a", "a", "b", "b", ""], dtype=object)


def test_pairs_and_groups_of_similar_length():
    result = breakdown(CODE, LOGITS, LABELS, None, LENGTHS, PAIRS)
    assert (result["pairs"], result["pair_vulnerable"], result["pair_benign"]) == (2, 0.5, 0.5)
    groups = {row["tokens"]: row for row in result["by_length"]}
    assert list(groups) == ["up to 512", "513 to 1024", "above 2048"]
    assert [(row["functions"], row["positives"]) for row in groups.values()] == [(2, 1), (1, 1), (2, 1)]
    # The first pair has functions in two groups. It belongs to the group of the longer one.
    assert "pairs" not in groups["up to 512"]
    assert (groups["513 to 1024"]["pairs"], groups["513 to 1024"]["pair_vulnerable"]) == (1, 1)
    assert (groups["above 2048"]["pairs"], groups["above 2048"]["pair_benign"]) == (1, 1)
    assert groups["above 2048"]["accuracy"] == 0.5 and "auc" not in groups["513 to 1024"]
    for places, row in zip(([1, 4], [0], [2, 3]), groups.values()):
        assert row.items() >= CODE.measure(LOGITS[places], LABELS[places]).items()


def test_pairs_of_which_none_is_complete():
    result = breakdown(CODE, LOGITS, LABELS, None, LENGTHS, np.array(["a", "b", "c", "", ""], dtype=object))
    assert result["pairs"] == 0 and result["pairs_incomplete"] == 3 and "pair_correct" not in result
    assert [row["functions"] for row in result["by_length"]] == [2, 1, 2]
    none = breakdown(CODE, LOGITS, LABELS, None, LENGTHS, np.full(5, "", dtype=object))
    assert none == breakdown(CODE, LOGITS, LABELS, None, LENGTHS)


def test_the_decision_threshold_decides_about_pairs_and_groups():
    result = breakdown(CODE, LOGITS, LABELS, 0.9, LENGTHS, PAIRS)
    assert (result["pair_reversed"], result["pair_benign"]) == (0.5, 0.5)
    assert [row["accuracy"] for row in result["by_length"]] == [0, 0, 0.5]


def test_other_tasks_and_rows_without_labels():
    assert breakdown(CODE, LOGITS, np.full(5, NOT_GIVEN), None, LENGTHS, PAIRS) == {}
    assert breakdown(TASKS["RTE"], LOGITS, LABELS, None, LENGTHS, None) == {}
    several = np.array([[1, 0, 0, 0, 0]] * 5)
    result = breakdown(VDISC, several - 0.5, several, None, LENGTHS, None)
    assert [row["macro_f1"] for row in result["by_length"]] == pytest.approx([0.2] * 3)
    assert [row["positives"] for row in result["by_length"]] == [2, 1, 2]
    assert "pairs" not in breakdown(CODE, LOGITS, LABELS, None, LENGTHS, None)
    assert resampled(CODE, LOGITS, np.full(5, NOT_GIVEN), None, None, 100, 0) == {}
    assert resampled(CODE, LOGITS, LABELS, None, None, 0, 0) == {}


def test_an_interval_holds_the_value_of_each_measure():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 300)
    logits = np.stack([np.zeros(300), rng.normal(labels - 0.5)], axis=1)
    pairs = np.array([str(i // 2) if labels[i - i % 2] + labels[i - i % 2 + 1] == 1 else "" for i in range(300)])
    result = intervals(resampled(CODE, logits, labels, 0.4, pairs, 200, 0))
    values = CODE.measure(logits, labels, 0.4) | breakdown(CODE, logits, labels, 0.4, np.ones(300), pairs)
    del values["pairs"], values["by_length"]
    assert result.keys() == {f"{name}_interval" for name in values}
    for name, value in values.items():
        low, high = result[f"{name}_interval"]
        assert low <= value <= high and low < high


@pytest.mark.parametrize("resamples, task", [(-1, CODE), (99, CODE), (1000, VDISC), (1000, TASKS["RTE"])])
def test_draws_that_cannot_be(resamples, task):
    with pytest.raises(UserError, match=f"--bootstrap {resamples}"):
        check_bootstrap(resamples, task)
    check_bootstrap(0, task)
    check_bootstrap(100, CODE)


def test_the_docs_define_every_key():
    text = (Path(__file__).resolve().parents[3] / "docs" / "measures.md").read_text(encoding="utf-8")
    values = CODE.measure(LOGITS, LABELS) | breakdown(CODE, LOGITS, LABELS, None, LENGTHS, PAIRS)
    lines = line_measures([np.arange(3.0)] * 5, [(3,), (1,), (2,), (), (1,)], LABELS, LABELS, LABELS)
    keys = {name.removesuffix(TRUE_POSITIVES) for row in (values, *values["by_length"], lines) for name in row}
    assert {name for name in keys if f"`{name}`" not in text} == set()


def test_logits_that_are_not_finite_have_no_intervals():
    assert resampled(CODE, LOGITS * np.nan, LABELS, None, PAIRS, 100, 0) == {}
