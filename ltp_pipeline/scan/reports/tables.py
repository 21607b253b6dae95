"""Writes findings for scripts: as JSON with all that a scan knows, and as CSV with a row for each finding."""

from __future__ import annotations

import csv
import io
import json
from math import isfinite
from pathlib import Path
from typing import Any

from ltp_pipeline.base.files import write_text
from ltp_pipeline.scan.finding import Finding, ScanReport

# What may differ between two scans that find the same: whatever the cache and the machine decide
OF_THIS_RUN = ("seconds", "cached", "tokens", "relative_flops")
LISTS = ("findings", "suppressed", "skipped")
COLUMNS = (
    *("path", "first_line", "last_line", "function", "language", "label", "probability", "lines", "tokens"),
    *("kept_share", "fingerprint", "is_new"),
)
LINES = 10  # that a row of the CSV file names


def write_json(report: ScanReport, path: str | Path) -> None:
    """Writes the whole report, an item of its lists in each line. Only `this_run` depends on the time and the cache.

    Raises UserError if the file cannot be written.
    """
    run = {name: getattr(report, name) for name in OF_THIS_RUN} | {"seconds": round(report.seconds, 3)}
    head = {name: value for name, value in vars(report).items() if name not in (*OF_THIS_RUN, *LISTS, "version")}
    head = {"version": report.version, **head, "this_run": run}
    lists = {
        "findings": [_as_object(finding) for finding in report.findings],
        "suppressed": [{"by": hidden.by, "finding": _as_object(hidden.finding)} for hidden in report.suppressed],
        "skipped": list(map(vars, report.skipped)),
    }
    parts = [f"{_dump(name)}: {_dump(value)}" for name, value in head.items()]
    parts += [f"{_dump(name)}: [\n{_lines(items)}]" for name, items in lists.items()]
    write_text(path, "{" + ",\n".join(parts) + "}\n")


def write_csv(report: ScanReport, path: str | Path) -> None:
    """Writes a row for each finding that is not suppressed, with the columns `COLUMNS`; texts are quoted.

    Raises UserError if the file cannot be written.
    """
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(COLUMNS)
    for finding in report.findings:
        row = _as_object(finding)
        for_it = [str(line) for line, score in row["lines"] if score > 0]
        row["lines"] = " ".join(for_it[:LINES])
        row["kept_share"] = "" if finding.kept is None else round(finding.kept.share, 4)
        writer.writerow([row[column] for column in COLUMNS])
    write_text(path, out.getvalue())


def _as_object(finding: Finding) -> dict[str, Any]:
    unit, kept = finding.unit, finding.kept
    return {
        "path": unit.path,
        "first_line": unit.first_line,
        "last_line": unit.last_line,
        "function": unit.name,
        "language": unit.language,
        "label": finding.label,
        "probability": round(finding.probability, 6),
        "fingerprint": finding.fingerprint,
        "is_new": finding.is_new,
        "tokens": finding.tokens,
        "lines": [(line, float(f"{score:.6g}")) for line, score in finding.lines if isfinite(score)],
        "kept": None if kept is None else vars(kept),
        "text": unit.text,
    }


def _lines(items: list[dict[str, Any]]) -> str:
    return ",\n".join(map(_dump, items))


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
