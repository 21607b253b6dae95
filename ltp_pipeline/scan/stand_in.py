"""Stands in for `paths.py` and `units.py` until they are here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import find_functions
from ltp_pipeline.code.languages import LANGUAGES, language_of, suffixes_of
from ltp_pipeline.code.parts import SourceFile
from ltp_pipeline.scan.finding import CodeUnit, SkippedFile


@dataclass(frozen=True)
class FoundFile:
    path: Path
    shown: str


def find_files(paths, include=(), exclude=(), gitignore=True):
    found, endings = [], suffixes_of(LANGUAGES)
    for given in map(Path, paths):
        if not given.exists():
            raise UserError(f"{given}: no such file or folder")
        inner = sorted(given.rglob("*")) if given.is_dir() else [given]
        found += [FoundFile(p, p.as_posix()) for p in inner if p.is_file() and p.suffix.lower() in endings]
    return found, []


def units_of(file, granularity="function"):
    language = language_of(file.shown)
    text = file.path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    text = text.replace("\0", " ")
    if language.name == "powershell" or granularity == "file":
        return ([CodeUnit(file.shown, 1, "", language.name, text)] if text.strip() else []), []
    functions, lost = find_functions(SourceFile("", file.shown, text))
    units = [CodeUnit(file.shown, f.first_line, "", language.name, f.source) for f in functions]
    return units, [SkippedFile(file.shown, one.reason, True, one.first_line) for one in lost]
