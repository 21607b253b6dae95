"""What a static analyser says about a file."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from Data.analysers.cwe_groups import groups_of


@dataclass(frozen=True, order=True)
class Finding:
    """One finding; `line` counts from 1, `cwes` are like `CWE-120`, `rule` is the analyser's own name for it."""

    line: int
    cwes: tuple[str, ...]
    analyzer: str
    rule: str = ""
    message: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        return groups_of(self.cwes)


FileFindings = list[Finding] | None  # None: the analyser could not parse the file
_LINE_MARK = re.compile(r'^[ \t]*#[ \t]*(?:line\b|\d+[ \t]+").*$', re.MULTILINE)


def without_line_marks(text: str) -> str:
    """The text with `#line 7 "a.y"` and `# 7 "a.y"` blank: after those, analysers count the lines of another file."""
    return _LINE_MARK.sub("", text)


def run_tool(command: Sequence[str], timeout: float | None = None, env: Mapping[str, str] | None = None) -> tuple:
    """Run an analyser: (exit status or None after `timeout` seconds, standard output, standard error)."""
    try:
        run = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=timeout, env=env, check=False
        )
    except subprocess.TimeoutExpired:
        return None, "", f"more than {timeout} s"
    return run.returncode, run.stdout, run.stderr
