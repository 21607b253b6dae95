"""Bootstrap intervals: the measures of each draw, which draws there are, and how wide the intervals are."""

import numpy as np
import pytest
from hypothesis import strategies as st

from ltp_pipeline.measures import intervals
from ltp_pipeline.measures.intervals import interval, resampled_measures
from ltp_pipeline.measures.pairs import pair_measures
from ltp_pipeline.task.metrics import classification_metrics
from tests.fuzz.limits import fuzz
from tests.ltp_pipeline.measures.drawn import drawn_functions


class Draws:
    """Stands for the random generator: returns given draws."""

    def __init__(self, draws):
        self.draws = draws

    def integers(self, low, high, size):
        return np.resize(self.draws, size[::-1]).T % high


@fuzz(functions=drawn_functions(most=15), draws=st.lists(st.integers(0, 1000), min_size=15, max_size=15))
def test_each_draw_has_the_measures_of_the_functions_drawn(functions, draws):
    """Against the plain measures of the drawn functions, each as often as it was drawn."""
    scores, predictions, labels, pairs = functions
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "default_rng", lambda seed: Draws(np.array(draws)))
        values = resampled_measures(scores, predictions, labels, pairs, 1, 0)
    units = naive_units(labels, pairs)
    chosen = [units[draw % len(units)] for draw in draws[: len(units)]]
    drawn = [place for unit in chosen for place in unit]
    names = [f"{number}" if len(unit) == 2 else "" for number, unit in enumerate(chosen) for _ in unit]
    expected = measures(scores[drawn], predictions[drawn], labels[drawn])
    if any(len(unit) == 2 for unit in units):
        expected |= pair_measures(predictions[drawn], labels[drawn], names)
    for name, value in values.items():
        assert value.shape == (1,)
        assert value[0] == pytest.approx(expected.get(name, np.nan), nan_ok=True), name
    assert expected.keys() - {"pairs"} <= values.keys()


def measures(scores, predictions, labels):
    """`classification_metrics` of scores from 0 to 1, with the given predictions (1 above 0.4)."""
    margins = np.log(np.clip(scores, 1e-6, None) / (1 - np.clip(scores, 1e-6, None)))
    logits = np.stack([np.zeros(len(scores)), margins], axis=1)
    return classification_metrics(logits, labels, threshold=0.4)


def naive_units(labels, pairs):
    """The places of what is drawn together, in the order of the first (of a pair: the defective) function."""
    units = []
    for place, (label, name) in enumerate(zip(labels, pairs, strict=True)):
        partners = [other for other, own in enumerate(pairs) if own == name]
        if name == "" or sorted(labels[partners]) != [0, 1]:
            units.append((place,))
        elif label == 1:
            units.append((place, sum(partners) - place))
    return units


def example(count=400):
    rng = np.random.default_rng(7)
    labels = (rng.random(count) < 0.3).astype(int)
    scores = np.round(rng.random(count) * 0.6 + 0.4 * labels, 2)
    return scores, scores > 0.5, labels


def test_the_draws_depend_on_the_seed_alone(monkeypatch):
    first, same, other = (resampled_measures(*example(), None, 50, seed) for seed in (1, 1, 2))
    for name in first:
        assert (first[name] == same[name]).all()
    assert (first["f1"] != other["f1"]).any()
    monkeypatch.setattr(intervals, "AT_ONCE", 3 * 400)  # three draws at once
    in_parts = resampled_measures(*example(), None, 50, 1)
    for name in first:
        np.testing.assert_allclose(in_parts[name], first[name], rtol=1e-12)


def test_two_models_are_measured_on_the_same_draws():
    scores, predictions, labels = example()
    one, two = (resampled_measures(s, predictions, labels, None, 50, 1) for s in (scores, scores**2))
    for name in one:  # the second model orders the functions as the first
        np.testing.assert_allclose(one[name], two[name], rtol=1e-12)


def test_the_interval_of_an_accuracy_is_that_of_a_share():
    scores, predictions, labels = example(2000)
    low, high = interval(resampled_measures(scores, predictions, labels, None, 1000, 0)["accuracy"])
    share = (predictions == labels).mean()
    wide = 1.96 * np.sqrt(share * (1 - share) / 2000)
    assert (low, high) == (pytest.approx(share - wide, abs=wide / 6), pytest.approx(share + wide, abs=wide / 6))


def test_pairs_are_drawn_together():
    labels, pairs = np.array([1, 0] * 20), [str(place // 2) for place in range(40)]
    predictions = labels.copy()
    values = resampled_measures(predictions.astype(float), predictions, labels, pairs, 100, 0)
    assert (values["pair_correct"] == 1).all() and (values["auc"] == 1).all()
    # Of every draw, half are defective: accuracy of "all are defective" is 0.5 in each.
    always = resampled_measures(np.ones(40), np.ones(40), labels, pairs, 100, 0)
    assert (always["accuracy"] == 0.5).all()


def test_values_that_do_not_exist_are_left_out_of_an_interval():
    assert interval(np.array([1.0, np.nan, 1.0])) == [1, 1]
    assert interval(np.array([1.0, np.nan, np.nan])) is None
    assert interval(np.arange(101.0)) == [2.5, 97.5]
    one = resampled_measures(np.array([0.5]), np.array([1]), np.array([1]), None, 10, 0)
    assert interval(one["auc"]) is None and interval(one["accuracy"]) == [1, 1]
