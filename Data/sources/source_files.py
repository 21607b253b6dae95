"""Reads the source files of a folder, and decodes the content and names of source files."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from Data.sources.file_report import HIDDEN, NOT_REGULAR, FileReport
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.text_encoding import decode_text, plain_text
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.files.source_text import MAX_FILE_BYTES, TOO_LARGE, why_no_text


def read_folder(
    folder: Path,
    project: str,
    suffixes: frozenset[str],
    report: FileReport | None = None,
    why_not: Callable[[Path, str], str] | None = None,
) -> list[SourceFile]:
    """The files with these endings below a folder, sorted by path.

    Links, hidden files and folders, files of more than MAX_FILE_BYTES, binary and empty files are left out; `report`
    lists those outside hidden folders.

    `why_not`: says why a path in `folder` is left out, "" if it is not.
    Raises UserError for a file or folder that cannot be read.
    """
    report = FileReport() if report is None else report
    files: dict[str, SourceFile] = {}

    def fail(error: OSError) -> None:
        raise UserError(f"--source_dir: cannot read {encodable(str(error.filename))}: {error.strerror}") from None

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(parent, name) for name in sorted(names) if is_source(name, suffixes)):
            inner = _distinct(path.relative_to(folder).as_posix(), files)
            try:
                reason = _why_not(path) or (why_not(folder, inner) if why_not else "")
                content = b"" if reason else path.read_bytes()
                reason = reason or why_no_text(decode_text(content)[0])
                if not reason:
                    files[inner] = read_source(project, inner, content, report)
                else:
                    report.left_out[project, inner] = reason
            except OSError as error:
                fail(error)
    return sorted(files.values(), key=lambda file: file.path)


def _why_not(path: Path) -> str:
    """Why a file is left out; "" if it is not."""
    status = path.lstat()
    if path.name.startswith("."):
        return HIDDEN
    if not stat.S_ISREG(status.st_mode):
        return NOT_REGULAR
    return TOO_LARGE if status.st_size > MAX_FILE_BYTES else ""


def is_source(path: str, suffixes: frozenset[str]) -> bool:
    """Whether the path has one of these endings, in upper or lower case."""
    return PurePosixPath(path).suffix.lower() in suffixes


def read_source(project: str, path: str, content: bytes, report: FileReport) -> SourceFile:
    """The file with this content. Counts its encoding."""
    text, encoding = decode_text(content)
    report.encodings[f"{encoding}, with NULs" if "\0" in text else encoding] += 1
    return SourceFile(project, path, plain_text(text))


def encodable(path: str) -> str:
    """The path with `?` for each byte that is not UTF-8, which Python represents as a lone surrogate."""
    return path.encode("utf-8", errors="replace").decode()


def _distinct(path: str, taken: dict[str, SourceFile]) -> str:
    """The encodable path; with `%E9` instead of `?` if another file already has that path."""
    written = encodable(path)
    if written not in taken:
        return written
    return "".join(f"%{ord(char) - 0xDC00:02X}" if "\udc80" <= char <= "\udcff" else char for char in path)
