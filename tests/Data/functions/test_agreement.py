"""Agreement between analysers, and the groups it is told by."""

import pytest

from Data.analysers.cwe_groups import clang_cwe, group_of, groups_of
from Data.analysers.findings import Finding
from Data.functions.agreement import agreement, cohens_kappa
from Data.functions.labelling import LabelledFunction
from ltp_pipeline.code.functions import Function


def function(finders, checked=("a", "b")):
    findings = tuple(Finding(1, ("CWE-121",), name) for name in finders)
    return LabelledFunction(Function("p", "f", 1, ""), "", 1, findings, checked)


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
    assert cohens_kappa(*cells) == kappa


def test_groups():
    assert [group_of(cwe) for cwe in ("CWE-122", "CWE-788", "CWE-690", "CWE-469", "CWE-20")] == [
        "CWE-120", "CWE-119", "CWE-476", "CWE-469", "CWE-other"]  # fmt: skip
    assert groups_of(("CWE-120", "CWE-119")) == ("CWE-119", "CWE-120")
    assert groups_of(()) == ("CWE-other",)
    assert clang_cwe("core.NullDereference") == "CWE-476"
    assert clang_cwe("deadcode.DeadStores") is None
    assert clang_cwe("some.NewChecker") == "CWE-710"
