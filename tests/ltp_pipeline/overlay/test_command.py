"""The overlay's command on made-up packages: which it refuses, and what it prints."""

import os
import sys
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.overlay import command
from ltp_pipeline.overlay.command import Package, find_package

MAPPINGS = ("auto_mappings.py", "modeling_auto.py", "tokenization_auto.py")


class Site:
    """A folder with a made-up `transformers`, and an interpreter that finds it there and nothing else."""

    def __init__(self, folder: Path, version: str | None):
        self.package = folder / "transformers"
        (self.package / "models/auto").mkdir(parents=True)
        for file in ("__init__.py", "models/__init__.py", "models/auto/__init__.py"):
            (self.package / file).write_text("")
        for file in MAPPINGS:
            (self.package / "models/auto" / file).write_text("")
        if version:
            record = folder / f"transformers-{version}.dist-info"
            record.mkdir()
            (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: transformers\nVersion: {version}\n")
        self.python = str(folder / "python")
        Path(self.python).write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" -S "$@"\n')
        os.chmod(self.python, 0o755)

    def files(self) -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in self.package.rglob("*") if file.is_file()}


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path, "5.23.0")


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command and returns what it prints. Made-up packages cannot be tried out."""
    monkeypatch.setattr(command, "try_in_fresh_interpreter", lambda package: None)

    def run(site: Site, *flags: str) -> str:
        monkeypatch.setattr(sys, "argv", ["overlay", "--python", site.python, *flags])
        command.main()
        return capsys.readouterr().out

    return run


def test_interpreters(site, tmp_path):
    assert find_package(site.python) == Package(site.package, "5.23.0", site.python)
    with pytest.raises(UserError, match="--python /no/such/python: cannot be run"):
        find_package("/no/such/python")
    with pytest.raises(UserError, match="--python echo: is not a working Python"):
        find_package("echo")
    with pytest.raises(UserError, match="a source tree or an editable install"):
        find_package(Site(tmp_path / "source", None).python)
    (site.package / "__init__.py").unlink()
    with pytest.raises(UserError, match="has no transformers"):
        find_package(site.python)


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
    assert site.files() == before
    run(site)
    installed = site.files()
    assert "would remove: models/ltp/__init__.py, " in run(site, "--restore", "--dry-run")
    assert site.files() == installed


def test_status_of_every_state(site, run, monkeypatch):
    run(site)
    assert "this version is tested\nLTP is installed, from the files of this checkout\n" in run(site, "--status")
    monkeypatch.setattr(command.overlay, "new_files", lambda: {"trainer_ltp.py": b"newer"})
    assert "LTP is installed, but not from the files of this checkout: run" in run(site, "--status")
    (site.package / "trainer_ltp.py").unlink()
    (site.package / "models/auto/modeling_auto.py").write_text("")
    assert "  trainer_ltp.py: missing\n  models/auto/modeling_auto.py: changed\n" in run(site, "--status")


def test_install_update_and_restore(site, run):
    before = site.files()
    assert "there is nothing to restore" in run(site, "--restore")
    run(site)
    mapping = site.package / "models/auto/modeling_auto.py"
    installed = mapping.read_text()
    run(site)
    assert mapping.read_text() == installed
    assert "every file of the package is byte for byte as before\n" in run(site, "--restore")
    assert site.files() == before
    run(site)
    mapping.write_text(installed + "mine = 1\n")
    run(site)
    assert mapping.read_text().startswith("mine = 1\n\n# >>> LTP overlay")
    assert "Changes that others have made to models/auto/modeling_auto.py are kept" not in run(site, "--restore")
    assert mapping.read_text() == "mine = 1\n"


def test_a_changed_file_is_discarded_only_with_force(site, run):
    before = site.files()
    run(site)
    changed = site.package / "models/ltp/modeling_ltp.py"
    changed.write_text("mine")
    for flags in ((), ("--restore",)):
        with pytest.raises(UserError, match="somebody has changed models/ltp/modeling_ltp.py in .*--force"):
            run(site, *flags)
        assert changed.read_text() == "mine"
    run(site, "--restore", "--force")
    assert site.files() == before


def test_removed_again_where_it_does_not_work(site):
    before = site.files()
    with pytest.raises(UserError, match="does not work in transformers 5.23.0(?s:.*)AttributeError"):
        command.install(find_package(site.python), force=False, dry_run=False)
    assert site.files() == before


def test_a_failure_of_the_disk(site, run, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(UserError, match="disk full; run this again to complete it, or with --restore to undo it"):
        run(site)
