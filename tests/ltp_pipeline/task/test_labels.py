"""Labels of which an item has several at once."""

import numpy as np
import pytest

from ltp_pipeline.task.labels import as_groups
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
