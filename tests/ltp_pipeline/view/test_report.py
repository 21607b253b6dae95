import pandas as pd
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.view.report import choose_functions, name_of_function


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


@pytest.mark.parametrize(
    ("count", "rows", "message"),
    [
        (4, [1, 7], "--function_index 7: .* 1 to 6$"),
        (4, [0], "--function_index 0: .* 1 to 6$"),
        (0, None, "--num_functions 0: .* 1 or more"),
    ],
)
def test_functions_that_are_not_there(count, rows, message):
    with pytest.raises(UserError, match=message):
        choose_functions(pd.Series([0, 1] * 3), count, rows)


def test_the_name_of_a_function():
    row = pd.Series({"project": "zlib", "path": "a.c", "first_line": 10}, name=1)
    assert name_of_function("data/dev.csv", row) == "dev.csv row 2 (zlib/a.c:10)"
    assert name_of_function("dev.csv", pd.Series({"label": 1}, name=0)) == "dev.csv row 1"
