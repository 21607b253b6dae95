import csv
import json
from dataclasses import replace

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.scan.reports.tables import COLUMNS, write_csv, write_json
from tests.ltp_pipeline.scan.made_reports import COPY, make_finding, make_report

EVIL = 'a "b",\r\n;\udce9\u202e\x00'


def test_json_has_the_whole_report_and_an_item_in_each_line(tmp_path):
    report, path = make_report(cached=5), tmp_path / "report.json"
    write_json(report, path)
    written = json.loads(path.read_text(encoding="utf-8"))
    assert set(written) - {"this_run"} | set(written["this_run"]) == set(vars(report))
    assert written["this_run"] == {"seconds": 2.0, "cached": 5, "tokens": 900, "relative_flops": 0.34}
    assert written["findings"][0] == {
        "path": "src/a.c",
        "first_line": 10,
        "last_line": 18,
        "function": "copy",
        "language": "c",
        "label": "defective",
        "probability": 0.95,
        "fingerprint": report.findings[0].fingerprint,
        "is_new": True,
        "tokens": 40,
        "lines": [[16, 0.9], [12, 0.4], [13, -0.2]],
        "kept": {"begins": [0, 4, 9], "ends": [3, 8, 10], "layers_survived": [2, 0, 1], "num_layers": 2},
        "text": COPY,
    }
    assert written["suppressed"][0]["by"] == "comment in line 12"
    assert written["suppressed"][0]["finding"]["path"] == "src/c.c"
    assert written["skipped"][1] == {"path": "src/d.c", "reason": "not parsed", "is_error": True, "first_line": 3}
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith('{"path": "src/') for line in lines) == 3


def test_only_this_run_depends_on_time_and_cache(tmp_path):
    for name, fields in (("a", {}), ("b", {"seconds": 99.0, "cached": 12, "tokens": 0, "relative_flops": None})):
        write_json(make_report(**fields), tmp_path / name)
    first, second = (json.loads((tmp_path / name).read_bytes()) for name in "ab")
    assert first.pop("this_run") != second.pop("this_run") and first == second


def test_csv_has_a_row_for_each_finding(tmp_path):
    write_csv(make_report(), tmp_path / "report.csv")
    rows = list(csv.reader((tmp_path / "report.csv").read_text(encoding="utf-8").splitlines()))
    fingerprint = make_report().findings[0].fingerprint
    first = ["src/a.c", "10", "18", "copy", "c", "defective", "0.95", "16 12", "40", "0.5", fingerprint, "True"]
    assert rows[:2] == [list(COLUMNS), first] and len(rows) == 3 and rows[2][COLUMNS.index("kept_share")] == ""


def test_odd_names_scores_and_text_are_read_back(tmp_path):
    finding = make_finding(path=EVIL, name=EVIL, text=EVIL, lines=((10, float("nan")), (11, 1 / 3)))
    report = make_report([replace(finding, probability=2 / 3)], settings={"include": ("*.c",), "x": tmp_path})
    write_json(report, tmp_path / "report.json")
    (written,) = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["findings"]
    assert written["path"] == written["function"] == written["text"] == EVIL
    assert written["lines"] == [[11, 0.333333]] and written["probability"] == 0.666667
    write_csv(report, tmp_path / "report.csv")
    with open(tmp_path / "report.csv", encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["path"] == EVIL.replace("\udce9", "\\udce9") and row["lines"] == "11"


@pytest.mark.parametrize("write", [write_json, write_csv])
def test_files_that_cannot_be_written(write, tmp_path):
    with pytest.raises(UserError, match="cannot write"):
        write(make_report(), tmp_path)
