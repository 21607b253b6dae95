"""Reads the source files of an archive in memory: nothing is unpacked to disk, and no code of the archive runs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from Data.sources.source_files import MAX_FILE_BYTES, decode_source, encodable, is_source
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import SourceFile

MAX_ARCHIVE_BYTES = 1 << 30  # unpacked
MAX_ARCHIVE_MEMBERS = 100_000
_UNREADABLE = (
    OSError, EOFError, RuntimeError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile
)  # fmt: skip


def read_archive(path: Path, project: str, suffixes: frozenset[str]) -> tuple[list[SourceFile], str]:
    """The files with these endings in a source distribution (.tar.gz, .tar.xz, .tar.bz2 or .zip), sorted by path.

    Also returns the licence that PKG-INFO names ("" if none). Only regular files are read: links, devices, paths
    outside the archive and files of more than MAX_FILE_BYTES are skipped.
    Raises UserError for an archive that is damaged, of another format, or larger than the limits of this module.
    """
    members = _zip_members if path.suffix == ".zip" else _tar_members
    files, licence = [], ""
    try:
        for name, content in members(path, suffixes):
            inner = _inner_path(name)
            if inner == "PKG-INFO":
                licence = _licence(content)
            elif inner is not None and is_source(inner, suffixes):
                files.append(SourceFile(project, inner, decode_source(content)))
    except _UNREADABLE as error:
        raise UserError(f"{path}: not a readable .tar.gz or .zip archive: {error}") from None
    return sorted(files, key=lambda file: file.path), licence


def _inner_path(name: str) -> str | None:
    """The path below the top folder of the archive; None for a path that is absolute or contains `..`."""
    parts = PurePosixPath(encodable(name).replace("\\", "/")).parts
    if len(parts) < 2 or parts[0] == "/" or ".." in parts:
        return None
    return "/".join(parts[1:])


def _is_wanted(name: str, suffixes: frozenset[str]) -> bool:
    return is_source(name, suffixes) or PurePosixPath(name).name == "PKG-INFO"


def _tar_members(path: Path, suffixes: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    unpack = {".xz": lzma.open, ".bz2": bz2.open}.get(path.suffix, gzip.open)
    with unpack(path) as unpacked, tarfile.open(fileobj=_LimitedStream(unpacked, path), mode="r|") as archive:
        for count, member in enumerate(archive):
            _check_limits(path, members=count + 1)
            if member.isreg() and _is_wanted(member.name, suffixes) and member.size <= MAX_FILE_BYTES:
                yield member.name, archive.extractfile(member).read()


def _zip_members(path: Path, suffixes: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    total = 0
    with zipfile.ZipFile(path) as archive:
        for count, member in enumerate(archive.infolist()):
            _check_limits(path, members=count + 1, size=total)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG) or member.is_dir() or not _is_wanted(member.filename, suffixes):
                continue
            with archive.open(member) as file:
                content = file.read(MAX_FILE_BYTES + 1)
            total += len(content)
            if len(content) <= MAX_FILE_BYTES:
                yield member.filename, content


def _check_limits(path: Path, members: int = 0, size: int = 0) -> None:
    if members > MAX_ARCHIVE_MEMBERS:
        raise UserError(f"{path}: more than {MAX_ARCHIVE_MEMBERS} files in the archive")
    if size > MAX_ARCHIVE_BYTES:
        raise UserError(f"{path}: unpacks to more than {MAX_ARCHIVE_BYTES} bytes")


class _LimitedStream:
    """A stream that raises UserError after MAX_ARCHIVE_BYTES, because tarfile also unpacks members that it skips."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self.stream, self.path, self.total = stream, path, 0

    def read(self, size: int) -> bytes:
        block = self.stream.read(size)
        self.total += len(block)
        _check_limits(self.path, size=self.total)
        return block


def _licence(content: bytes) -> str:
    """The licence named in a PKG-INFO, on one line."""
    headers = HeaderParser().parsestr(content.decode("utf-8", errors="replace"))
    named = headers.get("License-Expression") or (headers.get("License") or "").strip().split("\n")[0]
    classifiers = [value for value in headers.get_all("Classifier", []) if value.startswith("License ::")]
    return named.strip() or ", ".join(value.split(" :: ")[-1] for value in classifiers)
