from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from ltp_pipeline.view.encode import FunctionTokens
from ltp_pipeline.view.kept_tokens import PrunedFunction
from ltp_pipeline.view.report import choose_functions, name_of_function
from ltp_pipeline.view.trace import trace_function


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


def test_columns_of_other_kinds_are_no_place():
    row = pd.Series({"project": np.array(["a", "b"]), "path": 3.5, "first_line": [1]}, dtype=object, name=6)
    assert name_of_function("x/a.csv", row) == "a.csv row 7"


def test_a_finding_line_of_thousands_of_digits_is_no_line():
    row = pd.Series({"label": 0, "finding_lines": "2 " + "9" * 5000 + " 1 77"}, dtype=object, name=6)
    model = SimpleNamespace(thresholds=lambda: torch.zeros(1), config=SimpleNamespace(decision_threshold=None))
    tokens = FunctionTokens(np.array([5]), np.array([[0, 1]]), np.array([True]))
    pruned = PrunedFunction(np.ones((1, 1), bool), np.ones((1, 1)), np.zeros(2, np.float32))
    tokenizer = SimpleNamespace(convert_ids_to_tokens=lambda ids: ["a"])
    assert trace_function("n", "a\nb\n", row, tokens, pruned, model, tokenizer).finding_lines == (1, 2)
