"""The files that a scan writes: checked before it begins, and written when it has ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.languages import LANGUAGES, OTHER_SUFFIXES, suffixes_of
from ltp_pipeline.scan.finding import ScanReport
from ltp_pipeline.scan.reports.sarif import write_sarif
from ltp_pipeline.scan.reports.tables import write_csv, write_json


def _write_html(report: ScanReport, path: str) -> None:
    from ltp_pipeline.scan.reports.page import write_page  # late: it imports the templates

    write_page(report, path)


# flag -> what writes its file
WRITERS: dict[str, Callable[[ScanReport, str], None]] = {
    "html": _write_html,
    "sarif": write_sarif,
    "json": write_json,
    "csv": write_csv,
}
STDOUT = ("/dev/stdout", "/dev/fd/1")


def check_outputs(paths: Mapping[str, str | None]) -> None:
    """Raises UserError, which names the flag, if a file cannot be written, or if two flags name the same file.

    `paths`: flag, one of `WRITERS`, -> its file; None: it is not written.
    """
    seen: dict[str, str] = {}
    for flag, given in paths.items():
        if given is None:
            continue
        path = Path(given)
        try:
            problem = _problem(path)
        except OSError as error:  # such as a name that is too long
            problem = error.strerror
        if problem:
            raise UserError(f"--{flag} {given}: cannot be written: {problem}; expected the name of a file")
        real = os.path.realpath(path)
        if real in seen:
            raise UserError(f"--{flag} {given}: is the file of --{seen[real]}, too; expected another name")
        seen[real] = flag


def _problem(path: Path) -> str:
    if path.name in ("", "-"):
        return "no name of a file (standard output is /dev/stdout)"
    if path.is_dir():
        return "is a folder"
    if {path.suffix.lower(), path.resolve().suffix.lower()} & {*suffixes_of(LANGUAGES), *OTHER_SUFFIXES}:
        return "its ending is that of a source file, which the report would replace"
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    if existing != path and not existing.is_dir():
        return f"{existing} is no folder"
    folder = existing if existing.is_dir() else path.absolute().parent
    if not os.access(folder, os.W_OK | os.X_OK) and not path.exists():
        return f"no permission to write in {folder}"
    return ""


def write_outputs(report: ScanReport, paths: Mapping[str, str | None]) -> None:
    """Writes the file of each flag. Raises UserError if one cannot be written; those before it are complete."""
    for flag, path in paths.items():
        if path is not None:
            WRITERS[flag](report, path)
