import numpy as np
import pandas as pd
import pytest

from ltp_pipeline.files.layouts import Layout, own_layout
from ltp_pipeline.view.report import choose_functions, name_of_function, origin_of


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
        ([-1, -1, -1], 2, None, [0, 1]),
    ],
)
def test_the_first_of_each_label_or_the_given_rows_are_chosen(labels, count, rows, chosen):
    assert choose_functions(pd.Series(labels), count, rows) == chosen


def test_columns_of_other_kinds_are_no_place():
    row = pd.Series({"project": np.array(["a", "b"]), "path": 3.5, "first_line": [1]}, dtype=object, name=6)
    assert name_of_function("x/a.csv", row, own_layout(row.index, "code", None)) == "a.csv row 7"
    assert name_of_function("x/a.csv", row, None) == "a.csv row 7"


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"idx": 4711, "cwe": ["CWE-787", "CWE-20"], "project": "zlib"}, "id 4711, zlib, CWE-787 CWE-20"),
        ({"idx": 4711.0, "file": "a.c", "line": np.int64(7)}, "id 4711, a.c:7"),
        ({"idx": "x", "cwe": "CWE-1", "project": "p", "file": "a.c", "line": "7"}, "id x, p/a.c:7, CWE-1"),
        ({"idx": float("nan"), "cwe": [], "project": None, "file": " ", "line": 7}, ""),
    ],
)
def test_a_function_is_named_by_what_the_layout_of_its_file_knows(values, name):
    layout = Layout("", "func", None, "idx", "cwe", "project", "file", "line")
    row = pd.Series(values, dtype=object, name=0)
    assert name_of_function("a.csv", row, layout) == "a.csv row 1" + (f" ({name})" if name else "")
    assert set(origin_of(row, layout)) <= {"id", "cwe", "project", "path", "first_line"}
