"""Names a unit of code so that it has the same name after lines above it have changed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from ltp_pipeline.scan.finding import CodeUnit

KIND = "ltpUnitText/v1"  # the name of these fingerprints in SARIF files; a change of `fingerprint` needs a new version


def fingerprint(unit: CodeUnit, ordinal: int) -> str:
    """32 hexadecimal digits of SHA-256 over the path, the name and the text of a unit, not over its line numbers.

    Each run of white space in the text counts as one space, so that new indentation changes nothing.

    Args:
        unit: a function, or a whole file.
        ordinal: how many earlier units of the same file have the same name and text, as in two branches of an #if.
            Counted over all units of the file, also those that this scan leaves out.
    """
    parts = (unit.path, unit.name, str(ordinal), " ".join(unit.text.split()))
    # Half characters: names of files may hold bytes that are not of the locale's encoding.
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def fingerprints(units: Iterable[CodeUnit]) -> list[str]:
    """The fingerprint of each unit. `units`: all units of one file (or of several whole files), in their order."""
    seen: Counter[str] = Counter()
    names = []
    for unit in units:
        first = fingerprint(unit, 0)
        names.append(fingerprint(unit, seen[first]) if seen[first] else first)
        seen[first] += 1
    return names
