"""The command itself: versions, dry runs, two runs at once, failures of the disk and of standard output."""

import functools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.overlay import command, interpreter
from tests.ltp_pipeline.overlay.conftest import Site
from tests.ltp_pipeline.overlay.made_up import ADDED, snapshot

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def ask_once(monkeypatch):
    """An interpreter is asked only once: no test here changes what it answers."""
    monkeypatch.setattr(interpreter, "_ask", functools.cache(interpreter._ask))


def test_untested_version(tmp_path, run):
    site = Site(tmp_path, "5.99.1")
    before = site.files()
    for flags in ((), ("--dry-run",)):
        with pytest.raises(UserError, match=r"5.99.1 is not a version .*--force"):
            run(site, *flags)
    assert site.files() == before
    assert "this version is not tested (5.17.0, 5.23.0 are)\nLTP is not installed\n" in run(site, "--status")
    run(site, "--force")
    assert (site.package / "trainer_ltp.py").is_file()


def test_dry_run_changes_nothing(site, run):
    before = site.files()
    out = run(site, "--dry-run")
    assert out.startswith(f"transformers 5.23.0 in {site.package}\nwould copy: models/ltp/__init__.py, ")
    assert "would append a marked block to: models/auto/auto_mappings.py, models/auto/modeling_auto.py" in out
    run(site, "--restore", "--dry-run")
    assert site.files() == before
    run(site)
    installed = site.files()
    assert "would remove: models/ltp/__init__.py, " in run(site, "--restore", "--dry-run")
    run(site, "--dry-run")
    assert site.files() == installed


def test_install_update_and_restore(site, run, monkeypatch):
    before = site.files()
    assert "there is nothing to restore" in run(site, "--restore")
    run(site)
    installed = site.files()
    run(site)
    assert site.files() == installed
    files = {"trainer_ltp.py": b"newer"}
    monkeypatch.setattr("ltp_pipeline.overlay.state.new_files", lambda: files)
    monkeypatch.setattr("ltp_pipeline.overlay.change.new_files", lambda: files)
    assert "LTP is installed, but not from the files of this project: run" in run(site, "--status")
    run(site)
    assert (site.package / "trainer_ltp.py").read_bytes() == b"newer" and not (site.package / ADDED).exists()
    assert "every file of the package is byte for byte as before\n" in run(site, "--restore")
    assert site.files() == before


def test_two_runs_at_once(site, run, monkeypatch):
    """The second one ends at once with a message, and changes nothing."""
    before = snapshot(site.package)

    def meanwhile(package) -> None:
        for flags in ([], ["--restore"]):
            done = another_run(site, *flags)
            assert done.returncode == 2, done.stderr
            assert done.stderr.startswith(f"error: another run is changing {site.package}"), done.stderr
        done = another_run(site, "--status")
        assert done.returncode == 0 and "another run of this script is changing the package now" in done.stdout

    monkeypatch.setattr(command, "try_in_fresh_interpreter", meanwhile)
    monkeypatch.setattr(sys, "argv", ["overlay", "--python", site.python])
    command.main()
    assert "LTP is installed, from the files of this project" in run(site, "--status")
    run(site, "--restore")
    assert snapshot(site.package) == before


def another_run(site: Site, *flags: str, **options) -> subprocess.CompletedProcess:
    script = ["bash", str(ROOT / "revise_local_transformer_package.sh"), "--python", site.python, *flags]
    return subprocess.run(script, **{"capture_output": True, "text": True, **options})


@pytest.mark.parametrize("changes", ["install", "update"])
@pytest.mark.parametrize("left", [0, 1, 5, 20])
def test_disk_full(site, run, monkeypatch, changes, left):
    """After `left` files no more can be written: what was there before is whole. --restore needs no room."""
    if changes == "update":
        run(site)
    before, write = snapshot(site.package), Path.open
    count = [left]

    def open_until_full(self, mode="r", *args, **kwargs):
        if "w" in mode:
            count[0] -= 1
            if count[0] < 0:
                raise OSError(28, "No space left on device", str(self))
        return write(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_until_full)
    monkeypatch.setattr(Path, "write_bytes", lambda self, content: self.open("wb").write(content))
    with pytest.raises(UserError, match=r"No space left on device.*LTP is (not )?installed"):
        run(site)
    assert snapshot(site.package) == before
    run(site, "--restore")
    monkeypatch.undo()


@pytest.mark.parametrize("at", [0, 1, 2, 10, 21, 22, 23, 24])
def test_a_rename_that_fails(site, run, monkeypatch, at):
    """An installation is undone. If that fails, too, the message tells the state, and the next run repairs it."""
    before, rename, count = snapshot(site.package), os.replace, [at]

    def failing(old, new, *args):
        count[0] -= 1
        if count[0] < 0 and "manifest.removing" not in str(new):
            raise OSError(5, "Input/output error", str(old))
        return rename(old, new, *args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing)
        with pytest.raises(UserError, match=r"Input/output error.*(LTP is not installed|interrupted)"):
            run(site)
    run(site)
    assert "LTP is installed, from the files of this project" in run(site, "--status")
    run(site, "--restore")
    assert snapshot(site.package) == before


def test_ctrl_c(site, run, monkeypatch, capsys):
    """The installation is undone."""
    before = snapshot(site.package)
    monkeypatch.setattr(command, "try_in_fresh_interpreter", lambda package: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run(site)
    assert "LTP is not installed" in capsys.readouterr().err
    assert snapshot(site.package) == before


@pytest.mark.parametrize(
    "to, status, said", [(">&-", 0, ""), ("> /dev/full", 2, "error: .*No space left.*\n"), ("| true", 141, "")]
)
def test_nobody_reads_standard_output(site, run, to, status, said):
    """The work is done all the same, and no traceback is shown."""
    before = snapshot(site.package)
    run(site)
    script = ROOT / "revise_local_transformer_package.sh"
    command = f"set -o pipefail; bash {script} --python {site.python} --restore {to}"
    done = subprocess.run(["bash", "-c", command], stderr=subprocess.PIPE, text=True)
    assert snapshot(site.package) == before
    assert done.returncode == status and re.fullmatch(said, done.stderr)


def test_no_home(site, run):
    run(site)
    done = another_run(site, "--restore", env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0 and "byte for byte as before" in done.stdout, done.stderr
