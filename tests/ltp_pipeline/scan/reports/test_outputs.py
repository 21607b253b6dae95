import json

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.scan.reports.outputs import WRITERS, check_outputs, write_outputs
from tests.ltp_pipeline.scan.made_reports import make_report


def test_each_flag_writes_its_file(tmp_path):
    paths = {flag: str(tmp_path / "new" / f"out.{flag}") for flag in WRITERS}
    check_outputs(paths)
    assert not (tmp_path / "new").exists(), "nothing is written before the scan"
    write_outputs(make_report(), paths)
    assert json.loads((tmp_path / "new" / "out.sarif").read_bytes())["version"] == "2.1.0"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(f"out.{flag}" for flag in WRITERS)


def test_nothing_is_asked_for(tmp_path):
    check_outputs(dict.fromkeys(WRITERS))
    write_outputs(make_report(), dict.fromkeys(WRITERS))


@pytest.mark.parametrize("name", ["", "-", ".", "file/out", "x" * 999, "a.c", "new.PS1", "a.js", "link"])
def test_what_cannot_be_written_is_an_error_before_the_scan(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("a.c")
    with pytest.raises(UserError, match="^--sarif .*expected the name of a file"):
        check_outputs({"json": None, "sarif": name})


def test_two_flags_with_one_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--csv .*is the file of --json"):
        check_outputs({"json": "out", "csv": str(tmp_path / "out")})
    (tmp_path / "link").symlink_to("out")
    for first, second in (("link", "out"), ("/dev/stdout", "/dev/stdout"), ("/dev/stdout", "/dev/fd/1")):
        with pytest.raises(UserError, match="--csv .*is the file of --json"):
            check_outputs({"json": first, "csv": second})


def test_a_file_of_an_earlier_scan_is_replaced(tmp_path):
    (tmp_path / "out").write_text("old")
    check_outputs({"csv": str(tmp_path / "out")})
    write_outputs(make_report(), {"csv": str(tmp_path / "out")})
    assert (tmp_path / "out").read_text().startswith('"path"')
