"""benchmarks.compatibility: environments that read another's packages, counts of pytest's reports, and the page."""

import json
import os
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from benchmarks.common import ROOT
from benchmarks.compatibility import __main__ as command
from benchmarks.compatibility import environments, suites
from benchmarks.compatibility.environments import EnvironmentFailed, Row, find_interpreter, make_environment
from benchmarks.compatibility.page import page
from benchmarks.compatibility.suites import SUITES, counts, run_suite
from ltp_pipeline.base.errors import UserError

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
REPORT = """<testsuites><testsuite>
<testcase classname="tests.a" name="test_1"/>
<testcase classname="tests.a" name="test_2"><failure>x</failure></testcase>
<testcase classname="tests.a" name="test_3"><skipped/></testcase>
<testcase classname="tests.a" name="test_4"><error>x</error></testcase>
</testsuite></testsuites>"""


def packages(folder, **versions):
    """A folder of packages that are only names and versions."""
    place = folder / f"python{HERE}" / "site-packages"
    for name, version in versions.items():
        (place / f"{name}-{version}.dist-info").mkdir(parents=True)
        (place / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    return place


def test_the_tests_of_every_suite_exist():
    missing = [path for paths in SUITES.values() for path in paths if not (ROOT / path).is_file()]
    assert not missing


def test_counts_of_a_report():
    assert counts(REPORT) == {
        "passed": 1,
        "failed": 2,
        "skipped": 1,
        "failures": ["tests.a::test_2", "tests.a::test_4"],
    }


@pytest.mark.parametrize("status", [1, 4])
def test_a_suite_is_run_by_an_interpreter(monkeypatch, status):
    def run(command, *, cwd, env, **options):
        assert command[:3] == ["some/python", "-m", "pytest"] and command[-2:] == list(SUITES["trainer"])
        assert cwd == ROOT and env["OMP_NUM_THREADS"] == "2"
        if status == 1:
            Path(command[6].removeprefix("--junitxml=")).write_text(REPORT)
        return CompletedProcess(command, status, stdout="", stderr="file or directory not found\n")

    monkeypatch.setattr(suites.subprocess, "run", run)
    result = run_suite(Path("some/python"), "trainer", threads=2)
    assert (result["passed"], result["failed"]) == ((1, 2) if status == 1 else (0, 0))
    assert result.get("broken") == (None if status == 1 else "file or directory not found")


@pytest.mark.skipif(os.name == "nt", reason="other paths")
def test_an_environment_reads_the_packages_of_another(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "REPORTED", ("torch", "transformers"))
    monkeypatch.setattr(environments, "_wanted", lambda row, reuse: ["--help"])  # pip has nothing to install
    reuse = packages(tmp_path, torch="2.13.0", transformers="5.17.0")
    row = Row(HERE, "5.17.0", "2.13.0")
    made = make_environment(row, find_interpreter(HERE), tmp_path / "environments", reuse)
    assert made.versions["torch"] == "2.13.0" and made.versions["python"].startswith(HERE)
    done = tmp_path / "environments" / f"{HERE}-5.17.0-2.13.0" / environments.DONE
    assert json.loads(done.read_text()) == made.versions
    assert made == make_environment(row, Path("none"), done.parents[1], None)


def test_rows_whose_packages_are_not_at_hand(tmp_path):
    reuse = packages(tmp_path, torch="2.13.0")
    for row, says in (
        (Row(HERE, "5.17.0", "2.11.0"), "PyTorch 2.11.0 is not"),
        (Row("3.9", "5", "2.13.0"), "Python 3.9"),
    ):
        with pytest.raises(EnvironmentFailed, match=says):
            make_environment(row, Path(sys.executable), tmp_path, reuse)
    assert find_interpreter("3.99") is None


def test_what_is_installed_without_another_environment():
    wanted = environments._wanted(Row("3.11", "5.17.0", "2.11.0"), None)
    assert wanted[:2] == ["torch==2.11.0", "transformers==5.17.0"]
    assert not [line for line in wanted[2:] if line.startswith(("torch", "transformers", "huggingface_hub", "-", "#"))]
    assert any(line.startswith("pytest==") for line in wanted)


def test_rows_keep_their_earlier_results(tmp_path, monkeypatch, capsys):
    results = iter([{"not_run": "no A"}, {"not_run": "no B"}, {"not_run": "no C"}])
    monkeypatch.setattr(command, "run_row", lambda row, args: next(results))
    out = ["--output_dir", str(tmp_path)]
    command.main(["--rows", "3.11/5.17.0/2.13.0", "3.10/5.17.0/2.13.0", *out])
    command.main(["--rows", "3.11/5.17.0/2.13.0", *out])
    text = (tmp_path / "compatibility.md").read_text()
    assert "no C" in text and "no B" in text and "no A" not in text
    assert text.index("| 3.10 ") < text.index("| 3.11 ")
    assert "3.11/5.17.0/2.13.0: not run: no C" in capsys.readouterr().out
    with pytest.raises(UserError, match="--rows 3.11: expected PYTHON/TRANSFORMERS/TORCH"):
        command.main(["--rows", "3.11", *out])


def test_a_newest_version_that_pip_does_not_know(tmp_path, monkeypatch):
    no_network = CompletedProcess([], 1, stdout="", stderr="ERROR: no network\n")
    monkeypatch.setattr(environments, "_run", lambda command: no_network)
    with pytest.raises(UserError, match="--rows: pip finds no versions of transformers: ERROR: no network; expected"):
        command.main(["--rows", "3.11/newest/2.13.0", "--output_dir", str(tmp_path)])


def test_the_page():
    failed = {"passed": 3, "failed": 1, "skipped": 2, "failures": ["tests.a::test_2"]}
    ran = {"date": "2026-01-02", "commit": "abc", "versions": {"python": "3.11.7", "torch": "2.13.0+cpu"}}
    row = "3.11/5.17.0/2.13.0"
    text = page({row: {**ran, "suites": {"model": failed}}, "3.12/5.17.0/2.13.0": {"not_run": "not at hand"}})
    assert "| 3.11.7 | 5.17.0 | 2.13.0+cpu | 3 / 1 / 2 | 2026-01-02, abc |" in text
    assert "| 3.12 | 5.17.0 | 2.13.0 | not run | not at hand |" in text
    assert f"- {row}: `tests.a::test_2`" in text and "No test failed" not in text
    assert "**Windows and macOS are untested.**" in text


def test_the_page_in_docs_is_that_of_the_record():
    record = ROOT / "docs" / "compatibility.json"
    assert (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8") == page(
        json.loads(record.read_text(encoding="utf-8"))
    )
