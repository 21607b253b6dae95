"""A made-up installation and the command that changes it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ltp_pipeline.overlay import command
from tests.ltp_pipeline.overlay.made_up import make_package, make_python


class Site:
    """A folder with a made-up `transformers`, and an interpreter that finds it there and nothing else."""

    def __init__(self, folder: Path, version: str = "5.23.0", before: str = ""):
        self.folder = folder / "site"
        self.package = make_package(self.folder, version)
        self.python = make_python(folder / "python", self.folder, before)

    def files(self) -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in self.folder.rglob("*") if file.is_file()}


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def run(monkeypatch, capsys) -> Callable[..., str]:
    """Runs the command and returns what it prints. Made-up packages cannot be tried out."""
    monkeypatch.setattr(command, "try_in_fresh_interpreter", lambda package: None)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # tests do not survive a power cut

    def run(site: Site, *flags: str) -> str:
        monkeypatch.setattr(sys, "argv", ["overlay", "--python", site.python, *flags])
        capsys.readouterr()
        command.main()
        return capsys.readouterr().out

    return run
