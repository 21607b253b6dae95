"""Runs flawfinder, which searches a C or C++ file for calls known to be risky. The file need not parse."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
import tempfile
from pathlib import Path

from Data.analysers.findings import FileFindings, Finding, run_tool
from ltp_pipeline.code.functions import SourceFile


def flawfinder_findings(files: list[SourceFile], min_level: int) -> list[FileFindings]:
    """The findings in each file with a risk level of at least `min_level` (0 to 5), by line.

    The files on disk are named by numbers, so that a name from an archive is never used as a path or argument.
    Raises RuntimeError if flawfinder fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        for number, file in enumerate(files):
            Path(folder, f"{number}.c").write_bytes(file.text.encode())
        command = [sys.executable, "-m", "flawfinder", "--csv", f"--minlevel={min_level}", folder]
        status, output, errors = run_tool(command, env={**os.environ, "PYTHONUTF8": "1"})
    if status != 0:
        raise RuntimeError(f"flawfinder ended with status {status}: {errors.strip()[-1000:]}")
    findings: list[list[Finding]] = [[] for _ in files]
    for row in csv.DictReader(io.StringIO(output, newline="")):
        cwes = tuple(sorted(set(re.findall(r"CWE-\d+", row["CWEs"]))))
        found = Finding(int(row["Line"]), cwes, "flawfinder", row["Name"], row["Warning"])
        findings[int(Path(row["File"]).stem)].append(found)
    return [sorted(of_file) for of_file in findings]
