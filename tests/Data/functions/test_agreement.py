"""Agreement between analysers."""

import pytest

from Data.analysers.findings import Finding
from Data.functions.agreement import agreement, cohens_kappa
from Data.functions.labelling import LabelledFunction
from ltp_pipeline.code.functions import Function


def function(finders, checked=("a", "b")):
    findings = tuple(Finding(1, ("CWE-121",), name) for name in finders)
    return LabelledFunction(Function("p", "f", 1, ""), b"", 1, findings, checked)


def test_agreement():
    functions = [function("ab"), function("a"), function(""), function(""), function("a", checked=("a",))]
    found = agreement(functions, ["a", "b"])
    groups = {"CWE-119": 0, "CWE-469": 0, "CWE-476": 0, "CWE-other": 0}
    assert found["analyzers"] == [
        {"analyzer": "a", "checked": 5, "positive": 3, "CWE-120": 3, **groups},
        {"analyzer": "b", "checked": 4, "positive": 1, "CWE-120": 1, **groups},
    ]
    cells = {"functions": 4, "both": 1, "only_first": 1, "only_second": 0, "neither": 2, "kappa": 0.5}
    assert found["pairs"] == [{"pair": "a / b", **cells}]


@pytest.mark.parametrize("cells, kappa", [((20, 5, 10, 15), 0.4), ((0, 0, 0, 9), None), ((0, 0, 0, 0), None)])
def test_cohens_kappa(cells, kappa):
    both, only_first, only_second, neither = cells
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    assert cohens_kappa(first, second) == kappa
