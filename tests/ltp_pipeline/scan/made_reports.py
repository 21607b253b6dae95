"""Reports of scans, made by hand."""

from dataclasses import replace

from ltp_pipeline.scan.finding import CodeUnit, Finding, KeptTokens, ScanReport, SkippedFile, Suppressed
from ltp_pipeline.scan.fingerprints import fingerprint

COPY = "int copy(char *to)\n{\n    char own[8];\n\n    int i = 0;\n    i++;\n    strcpy(own, to);\n    return i;\n}\n"


def make_finding(probability=0.95, label="defective", lines=((16, 0.9), (12, 0.4), (13, -0.2)), kept=None, **unit):
    """A finding in COPY, which begins in line 10; `unit`: other fields of its `CodeUnit`."""
    code = CodeUnit("src/a.c", 10, "copy", "c", COPY)
    code = replace(code, **unit)
    return Finding(code, probability, label, fingerprint(code, 0), tuple(lines), kept, tokens=40)


def make_report(findings=None, **fields):
    """Two findings, a suppressed one, and two files that were not scanned; `fields`: others of `ScanReport`."""
    if findings is None:
        kept = KeptTokens((0, 4, 9), (3, 8, 10), (2, 0, 1), 2)
        findings = [make_finding(kept=kept), make_finding(0.6, path="src/b.c", first_line=1, lines=((7, 0.5),))]
    suppressed = [Suppressed(make_finding(0.7, path="src/c.c"), "comment in line 12")]
    skipped = [SkippedFile("lib/x.c", "vendored"), SkippedFile("src/d.c", "not parsed", is_error=True, first_line=3)]
    values = {
        "skipped": skipped,
        "suppressed": suppressed,
        "model": "hard",
        "model_hash": "ab" * 32,
        "threshold": 0.5,
        "settings": {"granularity": "function"},
        "files": 3,
        "units": 12,
        "tokens": 900,
        "relative_flops": 0.34,
        "seconds": 2.0,
    }
    return ScanReport(findings, **(values | fields))
