"""Measures of pairs, against an example worked by hand and against a naive implementation."""

import numpy as np
import pytest

from ltp_pipeline.measures.pairs import pair_measures
from tests.fuzz.limits import fuzz
from tests.ltp_pipeline.measures.drawn import drawn_functions


def test_a_worked_example():
    # defective and repaired, predicted: a 1 0 (right), b 1 1, c 0 0, d 0 1 (reversed), e 1 0 (right)
    pairs = ["a", "b", "", "c", "d", "e", "e", "d", "c", "b", "a"]
    labels = [1, 0, 1, 1, 1, 0, 1, 0, 0, 1, 0]
    predictions = [1, 1, 0, 0, 0, 0, 1, 1, 0, 1, 0]
    assert pair_measures(np.array(predictions), np.array(labels), pairs) == {
        "pairs": 5,
        "pair_correct": 0.4,
        "pair_vulnerable": 0.2,
        "pair_benign": 0.2,
        "pair_reversed": 0.2,
    }


@pytest.mark.parametrize(
    "pairs, labels, expected",
    [
        (["", ""], [0, 1], {}),
        (["a"], [1], {"pairs": 0, "pairs_incomplete": 1}),
        (["a", "a"], [1, 1], {"pairs": 0, "pairs_incomplete": 1}),
        (["a", "a", "a"], [1, 0, 0], {"pairs": 0, "pairs_incomplete": 1}),
        (["a", "b", "a", "c"], [1, 0, 0, 1], {"pairs": 1, "pairs_incomplete": 2}),
    ],
)
def test_incomplete_pairs_are_counted_and_left_out(pairs, labels, expected):
    result = pair_measures(np.zeros(len(pairs), dtype=int), np.array(labels), pairs)
    assert {name: value for name, value in result.items() if name.startswith("pairs")} == expected
    assert ("pair_benign" in result) == (result.get("pairs", 0) > 0)


@fuzz(functions=drawn_functions())
def test_agrees_with_a_naive_implementation(functions):
    _, predictions, labels, pairs = functions
    outcomes, incomplete = [], 0
    for name in set(pairs) - {""}:
        members = [(label, int(predicted)) for label, predicted, own in zip(labels, predictions, pairs) if own == name]
        if sorted(label for label, _ in members) == [0, 1]:
            outcomes.append((dict(members)[1], dict(members)[0]))
        else:
            incomplete += 1
    expected = {"pairs": len(outcomes)} if outcomes or incomplete else {}
    if incomplete:
        expected["pairs_incomplete"] = incomplete
    kinds = {"correct": (1, 0), "vulnerable": (1, 1), "benign": (0, 0), "reversed": (0, 1)}
    if outcomes:
        expected |= {f"pair_{kind}": outcomes.count(both) / len(outcomes) for kind, both in kinds.items()}
    assert pair_measures(predictions, labels, pairs) == expected
