"""Surroundings that a container or a cluster may have: no home folder, no room, another locale, a removed folder."""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

import run_glue_code_metrics
from ltp_pipeline.base.errors import run_main
from ltp_pipeline.data.tokenization import cached

ROOT = Path(__file__).resolve().parents[2]
EVALUATE = (
    "--model_name_or_path longformer --do_eval --do_predict --validation_file test.csv --test_file train.csv "
    "--max_seq_length 96 --dtype float32 --output_dir out"
)


def no_entry(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")


def no_home(monkeypatch, tmp_path):
    """A user id without an entry in the passwd file and without HOME, as `docker run --user 12345` gives."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_entry)


def home_is_a_file(monkeypatch, tmp_path):
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def cache_is_a_file(monkeypatch, tmp_path):
    (tmp_path / "cache").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def cache_is_read_only(monkeypatch, tmp_path):
    def refused(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", refused)  # root may write everywhere
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("surroundings", [no_home, home_is_a_file, cache_is_a_file, cache_is_read_only])
def test_a_run_goes_on_without_a_cache_and_says_so_once(surroundings, workplace, monkeypatch, capsys):
    monkeypatch.delenv("LTP_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    surroundings(monkeypatch, workplace)
    run_glue_code_metrics.main(EVALUATE.split())
    assert capsys.readouterr().out.count("tokens are not cached: ") == 1
    assert json.loads(Path("out/all_results.json").read_text())["eval_f1"] >= 0


def test_a_current_folder_that_was_removed_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(SystemExit) as end:
        run_main(lambda: print(Path("x").resolve()))
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: the current folder: ")


@pytest.mark.parametrize("settings", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}])
def test_code_is_printed_where_the_output_knows_only_ascii(settings, tmp_path):
    (tmp_path / "é.csv").write_text("code,label,project\n\"a='é';\",1,漢\n\"b='é';\",0,漢\n", "utf-8")
    command = [sys.executable, "-m", "ltp_pipeline.check_data", "é.csv", "é.csv", "--output_file", "ü.json"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0", **settings}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="ascii")
    assert (done.returncode, done.stderr.count("Traceback")) == (1, 0), done.stderr
    assert "project_leak" in done.stdout and "\\u6f22" in done.stdout
    assert "漢" in (tmp_path / "ü.json").read_text("utf-8")


def test_files_are_readable_for_whom_the_umask_allows(tmp_path, monkeypatch):
    from datasets import Dataset

    monkeypatch.setenv("LTP_CACHE", str(tmp_path / "cache"))
    before = os.umask(0o027)
    try:
        cached("key", lambda **options: Dataset.from_dict({"x": [1]}).map(lambda row: row, **options))
    finally:
        os.umask(before)
    (tokens,) = (tmp_path / "cache" / "tokens" / "key").glob("*.arrow")
    assert tokens.stat().st_mode & 0o777 == 0o640
