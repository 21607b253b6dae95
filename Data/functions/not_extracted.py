"""What looks like a function and is not extracted: counted for the data card, and listed in a table."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from Data.analysers.findings import Finding
from ltp_pipeline.code.functions import NotExtracted


@dataclass(frozen=True)
class LostPlace:
    """A place that looks like a function and is not extracted, and the number of findings that are lost with it."""

    place: NotExtracted
    findings: int


def lost_places(places: Iterable[NotExtracted], findings: Iterable[Finding]) -> list[LostPlace]:
    """The places of one file, each with the number of the file's findings in its lines."""
    lines = sorted(finding.line for finding in findings)
    return [LostPlace(one, bisect_right(lines, one.last_line) - bisect_left(lines, one.first_line)) for one in places]


def count_lost(lost: Sequence[LostPlace]) -> dict[str, Any]:
    """The section `not_extracted` of the data card: places and findings, and places by reason and by project."""
    return {
        "places": len(lost),
        "findings": sum(one.findings for one in lost),
        "by_reason": dict(Counter(one.place.reason for one in lost).most_common()),
        "by_project": dict(Counter(one.place.project for one in lost).most_common()),
    }


def lost_frame(lost: Sequence[LostPlace]) -> pd.DataFrame:
    """A row for each place, with the columns that Data/README.md lists."""
    columns = ["project", "path", "first_line", "last_line", "reason", "findings", "head"]
    rows = [
        (p.project, p.path, p.first_line, p.last_line, p.reason, one.findings, p.head.strip()[:200])
        for one in lost
        for p in [one.place]
    ]
    return pd.DataFrame(rows, columns=columns)
