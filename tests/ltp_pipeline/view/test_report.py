import pandas as pd
import pytest

from ltp_pipeline.view.report import choose_functions


@pytest.mark.parametrize(
    ("labels", "count", "rows", "chosen"),
    [
        ([0, 0, 1, 1, 1, 0], 4, None, [2, 3, 0, 1]),
        ([0, 0, 1, 1, 1, 0], 3, None, [2, 3, 0]),
        ([0, 0, 1, 1, 1, 0], 1, None, [2]),
        ([0, 0, 0, 1], 4, None, [3, 0, 1, 2]),
        ([1, 1, 1, 0], 4, None, [0, 1, 2, 3]),
        ([0, 0], 4, None, [0, 1]),
        ([0, 2, 1, 0], 3, None, [0, 1, 2]),
        ([0, 1, 0], 4, [3, 1], [2, 0]),
    ],
)
def test_the_first_of_each_label_or_the_given_rows_are_chosen(labels, count, rows, chosen):
    assert choose_functions(pd.Series(labels), count, rows) == chosen
