"""VDISC's groups of CWEs."""

from Data.analysers.clang import clang_cwe
from Data.analysers.findings import group_of, groups_of


def test_groups():
    cwes = ("CWE-122", "CWE-788", "CWE-690", "CWE-469", "CWE-20")
    assert [*map(group_of, cwes)] == ["CWE-120", "CWE-119", "CWE-476", "CWE-469", "CWE-other"]
    assert groups_of(("CWE-120", "CWE-119")) == ("CWE-119", "CWE-120")
    assert groups_of(()) == ("CWE-other",)


def test_cwes_of_clangs_checkers():
    assert clang_cwe("core.NullDereference") == "CWE-476"
    assert clang_cwe("deadcode.DeadStores") is None
    assert clang_cwe("some.NewChecker") == "CWE-710"
