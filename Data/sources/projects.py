"""Reads the projects of a data set from the distributions of a source list, from folders or from Debian sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from Data.sources.archives import read_archive
from Data.sources.downloads import fetch, file_sha256
from Data.sources.file_report import FileReport
from Data.sources.source_files import read_folder
from Data.sources.source_list import read_source_list
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import SourceFile


@dataclass(frozen=True)
class Project:
    """A project and its files; `split` is None if the builder has to choose it."""

    name: str
    split: str | None
    files: list[SourceFile]
    origin: dict[str, str]  # for the data set card


def projects_from_list(
    source_list: Path, cache_dir: Path, suffixes: frozenset[str], report: FileReport | None = None
) -> list[Project]:
    """Fetch and read the distributions of a list, training first. `report` gets what happens to each file.

    Raises UserError for a wrong list, a failed download, an unreadable archive or an archive without such files.
    """
    sources = read_source_list(source_list)
    projects = []
    for source, archive in zip(sources, fetch(sources, cache_dir), strict=True):
        files, licence = read_archive(archive, source.name, suffixes, report)
        if not files:
            raise UserError(f"{source.place}: no {_endings(suffixes)} files in {archive.name}{_left_out(report)}")
        origin = {"name": source.name, "version": source.version, "sha256": source.sha256, "licence": licence}
        projects.append(Project(source.name, source.split, files, origin))
    return projects


def projects_from_folders(
    folders: Sequence[Path],
    suffixes: frozenset[str],
    report: FileReport | None = None,
    why_not: Callable[[Path, str], str] | None = None,
) -> list[Project]:
    """Read each folder as a project. It is named after the folder, or by the whole path if two folders share a name.

    `why_not`: see `read_folder`.
    Raises UserError for a missing folder, a folder given twice or a folder without files of these endings.
    """
    for folder, count in Counter(folder.resolve() for folder in folders).items():
        if not folder.is_dir():
            raise UserError(f"--source_dir: no such folder: {folder}")
        if count > 1:
            raise UserError(f"--source_dir: the folder is given twice: {folder}")
    names = Counter(folder.resolve().name for folder in folders)
    projects = []
    for folder in folders:
        name = folder.resolve().name
        name = name if names[name] == 1 else folder.as_posix()
        files = read_folder(folder, name, suffixes, report, why_not)
        if not files:
            raise UserError(f"--source_dir: no {_endings(suffixes)} files in {folder}{_left_out(report)}")
        projects.append(Project(name, None, files, {"name": name}))
    return projects


def projects_from_debian(folder: Path, suffixes: frozenset[str], report: FileReport | None = None) -> list[Project]:
    """Read each `NAME_VERSION.orig.tar.{gz,xz,bz2}` in a folder, which `apt-get source --download-only` fills.

    Raises UserError for a folder without such archives.
    """
    archives = sorted(path for path in folder.glob("*_*.orig.tar.*") if path.suffix in (".gz", ".xz", ".bz2"))
    if not archives:
        raise UserError(f"--debian_sources: no NAME_VERSION.orig.tar.gz, .xz or .bz2 in {folder}")
    projects = []
    for archive in archives:
        name, version = archive.name.split(".orig.tar.")[0].split("_", 1)
        files, _ = read_archive(archive, name, suffixes, report)
        origin = {"name": name, "version": version, "sha256": file_sha256(archive), "licence": ""}
        projects.append(Project(name, None, files, origin))
    return [project for project in projects if project.files]


def _left_out(report: FileReport | None) -> str:
    """How many files have been left out so far and why, for an error message."""
    counts = Counter(report.left_out.values()) if report else Counter()
    return "".join(f"; {count} left out: {reason}" for reason, count in counts.most_common())


def _endings(suffixes: frozenset[str]) -> str:
    return "C/C++" if ".c" in suffixes else ", ".join(sorted(suffixes))
