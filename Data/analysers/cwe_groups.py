"""CWE numbers to VDISC's groups, and Clang's checkers to CWE numbers, by the table in cwe_groups.tsv."""

from __future__ import annotations

import functools
from pathlib import Path

GROUPS = ("CWE-119", "CWE-120", "CWE-469", "CWE-476", "CWE-other")
TABLE = Path(__file__).resolve().parent / "cwe_groups.tsv"


@functools.cache
def table(kind: str) -> dict[str, str]:
    """The lines of one kind: of `group`, a CWE and its group; of `clang`, a checker and its CWE or `-`."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return {key: value for found, key, value, _ in rows if found == kind}


def group_of(cwe: str) -> str:
    """VDISC's group of a CWE, e.g. `CWE-121` -> `CWE-120`; `CWE-other` for every CWE without a line."""
    return table("group").get(cwe, GROUPS[-1])


def groups_of(cwes: tuple[str, ...]) -> tuple[str, ...]:
    """The groups of a finding, in VDISC's order; a finding without a CWE is in `CWE-other`."""
    found = {group_of(cwe) for cwe in cwes} or {GROUPS[-1]}
    return tuple(group for group in GROUPS if group in found)


def clang_cwe(checker: str) -> str | None:
    """The CWE of a checker named without `clang-analyzer-`, or None if its findings are left out."""
    cwe = next(value for beginning, value in table("clang").items() if checker.startswith(beginning))
    return None if cwe == "-" else cwe
