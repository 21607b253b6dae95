"""Reads a list of pinned source distributions, in which each line also names a split."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.base.text_encoding import decode_text

SPLITS = ("train", "validation", "test")
_PIN = re.compile(r"(?P<name>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)==(?P<version>\S+)\s+sha256:(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True)
class PinnedSource:
    """One line of a source list; `place` is its `file:line`, for error messages."""

    split: str
    name: str
    version: str
    sha256: str
    place: str


def read_source_list(path: str | Path) -> list[PinnedSource]:
    """Read lines of the form `SPLIT NAME==VERSION sha256:HEX`; `#` starts a comment.

    Returns the sources of training, validation and test, each in the order of the file.
    Raises UserError for a missing file, a malformed line, a name given twice or a split without a source.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"--sources: no such file: {path}")
    sources: dict[str, PinnedSource] = {}
    for number, line in enumerate(decode_text(path.read_bytes())[0].splitlines(), start=1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        source = _parse_line(line, f"{path}:{number}")
        name = canonicalize_name(source.name)
        if name in sources:
            raise UserError(f"{source.place}: {source.name} is already listed at {sources[name].place}")
        sources[name] = source
    for split in SPLITS:
        if not any(source.split == split for source in sources.values()):
            raise UserError(f"{path}: no source for the {split} split; at least one line must start with '{split}'")
    return sorted(sources.values(), key=lambda source: SPLITS.index(source.split))


def _parse_line(line: str, place: str) -> PinnedSource:
    split, _, pin = line.replace("\t", " ").partition(" ")
    if split not in SPLITS or _PIN.fullmatch(pin.strip()) is None:
        raise UserError(
            f"{place}: not a pinned source: {printable(line)!r}; expected 'SPLIT NAME==VERSION sha256:HEX' with "
            f"SPLIT one of {', '.join(SPLITS)} and 64 hexadecimal digits"
        )
    return pinned_source(pin.strip(), split, place)


def pinned_source(pin: str, split: str, place: str) -> PinnedSource:
    """The source that `pin`, `NAME==VERSION sha256:HEX`, names. Raises UserError, with `place`, if it names none."""
    match = _PIN.fullmatch(pin)
    if match is None:
        raise UserError(
            f"{place}: not a pinned source: {printable(pin)!r}; expected NAME==VERSION sha256:HEX with 64 hexadecimal "
            "digits"
        )
    try:
        Version(match["version"])
    except ValueError:  # InvalidVersion is one; another is raised for a number of more than 4,300 digits
        raise UserError(f"{place}: not a version: {printable(match['version'])!r}") from None
    return PinnedSource(split, **match.groupdict(), place=place)
