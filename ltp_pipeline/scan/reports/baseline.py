"""Compares a scan with an earlier one: only findings that the earlier report lacks are new."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import parse_json
from ltp_pipeline.scan.finding import ScanReport
from ltp_pipeline.scan.fingerprints import KIND

EXPECTED = "expected a SARIF or JSON report that ltp_scan.py wrote"


def read_baseline(path: str | Path) -> set[str]:
    """The fingerprints of all findings, also suppressed ones, of an earlier report.

    Raises UserError, which names --baseline, if the file cannot be read or is no such report.
    """
    try:
        report = parse_json(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"--baseline {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"--baseline {path}: not JSON ({error}); {EXPECTED}") from error
    try:
        return set(_of_sarif(report) if "runs" in report else _of_json(report))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"--baseline {path}: {EXPECTED}") from error


def _of_sarif(report: Any) -> list[str]:
    results = [result for run in report["runs"] for result in run.get("results") or []]
    return [_text(result["partialFingerprints"][KIND]) for result in results]


def _of_json(report: Any) -> list[str]:
    findings = report["findings"] + [hidden["finding"] for hidden in report["suppressed"]]
    return [_text(finding["fingerprint"]) for finding in findings]


def _text(fingerprint: Any) -> str:
    if not isinstance(fingerprint, str):
        raise TypeError(fingerprint)
    return fingerprint


def mark_new(report: ScanReport, baseline: set[str], path: str | Path) -> None:
    """Sets `is_new` of each finding of `report`: False if `baseline`, which was read from `path`, has it."""
    report.baseline = str(path)
    report.findings = [replace(finding, is_new=finding.fingerprint not in baseline) for finding in report.findings]
