"""Runs bandit, which searches the syntax tree of a Python file for risky calls."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

from Data.analysers.findings import FileFindings, Finding
from Data.analysers.run_tool import AnalyserFailed, run_tool, time_limit
from ltp_pipeline.code.functions import SourceFile

_NAMED_ENCODING = re.compile(r"\A((?:[ \t\f]*(?:#[^\n]*)?\n)?[ \t\f]*#[^\n]*?coding[:=][ \t]*)[-\w.]+")  # PEP 263


def bandit_findings(files: list[SourceFile]) -> list[FileFindings]:
    """The findings in each file, by line; None for a file that this version of Python cannot parse.

    Raises AnalyserFailed if bandit fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder, f"{number}.py")) for number in range(len(files))]
        for path, file in zip(paths, files, strict=True):
            Path(path).write_bytes(_NAMED_ENCODING.sub(r"\1utf-8", file.text, count=1).encode())
        command = [sys.executable, "-m", "bandit", "-q", "-f", "json", *paths]
        output, _ = run_tool(command, time_limit(files), ok=(0, 1))
    try:
        return _findings(json.loads(output), len(files))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise AnalyserFailed(f"wrote JSON that cannot be read: {error}") from None


def _findings(report: dict, count: int) -> list[FileFindings]:
    findings: list[list[Finding] | None] = [[] for _ in range(count)]
    for error in report["errors"]:
        findings[int(Path(error["filename"]).stem)] = None
    for row in report["results"]:
        cwe = row.get("issue_cwe", {}).get("id")
        of_file = findings[int(Path(row["filename"]).stem)]
        if of_file is not None:
            cwes = (f"CWE-{cwe}",) if cwe else ()
            of_file.append(Finding(row["line_number"], cwes, "bandit", row["test_id"], row["issue_text"]))
    return [None if of_file is None else sorted(set(of_file)) for of_file in findings]
