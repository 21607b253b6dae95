import json
from dataclasses import replace

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.scan.reports.baseline import mark_new, read_baseline
from ltp_pipeline.scan.reports.sarif import write_sarif
from ltp_pipeline.scan.reports.tables import write_json
from tests.ltp_pipeline.scan.made_reports import make_finding, make_report


@pytest.mark.parametrize("write", [write_sarif, write_json])
def test_moved_findings_are_known_and_changed_ones_are_new(write, tmp_path):
    path = tmp_path / "earlier"
    write(make_report(), path)
    moved = make_finding(0.8, first_line=999, lines=())
    hidden_before = make_finding(0.7, path="src/c.c")
    changed = make_finding(0.6, text=moved.unit.text.replace("strcpy", "strncpy"))
    report = make_report([moved, hidden_before, changed])
    mark_new(report, read_baseline(path), path)
    assert [finding.is_new for finding in report.findings] == [False, False, True]
    assert report.baseline == str(path)


@pytest.mark.parametrize("write", [write_sarif, write_json])
def test_a_report_without_findings_is_a_baseline(write, tmp_path):
    write(make_report([], suppressed=[]), tmp_path / "earlier")
    assert read_baseline(tmp_path / "earlier") == set()


def test_a_report_with_another_byte_order_mark(tmp_path):
    write_sarif(make_report(), tmp_path / "earlier")
    text = (tmp_path / "earlier").read_text(encoding="utf-8")
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / encoding).write_text(text, encoding=encoding)
        assert read_baseline(tmp_path / encoding) == read_baseline(tmp_path / "earlier")


def other_tool():
    return {"version": "2.1.0", "runs": [{"results": [{"ruleId": "x", "partialFingerprints": {"other/v1": "1"}}]}]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe",
        b"{",
        b"[]",
        b"3",
        b"null",
        b'"runs"',
        b"[" * 100_000,
        b'{"runs": 3}',
        b'{"runs": [null]}',
        b'{"runs": [{"results": [{}]}]}',
        b'{"runs": [{"results": [{"partialFingerprints": {"ltpUnitText/v1": []}}]}]}',
        b'{"findings": []}',
        b'{"findings": [{"fingerprint": 7}], "suppressed": []}',
        json.dumps(other_tool()).encode(),
    ],
)
def test_what_is_no_report_is_an_error(content, tmp_path):
    (tmp_path / "bad.sarif").write_bytes(content)
    with pytest.raises(UserError, match=r"--baseline .*bad\.sarif: .*expected a SARIF or JSON report"):
        read_baseline(tmp_path / "bad.sarif")


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "missing", tmp_path / ("x" * 999)):
        with pytest.raises(UserError, match="^--baseline "):
            read_baseline(path)


def test_marking_again_forgets_the_earlier_baseline():
    report = make_report([replace(make_finding(), is_new=False)])
    mark_new(report, set(), "empty.sarif")
    assert report.findings[0].is_new
