"""Measures by length."""

import numpy as np

from ltp_pipeline.measures.lengths import by_length


def test_each_group_that_has_functions_is_measured():
    lengths, labels = np.array([3000, 512, 513, 1, 1024, 4000]), np.array([1, 0, 1, 1, 0, 0])
    rows = by_length(lengths, labels, lambda places: {"places": places.tolist()})
    assert rows == [
        {"tokens": "up to 512", "functions": 2, "positives": 1, "places": [1, 3]},
        {"tokens": "513 to 1024", "functions": 2, "positives": 1, "places": [2, 4]},
        {"tokens": "above 2048", "functions": 2, "positives": 1, "places": [0, 5]},
    ]


def test_a_function_with_several_labels_is_positive_if_it_has_one():
    rows = by_length(np.array([1025, 2048, 2048]), np.array([[0, 0], [1, 1], [0, 1]]), lambda places: {})
    assert rows == [{"tokens": "1025 to 2048", "functions": 3, "positives": 2}]


def test_without_functions_there_is_no_group():
    assert by_length(np.array([]), np.array([]), lambda places: {}) == []
