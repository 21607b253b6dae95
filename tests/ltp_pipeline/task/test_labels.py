"""Labels of which an item has several at once."""

import numpy as np
import pytest

from ltp_pipeline.task.labels import as_classes, as_groups
from ltp_pipeline.task.tasks import VDISC


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([0, 1, 0, 0, 1], [0, 1, 0, 0, 1]),
        ("[true, false, 0, 0, 1]", [1, 0, 0, 0, 1]),
        (np.array([0, 0, 0, 0, 1], dtype=np.int8), [0, 0, 0, 0, 1]),
        ("CWE-120 CWE-other", [0, 1, 0, 0, 1]),
        (["CWE-119"], [1, 0, 0, 0, 0]),
        ("", [0] * 5),
        ([], [0] * 5),
        ([0, 1], None),
        ("CWE-20", None),
        ([[1]], None),
        (1, None),
        (float("nan"), None),
    ],
)
def test_what_a_label_of_several_groups_may_be(value, expected):
    assert as_groups(value, VDISC.labels) == expected


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["vulnerable", " Benign", "VULNERABLE"], [1, 0, 1]),
        (["non-vul", "vul"], [0, 1]),
        (["Not Vulnerable", "vulnerable"], [0, 1]),
        (["bad", "good"], [1, 0]),
        (["buggy", "fixed"], [1, 0]),
        (["malware", "benign"], [1, 0]),
        (["yes", "No"], [1, 0]),
        (["positive", "negative"], [1, 0]),
        (["defective", "clean", "maybe", "", None], [1, 0, None, None, None]),
        (["clean", "clean"], [0, 0]),
        (["1", "bad", 0], [1, None, 0]),  # numbers: a word among them is no label
        (["maybe", "perhaps"], [None, None]),
        ([["bad"], {"bad": 1}], [None, None]),
        ([], []),
    ],
)
def test_words_that_name_a_class(values, classes):
    assert as_classes(values) == classes


@pytest.mark.parametrize(
    "values", [["good", "fixed"], ["bad", "good", "Vulnerable"], ["yes", "clean"], ["positive", "no"], ["vul", "vuln"]]
)
def test_words_that_may_contradict_are_an_error(values):
    with pytest.raises(ValueError, match=f"'{values[0]}' and '{values[-1]}'"):
        as_classes(values)
    assert as_classes(values, {value: i % 2 for i, value in enumerate(values)}) == [i % 2 for i in range(len(values))]
