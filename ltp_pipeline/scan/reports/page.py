"""Writes the HTML report of a scan: one file that opens without a network, with findings to sort, filter and read."""

from __future__ import annotations

import json
from collections import Counter
from math import isfinite
from pathlib import Path

import numpy as np

from ltp_pipeline.base.files import write_text
from ltp_pipeline.code.languages import LANGUAGES
from ltp_pipeline.scan.finding import CodeUnit, Finding, ScanReport, SkippedFile
from ltp_pipeline.view.page.code_runs import code_runs
from ltp_pipeline.view.page.document import Column, Document, Function, Table, render

COLUMNS = [
    Column("Probability", "probability", "least"),
    Column("Function"),
    Column("Place", cut_begin=True),
    Column("Class", filter="choice"),
    Column("Lines", "number", "range"),
    Column("Tokens", "number"),
]
NEW, KNOWN = "new", "in the baseline"
MAX_ROWS = 1_000  # of a table below the list: a page with 100,000 opens slowly


def write_page(report: ScanReport, path: str | Path) -> None:
    """Writes the report, whole or not at all. Raises UserError if the file cannot be written."""
    columns = _columns(report)
    document = Document(
        heading="Findings",
        title=f"model: {report.model}",
        columns=columns,
        functions=[_function(finding, columns) for finding in report.findings],
        num_layers=max((finding.kept.num_layers for finding in report.findings if finding.kept), default=0),
        note=report.ranking_note or None,
        figures=_figures(report),
        empty=_nothing_found(report),
        tables=_tables(report),
    )
    write_text(path, render(document))


def _columns(report: ScanReport) -> list[Column]:
    """Without the class if there is one only. With a baseline, a column more; new findings are shown first."""
    has_classes = len({finding.label for finding in report.findings}) > 1
    columns = [column for column in COLUMNS if has_classes or column.title != "Class"]
    has_new = any(finding.is_new for finding in report.findings)
    baseline = Column("Baseline", filter="choice", initial=NEW if has_new else "")
    return [*columns, baseline] if report.baseline else columns


def _function(finding: Finding, columns: list[Column]) -> Function:
    unit, kept = finding.unit, finding.kept
    spans: list[tuple[int, int, int]] = []
    alive: list[int] = []
    if kept is not None:
        spans = sorted(zip(kept.begins, kept.ends, kept.layers_survived), key=lambda span: span[2])
        survived = np.array(kept.layers_survived)
        alive = [int((survived >= layer).sum()) for layer in range(kept.num_layers + 1)]
    code, runs = code_runs(unit.text, spans, LANGUAGES.get(unit.language, LANGUAGES["c"]))
    cells = {
        "Probability": finding.probability,
        "Function": _name(unit),
        "Place": f"{unit.path}:{unit.first_line}",
        "Class": finding.label,
        "Lines": unit.last_line - unit.first_line + 1,
        "Tokens": finding.tokens,
        "Baseline": NEW if finding.is_new else KNOWN,
    }
    return Function(
        name=_name(unit),
        verdict=f"{finding.label}, probability {finding.probability:.3f}",
        cells=[cells[column.title] for column in columns],
        code=code,
        runs=runs,
        facts=[_place(unit), f"fingerprint {finding.fingerprint}"],
        first_line=unit.first_line,
        lines=[(line, float(f"{score:.3g}")) for line, score in finding.lines if isfinite(score)],
        alive=alive,
    )


def _name(unit: CodeUnit) -> str:
    return unit.name or unit.path.rpartition("/")[2]


def _place(unit: CodeUnit) -> str:
    return f"{unit.path}, lines {unit.first_line} to {unit.last_line}"


def _nothing_found(report: ScanReport) -> str:
    if not report.units:
        return "Nothing was scanned."
    others = "the other " if report.suppressed else ""
    limit = "" if report.threshold is None else f" has a probability above {report.threshold:g}"
    return f"No finding: none of {others}{report.units - len(report.suppressed):,} functions{limit}."


def _figures(report: ScanReport) -> list[tuple[str, str]]:
    new = sum(finding.is_new for finding in report.findings)
    errors = sum(skipped.is_error for skipped in report.skipped)
    rate = ""
    if report.units and report.seconds:
        speed = report.units / report.seconds
        rate = f" ({speed:,.0f} functions/s)" if speed >= 10 else f" ({speed:.2g} functions/s)"
    flops = "" if report.relative_flops is None else f"{report.relative_flops:.2f}"
    figures = [
        ("findings", f"{len(report.findings):,}"),
        ("new", f"{new:,}" if report.baseline else ""),
        ("threshold", "" if report.threshold is None else f"{report.threshold:g}"),
        ("functions", f"{report.units:,}"),
        ("files", f"{report.files:,}"),
        ("could not be scanned", f"{errors:,}" if errors else ""),
        ("left out", f"{len(report.skipped) - errors:,}" if len(report.skipped) > errors else ""),
        ("suppressed", f"{len(report.suppressed):,}" if report.suppressed else ""),
        ("tokens read", f"{report.tokens:,}"),
        ("relative FLOPs", flops),
        ("from the cache", f"{report.cached:,}" if report.cached else ""),
        ("time", f"{report.seconds:,.1f} s{rate}"),
    ]
    return [(name, value) for name, value in figures if value]


def _tables(report: ScanReport) -> list[Table]:
    errors = [skipped for skipped in report.skipped if skipped.is_error]
    others = [skipped for skipped in report.skipped if not skipped.is_error]
    tables = [
        _skipped("Could not be scanned", errors, is_open=True),
        _skipped("Left out", others),
        Table(
            "Suppressed",
            ["function", "place", "class", "probability", "suppressed by"],
            [
                [_name(one.finding.unit), _place(one.finding.unit), one.finding.label, one.finding.probability, one.by]
                for one in report.suppressed
            ],
        ),
    ]
    settings = {"model": report.model, "model_hash": report.model_hash, **report.settings}
    rows = [
        [name, value if isinstance(value, str) else json.dumps(value, default=str)] for name, value in settings.items()
    ]
    return [table for table in tables if table.rows] + [Table("Settings", ["name", "value"], rows)]


def _skipped(title: str, skipped: list[SkippedFile], is_open: bool = False) -> Table:
    """A row for each file, or part of one, up to `MAX_ROWS`; the note counts all by their reason."""
    counts = Counter(one.reason for one in skipped).most_common()
    note = "; ".join(f"{reason}: {count:,}" for reason, count in counts)
    if len(skipped) > MAX_ROWS:
        note += f". Here are the first {MAX_ROWS:,} of {len(skipped):,}: --json lists all"
    rows = [[one.path, one.first_line or "", one.reason] for one in skipped[:MAX_ROWS]]
    return Table(title, ["file", "line", "reason"], rows, note, is_open)
