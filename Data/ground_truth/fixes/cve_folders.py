"""Reads VulDeePecker's folders of CVEs: which functions of their source files the fix of the CVE changes.

Such a folder, `CWE-119/source_files/CVE-2015-5166`, holds a diff, `CVE-2015-5166.txt`, and source files as they were
before it. The name of a source file is that of the project, its version, the CVE and the path, with `_` for `/`:
`Firefox_11.0b8_CVE_2012_0468_js_src_jsarray.cpp`; in some folders the path lacks its folders.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath

from Data.ground_truth.fixes.changed_functions import FunctionsOfDiff, functions_of_diff
from Data.ground_truth.fixes.unified_diffs import FileDiff, parse_diff
from Data.ground_truth.importer import read_files
from Data.sources.source_files import is_source
from ltp_pipeline.base.text_encoding import decode_text
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.code.languages import suffixes_of
from ltp_pipeline.files.source_text import decode_source

SUFFIXES = suffixes_of(("c", "cpp")) | {".inc"}
_CVE = re.compile(r"CVE[-_](\d{4})[-_](\d+)", re.IGNORECASE)
_NAME = re.compile(r"(?P<project>[A-Za-z][A-Za-z _]*?)[ _]+(?:CVE|v?\d).*?CVE[-_]\d+[-_]\d+[ _]*(?P<path>.*)", re.I)
_PROJECTS = {"linux_kernel": "linux", "vlc_media_player": "vlc", "apache_http_server": "httpd", "apache": "httpd"}

COUNTED = (
    "CVE_folders_with_source_files",
    "source_files",
    "files_that_are_not_C_or_C++",
    "files_that_are_not_in_the_diff",
    "hunks",
    "hunks_not_found",
    "hunks_that_the_file_already_has",
)


@dataclass(frozen=True)
class CveFile:
    """A source file of a CVE's folder."""

    cve: str
    cwe: str
    file: SourceFile
    functions: FunctionsOfDiff


def cve_folders(source: Path) -> list[Path]:
    """The folders of CVEs, sorted by CWE and name."""
    return sorted(path for path in source.glob("CWE-*/source_files/*") if _CVE.match(path.name) and path.is_dir())


def read_cve_files(source: Path, counts: dict[str, int]) -> Iterator[CveFile]:
    """The source files of all CVEs that the CVE's diff changes. Adds counts of folders, files and hunks to `counts`.

    Raises OSError for a file or folder that cannot be read.
    """
    folders = cve_folders(source)
    counts["CVE_folders"] = len(folders)
    counts.update(dict.fromkeys(COUNTED, 0))
    paths = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    for folder, group in groupby(read_files(source, paths), key=lambda file: PurePosixPath(file[0]).parent):
        files = list(group)
        diffs = [diff for path, content in files if _is_diff(path) for diff in parse_diff(decode_text(content)[0])]
        sources = [(path, content) for path, content in files if not _is_diff(path)]
        counts["CVE_folders_with_source_files"] += bool(sources)
        counts["source_files"] += len(sources)
        for path, content in sources:
            project, inner = split_name(PurePosixPath(path).name)
            diff = diff_of(inner, diffs)
            if not is_source(path, SUFFIXES):
                counts["files_that_are_not_C_or_C++"] += 1
            elif diff is None:
                counts["files_that_are_not_in_the_diff"] += 1
            else:
                file = SourceFile(project, path, decode_source(content))
                functions = functions_of_diff(file, diff.hunks)
                counts["hunks"] += len(diff.hunks)
                counts["hunks_not_found"] += functions.hunks_not_found
                counts["hunks_that_the_file_already_has"] += functions.hunks_applied
                yield CveFile("-".join(("CVE", *_CVE.match(folder.name).groups())), folder.parts[0], file, functions)


def _is_diff(path: str) -> bool:
    return path.endswith(".txt")


def split_name(name: str) -> tuple[str, str]:
    """The project and the path in a source file's name, with `_` for `/`. The project is in lower case.

    >>> split_name("Firefox_11.0b8_CVE_2012_0468_js_src_jsarray.cpp")
    ('firefox', 'js_src_jsarray.cpp')
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return "", name
    project = re.sub(r"[ _]+", "_", match["project"]).lower()
    return _PROJECTS.get(project, project), match["path"]


def diff_of(inner: str, diffs: Sequence[FileDiff]) -> FileDiff | None:
    """The diff of the file with this path, in which `_` stands for `/`; None if there is none.

    Of several files of that name it is the one with most folders in common. The ending may differ: a project has
    renamed its files from `.c` to `.cpp` between the version of the source and that of the diff.
    """

    def likeness(diff: FileDiff) -> tuple[int, bool, bool]:
        own, other, name = (_flat(path) for path in (inner, diff.path, PurePosixPath(diff.path).name))
        if not f"_{own}".endswith(f"_{name}"):
            return 0, False, False
        endings = [PurePosixPath(path).suffix for path in (inner, diff.path)]
        common = os.path.commonprefix([own[::-1], other[::-1]])
        return len(common), endings[0] == endings[1], endings[0].startswith(".h") == endings[1].startswith(".h")

    best = max((diff for diff in diffs if diff.path), key=likeness, default=None)
    if best is None or not likeness(best)[0]:
        return None
    return FileDiff(best.path, tuple(hunk for diff in diffs if diff.path == best.path for hunk in diff.hunks))


def _flat(path: str) -> str:
    """The path without its ending, in lower case, with `_` for everything but letters and digits."""
    return re.sub(r"[^A-Za-z0-9]+", "_", re.sub(r"\.\w+$", "", path)).lower()
