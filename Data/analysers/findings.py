"""What a static analyser reports about a file: findings by line, with their CWEs and VDISC's groups of CWEs."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from ltp_pipeline.task.tasks import VDISC

OTHER = VDISC.labels[-1]  # the group of a CWE that has no group of its own
TABLE = Path(__file__).resolve().parent / "cwe_groups.tsv"
_LINE_MARK = re.compile(r'^[ \t]*#[ \t]*(?:line\b|\d+[ \t]+").*$', re.MULTILINE)


@dataclass(frozen=True, order=True)
class Finding:
    """One finding: `line` counts from 1, `cwes` are like `CWE-120`, `rule` is the analyser's own name for it."""

    line: int
    cwes: tuple[str, ...]
    analyzer: str
    rule: str = ""
    message: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        return groups_of(self.cwes)


@dataclass(frozen=True)
class Failure:
    """An analyser crashed on a file, took too long or wrote what cannot be read."""

    reason: str


FileFindings = list[Finding] | Failure | None  # None: the analyser cannot parse the file


@functools.cache
def cwe_table(kind: str) -> dict[str, str]:
    """The lines of cwe_groups.tsv of one kind: `group` maps a CWE to its group, `clang` a checker to a CWE or `-`."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return {key: value for found, key, value, _ in rows if found == kind}


def group_of(cwe: str) -> str:
    """VDISC's group of a CWE, e.g. `CWE-121` -> `CWE-120`; `CWE-other` for a CWE that is not in the table."""
    return cwe_table("group").get(cwe, OTHER)


def groups_of(cwes: tuple[str, ...]) -> tuple[str, ...]:
    """The groups of a finding, in VDISC's order. A finding without a CWE is in `CWE-other`."""
    found = {group_of(cwe) for cwe in cwes} or {OTHER}
    return tuple(group for group in VDISC.labels if group in found)


def without_line_marks(text: str) -> str:
    """The text with lines such as `#line 7 "a.y"` and `# 7 "a.y"` replaced by empty lines.

    Otherwise analysers would report line numbers of the file that such a line names.
    """
    return _LINE_MARK.sub("", text)
