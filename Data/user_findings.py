"""A user's own findings, from a CSV file: labels for languages without an analyser here, or beside one."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from Data.findings import Finding
from Data.read_sources import SourceFile
from ltp_pipeline.errors import UserError

NAME = "findings_csv"  # as analyser
COLUMNS = ("file", "line", "rule")


def read_findings(path: Path, files: Iterable[SourceFile]) -> dict[tuple[str, str], tuple[Finding, ...]]:
    """Findings by project and path, from columns `file,line,rule` and, if there, `cwe` and `message`.

    `file` is a path inside its project, or `project/path` where that is not clear.
    Raises UserError naming the row for a missing column, a file that is not there, or a line or CWE that is no number.
    """
    if not path.is_file():
        raise UserError(f"--findings_csv: no such file: {path}")
    places: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for file in files:
        places[f"{file.project}/{file.path}"].append((file.project, file.path))
        places[file.path].append((file.project, file.path))
    found: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as opened:
        reader = csv.DictReader(opened)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise UserError(
                f"{path}: no column {', '.join(missing)}; expected file,line,rule and, if known, cwe,message"
            )
        for row in reader:
            place, finding = _finding(row, places, f"{path}:{reader.line_num}")
            found[place].append(finding)
    return {place: tuple(sorted(findings)) for place, findings in found.items()}


def _finding(row: dict[str, str], places: dict[str, list], where: str) -> tuple[tuple[str, str], Finding]:
    named = places.get((row["file"] or "").replace("\\", "/").removeprefix("./"), [])
    if len(named) != 1:
        problem = "is in several projects: write project/path" if named else "is no file of the sources"
        raise UserError(f"{where}: {row['file']!r} {problem}")
    line, cwe = (row["line"] or "").strip(), (row.get("cwe") or "").strip()
    if not line.isdigit() or int(line) < 1:
        raise UserError(f"{where}: line {row['line']!r} is not a number from 1")
    number = re.fullmatch(r"(?:CWE-)?(\d+)", cwe, re.IGNORECASE)
    if cwe and number is None:
        raise UserError(f"{where}: cwe {cwe!r} is neither like CWE-120 nor like 120")
    cwes = (f"CWE-{number[1]}",) if number else ()
    return named[0], Finding(int(line), cwes, NAME, row["rule"] or "", row.get("message") or "")
