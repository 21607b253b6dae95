"""Finds the source files of a scan below the files and folders of its command line."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.code.languages import LANGUAGES, OTHER_SUFFIXES, suffixes_of
from ltp_pipeline.scan.finding import SkippedFile
from ltp_pipeline.scan.sources.ignore_rules import IgnoreRules, glob_patterns

STANDARD_INPUT = "-"
HIDDEN = "hidden"
IGNORED = "ignored by Git's rules"
VENDORED = "vendored"
EXCLUDED = "--exclude"
NOT_INCLUDED = "not in --include"
NOT_REGULAR = "no regular file"
FOLDER_LINK = "a link to a folder"
LINK_TO_SCANNED = "a link to a file that is scanned"
BROKEN_LINK = "a link to nothing"
OTHER_ENDING = "another ending"
OTHER_LANGUAGE = "in another language"
MISSING = "no such file"

SUFFIXES = suffixes_of(LANGUAGES)
# Names of folders with copies of other projects, in upper or lower case
VENDORED_FOLDERS = re.compile(
    "(?:third|3rd)[-_]?party|_?vendor(?:s|ed)?|vendored[-_].*|node_modules|bower_components|extern(?:als?)?|_?deps"
    "|subprojects|site-packages|pods|carthage",
    re.IGNORECASE,
)
VIRTUAL_ENVIRONMENT = "pyvenv.cfg"  # in the top folder of a Python environment
_ESCAPE = re.compile(r"(\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.))")
_OF_VERSION_CONTROL = frozenset((".git", ".hg", ".svn", ".bzr"))


@dataclass(frozen=True)
class FoundFile:
    """A file to scan."""

    path: Path  # what to open
    shown: str  # the path as it is reported, see `shown_path`
    is_named: bool = False  # whether the user named it, instead of a folder that it is in: it is scanned in any case


def find_files(
    paths: Sequence[str], include: Sequence[str] = (), exclude: Sequence[str] = (), gitignore: bool = True
) -> tuple[list[FoundFile], list[SkippedFile]]:
    """The source files of files and folders, each once, in the order of their paths; and what is left out.

    Args:
        paths: files and folders. `-`: a list of them on standard input, one a line or separated by NUL characters.
        include: globs, as in a .gitignore file; only files that match one are scanned.
        exclude: such globs; files and folders that match one are not scanned.
        gitignore: whether files are left out that .gitignore files and .git/info/exclude name.

    Raises UserError for a path that does not exist or is no source file, and for a wrong glob.
    """
    search = _Search(include, exclude, gitignore)
    for path in paths:
        if path == STANDARD_INPUT:
            for listed in _listed():
                search.add(listed, is_listed=True)
        else:
            search.add(path)
    return search.result()


def shown_path(path: str) -> str:
    """A path as it is reported: relative to the current folder, with `/`.

    A path outside the current folder begins with `..` if the user typed a relative one; otherwise it is absolute.
    Backslashes, characters that are not printable and bytes that are not UTF-8 are escapes, such as `\\n` and
    `\\xe9`; [`path_bytes`] reads them. Two paths are never shown alike.
    """
    here = os.getcwd()
    absolute = os.path.normpath(os.path.join(here, path))
    inner = _below(absolute, here)
    if inner is None and os.path.isabs(path):
        inner = _below(os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute)), here)
    if inner is None:
        inner = absolute if os.path.isabs(path) else os.path.relpath(absolute, here)
    return _escaped(PurePosixPath(inner).as_posix())


def path_bytes(shown: str) -> bytes:
    """The bytes of the path that [`shown_path`] shows so."""
    parts = _ESCAPE.split(shown)  # text and escapes in turn
    return b"".join(
        bytes([int(part[2:], 16)])
        if part.startswith("\\x")
        else (part.encode().decode("unicode_escape") if part.startswith("\\") else part).encode(
            "utf-8", "surrogateescape"
        )
        for part in parts
    )


def _below(path: str, folder: str) -> str | None:
    """The path relative to a folder; None if it is not in it."""
    if path == folder:
        return "."
    prefix = folder.rstrip(os.sep) + os.sep
    return path[len(prefix) :] if path.startswith(prefix) else None


def _escaped(name: str) -> str:
    if name.isprintable() and "\\" not in name:
        return name
    return "".join(map(_escape, name))


def _escape(letter: str) -> str:
    """A letter, or its escape. `\\x80` to `\\xff` are bytes that are not UTF-8, never letters."""
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    if "\x80" <= letter <= "\xff" and not letter.isprintable():
        return f"\\u{ord(letter):04x}"
    return letter if letter.isprintable() and letter != "\\" else repr(letter)[1:-1]


def _listed() -> Iterable[str]:
    """The paths on standard input."""
    try:
        content = sys.stdin.buffer.read()
    except (OSError, AttributeError, ValueError) as error:  # a folder, or standard input is closed
        reason = getattr(error, "strerror", None) or "it is closed"
        raise UserError(f"PATH {STANDARD_INPUT}: cannot read the list on standard input: {reason}") from None
    separator = b"\0" if b"\0" in content else b"\n"
    return [os.fsdecode(line) for line in (one.rstrip(b"\r") for one in content.split(separator)) if line]


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _globs(flag: str, globs: Sequence[str]) -> GitIgnoreSpec | None:
    """Patterns that match files, and all files in the folders that they match. Raises UserError for a wrong one."""
    patterns = []
    for glob in globs:
        found = glob_patterns(glob)
        if not found:
            raise UserError(f"{flag} {printable(glob)!r}: expected a pattern as in .gitignore, such as *.c or tests/")
        patterns += found
    return GitIgnoreSpec(patterns) if patterns else None


class _Search:
    """What was found so far, by real path."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str], gitignore: bool) -> None:
        self.include, self.exclude = _globs("--include", include), _globs("--exclude", exclude)
        self.gitignore = gitignore
        self.found: dict[str, FoundFile] = {}
        self.skipped: dict[str, SkippedFile] = {}
        self.links: dict[str, tuple[str, str]] = {}  # path of a link -> its target, the path as shown
        self.walked: set[str] = set()

    def result(self) -> tuple[list[FoundFile], list[SkippedFile]]:
        """The files and what is left out, both in order of the paths as shown."""
        for path, (target, shown) in sorted(self.links.items(), key=lambda item: item[1][1]):
            if target in self.found:
                self._skip(path, shown, LINK_TO_SCANNED)
            else:
                self.found[target] = FoundFile(Path(path), shown)
        skipped = [one for path, one in self.skipped.items() if path not in self.found and path not in self.walked]
        return sorted(self.found.values(), key=lambda file: file.shown), sorted(skipped, key=lambda one: one.path)

    def add(self, path: str, is_listed: bool = False) -> None:
        """Adds a path of the command line, or of the list on standard input. It is scanned even if it is ignored."""
        shown = shown_path(path)
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:
            if is_listed:
                return self._skip(path, shown, MISSING, is_error=True)
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"PATH {shown}: {reason}; expected a file or folder") from None
        real = os.path.realpath(path)
        if is_listed and os.path.islink(path) and stat.S_ISDIR(status.st_mode):
            self._skip(path, f"{shown}/", FOLDER_LINK)  # a tool made the list, such as git ls-files
        elif stat.S_ISDIR(status.st_mode):
            self._walk(path, real)
        elif stat.S_ISREG(status.st_mode) and _suffix(path) in SUFFIXES:
            if reason := self._why_not(shown):
                return self._skip(real, shown, reason)
            file = FoundFile(Path(path), shown)
            if os.path.islink(path):  # a file that was found already keeps its own name
                file = self.found.get(real, file)
            self.found[real] = replace(file, is_named=True)
        elif is_listed:
            self._skip(real, shown, OTHER_ENDING if stat.S_ISREG(status.st_mode) else NOT_REGULAR)
        elif stat.S_ISREG(status.st_mode):
            raise UserError(f"PATH {shown}: expected a folder, or a file that ends in {' '.join(sorted(SUFFIXES))}")
        else:
            raise UserError(f"PATH {shown}: {NOT_REGULAR}; expected a file or folder")

    def _walk(self, top: str, real_top: str) -> None:
        """Adds the files below a folder, of which `real_top` is the real path."""
        rules = IgnoreRules.around(real_top) if self.gitignore else IgnoreRules()
        waiting = [(top, real_top, "", rules, False)]
        while waiting:
            folder, real, inner, rules, is_vendored = waiting.pop()
            shown = shown_path(folder)
            shown = "" if shown == "." else f"{shown.rstrip('/')}/"
            self.walked.add(real)
            if self.gitignore:
                rules = rules.inside(real)
            try:
                with os.scandir(folder) as entries:
                    found = list(entries)
            except OSError as error:
                self._skip(f"{real}/", shown or "./", f"unreadable: {error.strerror}", is_error=True)
                continue
            is_vendored |= any(entry.name == VIRTUAL_ENVIRONMENT for entry in found)
            for entry in found:
                name = _escaped(entry.name)
                place = os.path.join(real, entry.name), f"{shown}{name}", f"{inner}{name}"
                if entry.is_dir(follow_symlinks=False):
                    if self._enters(entry, *place, rules):
                        vendored = is_vendored or VENDORED_FOLDERS.fullmatch(entry.name) is not None
                        path = os.path.join(folder, entry.name)
                        waiting.append((path, place[0], f"{place[2]}/", rules, vendored))
                else:
                    self._add_entry(entry, os.path.join(folder, entry.name), *place, rules, is_vendored)

    def _enters(self, entry: os.DirEntry[str], real: str, shown: str, inner: str, rules: IgnoreRules) -> bool:
        """Whether the search goes into a folder."""
        if entry.name in _OF_VERSION_CONTROL:
            return False
        reason = ""
        if entry.name.startswith("."):
            reason = HIDDEN
        elif self.exclude and (self.exclude.match_file(f"{shown}/") or self.exclude.match_file(f"{inner}/")):
            reason = EXCLUDED
        elif rules.ignores(real, is_folder=True):
            reason = IGNORED
        if reason:
            self._skip(real, f"{shown}/", reason)
        return not reason

    def _add_entry(
        self, entry: os.DirEntry[str], path: str, real: str, shown: str, inner: str, rules: IgnoreRules, vendored: bool
    ) -> None:
        """Adds an entry of a folder that is no folder."""
        if entry.is_symlink() and os.path.isdir(path):
            return self._skip(real, f"{shown}/", FOLDER_LINK)
        suffix = _suffix(entry.name)
        if suffix not in SUFFIXES and suffix not in OTHER_SUFFIXES:
            return None
        reason = HIDDEN if entry.name.startswith(".") else self._why_not(shown, inner)
        if not reason and rules.ignores(real):
            reason = IGNORED
        reason = reason or (VENDORED if vendored else "")
        if suffix not in SUFFIXES:
            return None if reason else self._skip(real, shown, OTHER_LANGUAGE)
        if reason:
            return self._skip(real, shown, reason)
        if entry.is_symlink():
            return self._add_link(path, real, shown)
        if not entry.is_file(follow_symlinks=False):
            return self._skip(real, shown, NOT_REGULAR)
        self.found.setdefault(real, FoundFile(Path(path), shown))
        return None

    def _add_link(self, path: str, real: str, shown: str) -> None:
        """Notes a link to a file: whether its target is scanned anyway is known at the end."""
        target = os.path.realpath(path)
        if os.path.isfile(target):
            self.links[path] = target, shown
        else:
            self._skip(real, shown, NOT_REGULAR if os.path.exists(target) else BROKEN_LINK, not os.path.exists(target))

    def _why_not(self, shown: str, inner: str = "") -> str:
        """Why a file is left out by a glob of the command line; "" if it is not."""
        names = [shown, inner] if inner else [shown]
        if self.exclude and any(map(self.exclude.match_file, names)):
            return EXCLUDED
        if self.include and not any(map(self.include.match_file, names)):
            return NOT_INCLUDED
        return ""

    def _skip(self, key: str, shown: str, reason: str, is_error: bool = False) -> None:
        self.skipped.setdefault(key, SkippedFile(shown, reason, is_error))
