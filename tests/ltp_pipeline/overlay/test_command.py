"""The overlay's command on made-up packages: which it refuses, and what it says."""

import json
import os
import sys
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.overlay import command as overlay_command
from ltp_pipeline.overlay.command import Package, find_package, install, restore, show_status

MAPPINGS = ("auto_mappings.py", "modeling_auto.py", "tokenization_auto.py")


class Site:
    """A folder with a made-up `transformers`, and an interpreter that finds it there and nothing else."""

    def __init__(self, folder: Path, version: str | None, direct_url: dict | None = None):
        self.package = folder / "transformers"
        (self.package / "models/auto").mkdir(parents=True)
        for file in ("__init__.py", "models/__init__.py", "models/auto/__init__.py"):
            (self.package / file).write_text("")
        for file in MAPPINGS:
            (self.package / "models/auto" / file).write_text("")
        if version:
            self.add_record(folder, version, direct_url)
        self.python = str(folder / "python")
        Path(self.python).write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" -S "$@"\n')
        os.chmod(self.python, 0o755)

    def add_record(self, folder: Path, version: str, direct_url: dict | None) -> None:
        record = folder / f"transformers-{version}.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: transformers\nVersion: {version}\n")
        if direct_url:
            (record / "direct_url.json").write_text(json.dumps(direct_url))

    def files(self) -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in self.package.rglob("*") if file.is_file()}


def run(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["overlay", *arguments])
    overlay_command.main()


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path, "5.23.0")


@pytest.fixture
def no_check(monkeypatch) -> None:
    """Made-up packages cannot be imported."""
    monkeypatch.setattr(overlay_command, "check_in_fresh_interpreter", lambda package: None)


def test_find_package(site):
    assert find_package(site.python) == Package(site.package, "5.23.0", site.python)


def test_interpreter_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"--python /no/such/python: cannot be run \(No such file"):
        find_package("/no/such/python")
    with pytest.raises(UserError, match="--python echo: is no working Python"):
        find_package("echo")


def test_no_transformers(site):
    (site.package / "__init__.py").unlink()
    with pytest.raises(UserError, match="has no transformers: install it first"):
        find_package(site.python)


@pytest.mark.parametrize("version, direct_url", [("5.23.0", {"dir_info": {"editable": True}}), (None, None)])
def test_source_trees_are_left_alone(tmp_path, version, direct_url):
    site = Site(tmp_path, version, direct_url)
    with pytest.raises(UserError, match="a source tree or an editable install: only a package that pip installed"):
        find_package(site.python)


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_untested_version(tmp_path, monkeypatch, no_check, capsys, flags):
    site = Site(tmp_path, "5.99.1")
    before = site.files()
    with pytest.raises(UserError, match=r"5.99.1 is not a version this was tested with \(5.17.0, 5.23.0\); --force"):
        run(monkeypatch, "--python", site.python, *flags)
    assert site.files() == before
    run(monkeypatch, "--python", site.python, "--status")
    assert "this version is not tested (5.17.0, 5.23.0 are)\nLTP is not installed\n" in capsys.readouterr().out
    run(monkeypatch, "--python", site.python, "--force")
    assert (site.package / "trainer_ltp.py").is_file()


def test_dry_run_changes_nothing(site, monkeypatch, no_check, capsys):
    before = site.files()
    run(monkeypatch, "--python", site.python, "--dry-run")
    out = capsys.readouterr().out
    assert out.startswith(f"transformers 5.23.0 in {site.package}\nwould copy: models/ltp/__init__.py, ")
    assert "would append a marked block to: models/auto/auto_mappings.py, models/auto/modeling_auto.py" in out
    assert site.files() == before
    run(monkeypatch, "--python", site.python)
    installed = site.files()
    run(monkeypatch, "--python", site.python, "--restore", "--dry-run")
    assert "would remove: models/ltp/__init__.py, " in capsys.readouterr().out
    assert site.files() == installed


def test_status_of_every_state(site, no_check, capsys, monkeypatch):
    package = find_package(site.python)

    def status() -> str:
        capsys.readouterr()
        show_status(package)
        return capsys.readouterr().out

    assert status() == "this version is tested\nLTP is not installed\n"
    install(package, force=False, dry_run=False)
    assert "LTP is installed, from the files of this checkout\n" in status()
    monkeypatch.setattr(overlay_command.overlay, "new_files", lambda: {"trainer_ltp.py": b"newer"})
    assert "LTP is installed, from other files than those of this checkout: run" in status()
    (site.package / "trainer_ltp.py").unlink()
    (site.package / "models/auto/modeling_auto.py").write_text("")
    text = status()
    assert "LTP was put in for transformers 5.23.0, and is not whole:\n" in text
    assert "  trainer_ltp.py: missing\n" in text and "  models/auto/modeling_auto.py: changed\n" in text


def test_restore(site, no_check, capsys):
    package, before = find_package(site.python), site.files()
    restore(package, force=False, dry_run=False)
    assert capsys.readouterr().out == "LTP is not installed: there is nothing to restore\n"
    for _ in range(2):
        install(package, force=False, dry_run=False)
    capsys.readouterr()
    restore(package, force=False, dry_run=False)
    assert capsys.readouterr().out == "LTP is taken out: every file of the package is byte for byte as before\n"
    assert site.files() == before


def test_a_strangers_change_of_an_added_file(site, no_check):
    package, before = find_package(site.python), site.files()
    install(package, force=False, dry_run=False)
    changed = site.package / "models/ltp/modeling_ltp.py"
    changed.write_text("mine")
    for command in (install, restore):
        with pytest.raises(UserError, match="somebody changed models/ltp/modeling_ltp.py in .* save what you need"):
            command(package, force=False, dry_run=False)
        assert changed.read_text() == "mine"
    restore(package, force=True, dry_run=False)
    assert site.files() == before


def test_a_strangers_change_of_a_mapping_file(site, no_check, capsys):
    package = find_package(site.python)
    install(package, force=False, dry_run=False)
    mapping = site.package / "models/auto/modeling_auto.py"
    mapping.write_text(mapping.read_text() + "mine = 1\n")
    install(package, force=False, dry_run=False)
    assert mapping.read_text().startswith("mine = 1\n\n# >>> LTP overlay")
    restore(package, force=False, dry_run=False)
    assert mapping.read_text() == "mine = 1\n"


def test_package_that_cannot_be_written(site, monkeypatch):
    auto = site.package / "models/auto"
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != auto)
    with pytest.raises(UserError, match=f"{auto} is not writable for you: run this as the user who installed"):
        install(find_package(site.python), force=False, dry_run=True)


def test_taken_out_again_where_it_does_not_work(site):
    package, before = find_package(site.python), site.files()
    with pytest.raises(
        UserError, match="does not work in transformers 5.23.0, and was taken out again:\n(?s:.*)AttributeError"
    ):
        install(package, force=False, dry_run=False)
    assert site.files() == before


def test_disk_error_is_told(site, monkeypatch):
    monkeypatch.setattr(overlay_command.overlay, "put_in", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(UserError, match="disk full; run this again to finish it, or with --restore to undo it"):
        run(monkeypatch, "--python", site.python)
