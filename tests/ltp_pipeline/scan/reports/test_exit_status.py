import pytest

from ltp_pipeline.scan.reports.exit_status import exit_status
from tests.ltp_pipeline.scan.made_reports import make_finding, make_report

NEW, KNOWN = make_finding(0.8), make_finding(0.99)
object.__setattr__(KNOWN, "is_new", False)


@pytest.mark.parametrize(
    "findings, fail_on, status",
    [
        ([], None, 0),
        ([NEW], None, 1),
        ([NEW], 0.8, 1),
        ([NEW], 0.81, 0),
        ([KNOWN], None, 0),
        ([KNOWN], 0.5, 0),
        ([KNOWN, NEW], 0.5, 1),
    ],
)
def test_new_findings_at_or_above_fail_on(findings, fail_on, status):
    assert exit_status(make_report(findings), fail_on) == status


def test_nothing_could_be_scanned():
    assert exit_status(make_report([], units=0)) == 2
    assert exit_status(make_report([], units=0, skipped=[])) == 0, "an empty folder"
    assert exit_status(make_report([], units=1)) == 0, "other files were scanned"
    changes = {"settings": {"changed_since": "main"}}
    assert exit_status(make_report([], units=0, **changes)) == 2, "files have changed"
    assert exit_status(make_report([], units=0, files=0, **changes)) == 0, "the errors are in files that have not"
