"""The exit status of a scan, by which a script or a CI job decides."""

from __future__ import annotations

from ltp_pipeline.scan.finding import ScanReport

CLEAN, FOUND, NOT_RUN = 0, 1, 2


def exit_status(report: ScanReport, fail_on: float | None = None) -> int:
    """0: nothing found; 1: new findings with a probability of at least `fail_on` (None: any); 2: every file failed.

    A file that could not be scanned does not change the status as long as others were scanned, or no file has changed
    (--changed_since).
    """
    if any(finding.is_new and finding.probability >= (fail_on or 0) for finding in report.findings):
        return FOUND
    if report.units or (report.settings.get("changed_since") and not report.files):
        return CLEAN
    return NOT_RUN if any(part.is_error for part in report.skipped) else CLEAN
