"""Reads a user's own findings from a CSV file, which replace or complement those of an analyser."""

from __future__ import annotations

import csv
import io
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from Data.analysers.findings import Finding
from Data.sources.file_report import FileReport, Place
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.text_encoding import decode_text
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.files.file_formats import FIELD_LIMIT, SHOWN
from ltp_pipeline.task.labels import as_class, expected_label, shown_label

NAME = "findings_csv"  # used where the name of an analyser is expected
COLUMNS = ("file", "line", "rule")
_LINE = re.compile(r"0*[1-9][0-9]{0,8}")
_CWE = re.compile(r"(?:CWE-)?0*([0-9]{1,6})", re.IGNORECASE)


@dataclass
class _Files:
    """The files that findings may name: each name is a path inside a project, or project/path."""

    places: dict[str, set[Place]]
    left_out: dict[str, str]  # name of a file that is not used -> why


def read_findings(
    path: Path,
    files: Iterable[SourceFile],
    label_map: dict[str, int] | None = None,
    report: FileReport | None = None,
) -> dict[Place, tuple[Finding, ...]]:
    """The findings by project and path, from the columns `file,line,rule` and optionally `cwe,message,label`.

    `file` is a path inside its project, or `project/path` where several projects have that path. A row with label 0
    is not a finding: someone has looked at the line and found no defect. Findings of a file with the same content as
    an earlier one are findings of the earlier one.

    `label_map`: the class, 0 or 1, of each name in the column `label`; None: the labels are 0 and 1.
    `report`: what happened to the files of the sources.
    Raises UserError, which names the row, for a missing column, a file that is unknown or left out, a line that is not
    a number, a CWE that is not a number, or an unknown label.
    """
    if not path.is_file():
        raise UserError(f"--findings_csv: {'this is a folder' if path.is_dir() else 'no such file'}: {path}")
    known = _known_files(files, FileReport() if report is None else report)
    found: dict[Place, list[Finding]] = defaultdict(list)
    left_out: list[str] = []
    for where, row in _rows(path, needs_label=bool(label_map)):
        label = as_class(row.get("label", 1), label_map if "label" in row else None)
        if label is None:
            raise UserError(f"{where}: the label is {shown_label(row['label'])}; {expected_label(label_map)}")
        named = (row["file"] or "").replace("\\", "/").removeprefix("./")
        if named not in known.places and named in known.left_out:
            left_out.append(f"{where}: {row['file']!r} is left out: {known.left_out[named]}")
            continue
        place, finding = _finding(row, named, known, where)
        if label:
            found[place].append(finding)
    if left_out:
        more = f"\n  and {len(left_out) - SHOWN} more rows" if len(left_out) > SHOWN else ""
        advice = "expected rows that name files of the data set: remove the others"
        raise UserError("\n  ".join(left_out[:SHOWN]) + f"{more}; {advice}")
    return {place: tuple(sorted(findings)) for place, findings in found.items()}


def findings_outside(
    given: Mapping[Place, Iterable[Finding]], functions: Iterable[tuple[str, str, int, int]]
) -> list[str]:
    """The given findings that are in no function, as `project/path:line`.

    `functions`: project, path, first and last line of each function; those of a file in order.
    """
    lines: dict[Place, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for project, path, first, last in functions:
        lines[project, path][0].append(first)
        lines[project, path][1].append(last)
    outside = []
    for place, findings in given.items():
        firsts, lasts = lines[place]
        for finding in findings:
            before = bisect_right(firsts, finding.line)  # functions that begin at or before the finding
            if not before or lasts[before - 1] < finding.line:
                outside.append(f"{'/'.join(place)}:{finding.line}")
    return outside


def _known_files(files: Iterable[SourceFile], report: FileReport) -> _Files:
    places: dict[str, set[Place]] = defaultdict(set)
    for file in files:
        for name in (file.path, f"{file.project}/{file.path}"):
            places[name].add((file.project, file.path))
    for (project, inner), used in report.same_as.items():
        for name in (inner, f"{project}/{inner}"):
            places[name].add(used)
    return _Files(dict(places), report.reasons())


def _rows(path: Path, needs_label: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """The place (`file:line`) and the fields of each row. Raises UserError for a missing column or malformed CSV."""
    csv.field_size_limit(FIELD_LIMIT)
    text = decode_text(path.read_bytes())[0].replace("\0", "")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        needed = (*COLUMNS, "label") if needs_label else COLUMNS
        missing = [column for column in needed if column not in (reader.fieldnames or ())]
        if missing:
            raise UserError(
                f"{path}: no column {', '.join(missing)}; expected file,line,rule and optionally cwe,message,label"
            )
        for row in reader:
            yield f"{path}:{reader.line_num}", row
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: not well-formed CSV: {error}") from None


def _finding(row: dict[str, str], named: str, known: _Files, where: str) -> tuple[Place, Finding]:
    places = known.places.get(named, set())
    if len(places) != 1:
        hidden = any(part.startswith(".") for part in named.split("/"))
        unknown = "is hidden, so it is left out" if hidden else "is not a file of the sources"
        raise UserError(
            f"{where}: {row['file']!r} {'is in several projects; write project/path' if places else unknown}"
        )
    (place,) = places
    line, cwe = (row["line"] or "").strip(), (row.get("cwe") or "").strip()
    if not _LINE.fullmatch(line):
        raise UserError(f"{where}: line {row['line']!r} is not a number of 1 or more")
    number = _CWE.fullmatch(cwe)
    if cwe and number is None:
        raise UserError(f"{where}: cwe {cwe!r}; expected a number such as CWE-120 or 120")
    cwes = (f"CWE-{number[1]}",) if number else ()
    return place, Finding(int(line), cwes, NAME, row["rule"] or "", row.get("message") or "")
