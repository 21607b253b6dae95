"""Scans files and folders: finds functions, classifies them, and explains the findings."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ltp_pipeline.base.errors import printable
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.scan.detection.cache import ResultCache
from ltp_pipeline.scan.detection.detector import Detector
from ltp_pipeline.scan.detection.prepare import Window, in_background, windows
from ltp_pipeline.scan.detection.workers import Workers
from ltp_pipeline.scan.finding import CodeUnit, Finding, KeptTokens, ScanReport, Suppressed
from ltp_pipeline.scan.reports.baseline import mark_new, read_baseline
from ltp_pipeline.scan.settings import ScanSettings
from ltp_pipeline.scan.sources.changed import changed_since
from ltp_pipeline.scan.sources.paths import find_files
from ltp_pipeline.scan.sources.suppressions import Suppressions, read_suppressions

DIGITS = 6  # of probabilities
EXPLAINED_AT_ONCE = 256  # findings
# The settings that decide what is found; the others only say how the scan runs
DECIDING = (
    *("include", "exclude", "no_gitignore", "granularity", "changed_since"),
    *("threshold", "top", "truncation", "line_scores"),
)


def scan(paths: str | Path | Sequence[str | Path], model_name_or_path: str | Path, **settings: Any) -> ScanReport:
    """Scans files and folders with a checkpoint.

    Args:
        paths: files and folders, or one of them.
        model_name_or_path: folder or hub name of a classifier of functions.
        settings: fields of [`ScanSettings`], which have the names of the flags of ltp_scan.py.

    Raises UserError if a path, the checkpoint or a setting cannot be used.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else paths
    return run_scan(list(map(str, paths)), str(model_name_or_path), ScanSettings(**settings))


def run_scan(paths: Sequence[str], model_name_or_path: str, settings: ScanSettings) -> ScanReport:
    """As [`scan`]."""
    start = time.monotonic()
    suppressions = read_suppressions(settings.suppressions)
    baseline = None if settings.baseline is None else read_baseline(settings.baseline)
    note = _no_note if settings.quiet else _note
    with ResultCache(settings.cache, note) as cache, Workers(settings.workers) as workers:
        detector = Detector(model_name_or_path, settings, cache, workers)
        files, skipped = find_files(paths, settings.include, settings.exclude, not settings.no_gitignore)
        if not files:
            note(f"no file to scan in {', '.join(map(printable, paths))}; are the paths and --include right?")
        wanted = _all
        if settings.changed_since is not None:
            changed = changed_since(settings.changed_since, files)
            files, wanted = changed.files(files), changed.touches
        report = _empty_report(detector, settings)
        report.files, report.skipped = len(files), list(skipped)
        prepared = detector.prepared(windows(files, workers, settings.granularity, wanted, detector.key))
        with closing(in_background(prepared) if settings.workers else prepared) as prepared:
            chosen = _classified(prepared, detector, settings, report, suppressions)
        _explain(chosen, detector, settings, report)
    if baseline is not None:
        mark_new(report, baseline, settings.baseline)
    report.skipped.sort(key=lambda one: (one.path, one.first_line or 0))
    report.seconds = round(time.monotonic() - start, 3)
    return report


def _empty_report(detector: Detector, settings: ScanSettings) -> ScanReport:
    given = asdict(settings)
    deciding = {name: given[name] for name in DECIDING} | {"max_length": detector.max_length, "dtype": detector.dtype}
    return ScanReport(
        findings=[],
        skipped=[],
        suppressed=[],
        model=detector.path,
        model_hash=detector.model_hash,
        threshold=detector.threshold,
        settings={**deciding, "include": list(settings.include), "exclude": list(settings.exclude)},
        ranking_note=detector.checkpoint.ranking_note,
    )


def _classified(
    prepared: Iterator[Window],
    detector: Detector,
    settings: ScanSettings,
    report: ScanReport,
    suppressions: Suppressions,
) -> list[tuple[Finding, int]]:
    """The findings with the indices of their labels, in their order. Adds to the report the counts of all units and
    the suppressed findings: with `top` those above the last finding, which do not count.
    """
    chosen: list[tuple[Finding, int]] = []
    executed = unpruned = 0
    with progress_bar(desc="scanning", unit=" functions", disable=settings.quiet) as bar:
        if report.files and detector.is_new:
            detector.load()  # while the first files are read
        for window in prepared:
            report.skipped += window.skipped
            results, cached = detector.results(window, bar.update)
            report.cached += cached
            for unit, name, result in zip(window.units, window.names, results, strict=True):
                report.units += 1
                report.tokens += result.read
                executed, unpruned = executed + result.executed, unpruned + result.unpruned
                if detector.threshold is None or result.probability > detector.threshold:
                    probability = round(result.probability, DIGITS)
                    label = detector.checkpoint.labels[result.label]
                    finding = Finding(unit, probability, label, name, tokens=result.tokens)
                    if by := suppressions.hidden_by(finding):
                        report.suppressed.append(Suppressed(finding, by))
                    else:
                        chosen.append((finding, result.label))
            chosen.sort(key=lambda one: _order(one[0]))
            if settings.top is not None and len(chosen) >= settings.top:
                del chosen[settings.top :]
                last = _order(chosen[-1][0])
                report.suppressed = [one for one in report.suppressed if _order(one.finding) < last]
    report.suppressed.sort(key=lambda one: _order(one.finding))
    report.relative_flops = round(executed / unpruned, DIGITS) if unpruned else None
    return chosen


def _order(finding: Finding) -> tuple[float, str, int, str]:
    """Findings are in the order of this: the highest probability first, equal ones by path and line."""
    return -finding.probability, finding.unit.path, finding.unit.first_line, finding.fingerprint


def _explain(
    chosen: list[tuple[Finding, int]], detector: Detector, settings: ScanSettings, report: ScanReport
) -> None:
    """Adds the findings with their lines and kept tokens to the report."""
    hidden = settings.quiet or len(chosen) <= EXPLAINED_AT_ONCE
    with progress_bar(desc="explaining", unit=" findings", total=len(chosen), disable=hidden) as bar:
        for begin in range(0, len(chosen), EXPLAINED_AT_ONCE):
            part = chosen[begin : begin + EXPLAINED_AT_ONCE]
            texts, labels = [finding.unit.text for finding, _ in part], [label for _, label in part]
            for (finding, _), (lines, kept) in zip(part, detector.explanations(texts, labels), strict=True):
                above = finding.unit.first_line - 1
                placed = tuple((above + line, score) for line, score in lines)
                tokens = None if kept is None else KeptTokens(*map(tuple, kept[:3]), kept[3])
                report.findings.append(replace(finding, lines=placed, kept=tokens))
            bar.update(len(part))


def _all(unit: CodeUnit) -> bool:
    return True


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


def _no_note(line: str) -> None:
    pass
