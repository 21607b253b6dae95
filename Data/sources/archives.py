"""Reads the source files of an archive in memory: nothing is unpacked to disk, and no code of the archive runs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from Data.sources.file_report import (
    LONG_PATH,
    MAX_PATH,
    NOT_REGULAR,
    OUTSIDE,
    SAME_PATH,
    FileReport,
)
from Data.sources.source_files import encodable, is_source, read_source
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.files.source_text import MAX_FILE_BYTES, TOO_LARGE

MAX_ARCHIVE_BYTES = 1 << 30  # unpacked
MAX_ARCHIVE_MEMBERS = 100_000
MAX_HEADER_BYTES = 1 << 20  # of a tar member that holds a long name or other attributes of the next member
_UNREADABLE = (
    OSError, EOFError, RuntimeError, ValueError, LookupError, OverflowError, struct.error, zlib.error, lzma.LZMAError,
    tarfile.TarError, zipfile.BadZipFile,
)  # fmt: skip
_FORMATS = {b"\x1f\x8b": ".tar.gz", b"PK": ".zip", b"\xfd7zXZ": ".tar.xz", b"BZh": ".tar.bz2"}
_ATTRIBUTES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
Member = tuple[str, "bytes | None", str]  # name, content, why it is left out ("": it is not)


def read_archive(
    path: Path, project: str, suffixes: frozenset[str], report: FileReport | None = None
) -> tuple[list[SourceFile], str]:
    """The files with these endings in a source distribution (.tar.gz, .tar.xz, .tar.bz2 or .zip), sorted by path.

    Also returns the licence that PKG-INFO names ("" if none). Only regular files are read: links, devices, paths
    outside the archive and files of more than MAX_FILE_BYTES are left out, and `report` lists them. Of several files
    with one path the last one is read, as when an archive is unpacked.
    Raises UserError for an archive that is damaged, of another format, or larger than the limits of this module.
    """
    members = _zip_members if path.suffix == ".zip" else _tar_members
    report = FileReport() if report is None else report
    contents: dict[str, bytes] = {}
    licence = ""
    try:
        for name, content, reason in members(path, suffixes):
            inner = _inner_path(name)
            reason = reason or _why_not(inner)
            if reason:
                if is_source(name, suffixes):
                    report.left_out[project, inner or encodable(name)[:MAX_PATH]] = reason
            elif inner == "PKG-INFO":
                licence = _licence(content)
            elif is_source(inner, suffixes):
                if inner in contents:
                    report.left_out[project, f"{inner} (copy {len(report.left_out)})"] = SAME_PATH
                contents[inner] = content
    except _UNREADABLE as error:
        raise UserError(f"{path}: not a readable {_expected(path)}: {error}") from None
    files = [read_source(project, inner, content, report) for inner, content in sorted(contents.items())]
    return files, licence


def _expected(path: Path) -> str:
    """What the archive was read as, and what it seems to be if that is something else."""
    with suppress(OSError), path.open("rb") as file:
        start = file.read(6)
        found = next((ending for magic, ending in _FORMATS.items() if start.startswith(magic)), "")
        if found and not path.name.endswith((found, found.replace("tar.", "t"))):
            return f".tar.gz or .zip archive; its content is that of a {found}, so rename it"
    return ".tar.gz or .zip archive"


def _inner_path(name: str) -> str | None:
    """The path below the top folder of the archive; None for a path that is absolute or contains `..`."""
    parts = PurePosixPath(encodable(name).replace("\\", "/")).parts
    if len(parts) < 2 or parts[0] == "/" or ".." in parts:
        return None
    return "/".join(parts[1:])


def _why_not(inner: str | None) -> str:
    if inner is None:
        return OUTSIDE
    return LONG_PATH if len(inner) > MAX_PATH else ""


def _is_wanted(name: str, suffixes: frozenset[str]) -> bool:
    return is_source(name, suffixes) or PurePosixPath(name).name == "PKG-INFO"


class _StrictHeader(tarfile.TarInfo):
    """A header of a tar member. tarfile takes a damaged header for the end of the archive; here it is an error."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(archive)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:
            raise tarfile.ReadError(f"damaged: {error}") from None

    @classmethod
    def frombuf(cls, *arguments: Any) -> tarfile.TarInfo:
        header = super().frombuf(*arguments)
        if header.type in _ATTRIBUTES and header.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a name or attribute of {header.size} bytes")
        return header


def _tar_members(path: Path, suffixes: frozenset[str]) -> Iterator[Member]:
    unpack = {".xz": lzma.open, ".bz2": bz2.open}.get(path.suffix, gzip.open)
    with (
        unpack(path) as unpacked,
        tarfile.open(fileobj=_LimitedStream(unpacked, path), mode="r|", tarinfo=_StrictHeader) as archive,
    ):
        for count, member in enumerate(archive):
            _check_limits(path, members=count + 1)
            if member.isdir() or not _is_wanted(member.name, suffixes):
                continue
            if not member.isreg() or member.size > MAX_FILE_BYTES:
                yield member.name, None, NOT_REGULAR if not member.isreg() else TOO_LARGE
            else:
                yield member.name, archive.extractfile(member).read(), ""


def _zip_members(path: Path, suffixes: frozenset[str]) -> Iterator[Member]:
    total = 0
    with zipfile.ZipFile(path) as archive:
        for count, member in enumerate(archive.infolist()):
            _check_limits(path, members=count + 1, size=total)
            if member.is_dir() or not _is_wanted(member.filename, suffixes):
                continue
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
                yield member.filename, None, NOT_REGULAR
                continue
            with archive.open(member) as file:
                content = file.read(MAX_FILE_BYTES + 1)
            total += len(content)
            yield member.filename, content, TOO_LARGE if len(content) > MAX_FILE_BYTES else ""


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
