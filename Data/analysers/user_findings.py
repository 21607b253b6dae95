"""Reads a user's own findings from a CSV file, which replace or complement those of an analyser."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from Data.analysers.findings import Finding
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.task.labels import as_class, expected_label, shown_label

NAME = "findings_csv"  # used where the name of an analyser is expected
COLUMNS = ("file", "line", "rule")


def read_findings(
    path: Path, files: Iterable[SourceFile], label_map: dict[str, int] | None = None
) -> dict[tuple[str, str], tuple[Finding, ...]]:
    """The findings by project and path, from the columns `file,line,rule` and optionally `cwe,message,label`.

    `file` is a path inside its project, or `project/path` where several projects have that path. A row with label 0
    is not a finding: someone has looked at the line and found no defect.

    `label_map`: the class, 0 or 1, of each name in the column `label`; None: the labels are 0 and 1.
    Raises UserError, which names the row, for a missing column, an unknown file, a line or CWE that is not a number,
    or an unknown label.
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
        needed = (*COLUMNS, "label") if label_map else COLUMNS
        missing = [column for column in needed if column not in (reader.fieldnames or ())]
        if missing:
            raise UserError(
                f"{path}: no column {', '.join(missing)}; expected file,line,rule and optionally cwe,message,label"
            )
        for row in reader:
            where = f"{path}:{reader.line_num}"
            place, finding = _finding(row, places, where)
            label = as_class(row.get("label", 1), label_map if "label" in row else None)
            if label is None:
                raise UserError(f"{where}: the label is {shown_label(row['label'])}; {expected_label(label_map)}")
            if label:
                found[place].append(finding)
    return {place: tuple(sorted(findings)) for place, findings in found.items()}


def _finding(row: dict[str, str], places: dict[str, list], where: str) -> tuple[tuple[str, str], Finding]:
    named = places.get((row["file"] or "").replace("\\", "/").removeprefix("./"), [])
    if len(named) != 1:
        problem = "is in several projects; write project/path" if named else "is not a file of the sources"
        raise UserError(f"{where}: {row['file']!r} {problem}")
    line, cwe = (row["line"] or "").strip(), (row.get("cwe") or "").strip()
    if not line.isdigit() or int(line) < 1:
        raise UserError(f"{where}: line {row['line']!r} is not a number of 1 or more")
    number = re.fullmatch(r"(?:CWE-)?(\d+)", cwe, re.IGNORECASE)
    if cwe and number is None:
        raise UserError(f"{where}: cwe {cwe!r}; expected a number such as CWE-120 or 120")
    cwes = (f"CWE-{number[1]}",) if number else ()
    return named[0], Finding(int(line), cwes, NAME, row["rule"] or "", row.get("message") or "")
