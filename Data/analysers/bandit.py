"""Runs bandit, which searches the syntax tree of a Python file for risky calls."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from Data.analysers.findings import FileFindings, Finding, run_tool
from ltp_pipeline.code.functions import SourceFile


def bandit_findings(files: list[SourceFile]) -> list[FileFindings]:
    """The findings in each file, by line; None for a file that this version of Python cannot parse.

    Raises RuntimeError if bandit fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder, f"{number}.py")) for number in range(len(files))]
        for path, file in zip(paths, files, strict=True):
            Path(path).write_bytes(file.text.encode())
        status, output, errors = run_tool([sys.executable, "-m", "bandit", "-q", "-f", "json", *paths])
    if status not in (0, 1):
        raise RuntimeError(f"bandit ended with status {status}: {errors.strip()[-1000:]}")
    report = json.loads(output)
    findings: list[FileFindings] = [[] for _ in files]
    for error in report["errors"]:
        findings[int(Path(error["filename"]).stem)] = None
    for row in report["results"]:
        cwe = row.get("issue_cwe", {}).get("id")
        of_file = findings[int(Path(row["filename"]).stem)]
        if of_file is not None:
            cwes = (f"CWE-{cwe}",) if cwe else ()
            of_file.append(Finding(row["line_number"], cwes, "bandit", row["test_id"], row["issue_text"]))
    return [None if of_file is None else sorted(set(of_file)) for of_file in findings]
