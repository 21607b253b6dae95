"""What static analysers find in source files. An analyser is a function: files -> for each file its findings."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from Data.read_sources import SourceFile


@dataclass(frozen=True)
class Finding:
    """One finding; `line` counts from 1 in the file, `cwes` are like `CWE-120`."""

    line: int
    cwes: tuple[str, ...]


def flawfinder_findings(files: list[SourceFile], min_level: int) -> list[list[Finding]]:
    """Run flawfinder over the files and return each one's findings of risk `min_level` (0 to 5) and above, by line.

    The files are laid out under numbers, so that no name of theirs reaches the disk or the command line.
    Raises RuntimeError if flawfinder fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        for number, file in enumerate(files):
            Path(folder, f"{number}.c").write_bytes(file.text.encode())
        command = [sys.executable, "-m", "flawfinder", "--csv", f"--minlevel={min_level}", folder]
        environment = {**os.environ, "PYTHONUTF8": "1"}
        run = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"flawfinder ended with status {run.returncode}: {run.stderr.strip()[-1000:]}")
    findings: list[list[Finding]] = [[] for _ in files]
    for row in csv.DictReader(io.StringIO(run.stdout, newline="")):
        cwes = tuple(sorted(set(re.findall(r"CWE-\d+", row["CWEs"]))))
        findings[int(Path(row["File"]).stem)].append(Finding(int(row["Line"]), cwes))
    return [sorted(of_file, key=lambda finding: (finding.line, finding.cwes)) for of_file in findings]
