"""Reads the source files of a folder, and decodes the content and names of source files."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import SourceFile

MAX_FILE_BYTES = 4 << 20  # a larger source file is generated or holds data


def read_folder(folder: Path, project: str, suffixes: frozenset[str]) -> list[SourceFile]:
    """The files with these endings below a folder, sorted by path.

    Links, hidden files and folders, and files of more than MAX_FILE_BYTES are skipped.
    Raises UserError for a file that cannot be read.
    """
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(parent, name) for name in names if is_source(name, suffixes) and not name.startswith(".")):
            try:
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_FILE_BYTES:
                    inner = encodable(path.relative_to(folder).as_posix())
                    files.append(SourceFile(project, inner, decode_source(path.read_bytes())))
            except OSError as error:
                raise UserError(f"--source_dir: cannot read {encodable(str(path))}: {error.strerror}") from None
    return sorted(files, key=lambda file: file.path)


def is_source(path: str, suffixes: frozenset[str]) -> bool:
    """Whether the path has one of these endings, in upper or lower case."""
    return PurePosixPath(path).suffix.lower() in suffixes


def decode_source(content: bytes) -> str:
    """Decodes UTF-8, or Latin-1 if the bytes are not UTF-8.

    Line ends become `\\n`. NUL characters and a byte order mark are removed.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def encodable(path: str) -> str:
    """The path with `?` for each byte that is not UTF-8, which Python represents as a lone surrogate."""
    return path.encode("utf-8", errors="replace").decode()
