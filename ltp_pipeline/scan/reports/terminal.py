"""Shows findings in a terminal: a ranked table, the lines that matter of the first ones, and what was not scanned."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import TextIO

from ltp_pipeline.base.display_width import columns, cut, cut_begin
from ltp_pipeline.base.errors import printable
from ltp_pipeline.base.files import format_table
from ltp_pipeline.scan.finding import Finding, ScanReport
from ltp_pipeline.view.escapes import TAB
from ltp_pipeline.view.escapes import printable as printable_code

SHOWN = 10  # findings whose lines are shown, unless the user asks for another number
TABLE_ROWS = 50
ERRORS_SHOWN = 10
MARKED = 5  # lines of a finding that get a mark
CONTEXT = 2  # lines before and after a marked one
UNMARKED = 8  # lines shown of a finding whose lines have no scores
PIPE_WIDTH = 160  # columns of a line of code where the output is no terminal
NARROWEST = 40  # columns; a narrower terminal wraps lines
MIN_PLACE = 24  # columns of the table, for the name of a file
# Parameters of SGR, the escape codes for colours.
BOLD, DIM, RED, YELLOW = "1", "2", "1;31", "33"
LEVEL_COLORS = {"error": RED, "warning": YELLOW, "note": ""}


def wants_color(no_color: bool, stream: TextIO | None = None) -> bool:
    """Whether to use colours: on a terminal that has them, unless --no_color or NO_COLOR (no-color.org) is set."""
    stream = sys.stdout if stream is None else stream
    return stream.isatty() and not no_color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def output_width(stream: TextIO | None = None) -> int | None:
    """The columns of the terminal, 80 if they are not known; None for a file or a pipe, unless COLUMNS is set."""
    stream = sys.stdout if stream is None else stream
    if not stream.isatty() and not os.environ.get("COLUMNS"):
        return None
    return shutil.get_terminal_size((80, 24)).columns


def terminal_text(report: ScanReport, color: bool = False, width: int | None = 80, shown: int = SHOWN) -> str:
    """The findings that are new, as text whose last line has counts and time.

    Control characters, and marks of writing direction, are shown as escapes.

    Args:
        report: of a scan.
        color: whether to use colours; see [`wants_color`].
        width: columns of the terminal; None: names of files are not cut, and lines of code at `PIPE_WIDTH`.
        shown: how many findings to show with their lines; 0: all. The table then has all rows, too.
    """
    view = _View(color, None if width is None else max(NARROWEST, width))
    findings = [finding for finding in report.findings if finding.is_new]
    rows = max(shown, TABLE_ROWS) if shown else len(findings)
    parts = [view.table(findings[:rows])] if findings else []
    if len(findings) > rows:
        parts[0] += f"\n({len(findings) - rows} more rows: --show 0 shows all)"
    parts += [view.finding(rank, finding) for rank, finding in enumerate(findings[: shown or None], start=1)]
    if 0 < shown < len(findings):
        parts.append(f"({_count(len(findings) - shown, 'more finding')}, here without lines: --show 0 shows all)")
    parts += [view.not_scanned(report)] if any(part.is_error for part in report.skipped) else []
    return "\n\n".join([*parts, "\n".join([*_notes(report), summary(report)])]) + "\n"


def summary(report: ScanReport) -> str:
    """One line with the counts and the time of a scan."""
    new = sum(finding.is_new for finding in report.findings)
    whole = report.units == report.files and not any(one.unit.name for one in report.findings)
    units = "" if whole else f"{_count(report.units, 'function')} of "
    errors = sum(part.is_error for part in report.skipped)
    counts = [
        f"{_count(new, 'new finding' if report.baseline else 'finding')} in {units}{_count(report.files, 'file')}"
    ]
    counts += [f"{len(report.findings) - new} in the baseline"] if report.baseline else []
    counts += [f"{len(report.suppressed)} suppressed"] if report.suppressed else []
    counts += [f"{errors} not scanned"] if errors else []
    speed = f" ({report.units / report.seconds:.3g} a second)" if report.seconds > 0 and report.units else ""
    return f"{', '.join(counts)}; {report.seconds:.1f} s{speed}"


def _notes(report: ScanReport) -> list[str]:
    skipped = Counter(part.reason for part in report.skipped if not part.is_error)
    left_out = "; ".join(f"{count} {printable(reason)}" for reason, count in sorted(skipped.items()))
    cost = [f"{report.cached} of {report.units} from the cache"] if report.cached else []
    if report.relative_flops is not None and report.relative_flops < 1:
        cost.append(f"{report.relative_flops:.0%} of the FLOPs of the unpruned model")
    since = report.settings.get("changed_since")
    notes = [f"only what has changed since {printable(since)}"] if since else []
    notes += [f"left out: {left_out}"] if skipped else []
    return notes + ([", ".join(cost)] if cost else [])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class _View:
    color: bool
    width: int | None

    def table(self, findings: list[Finding]) -> str:
        """A row for each finding. In a narrow terminal it has fewer columns."""
        rows = [_row(rank, finding) for rank, finding in enumerate(findings, start=1)]
        names = ["#", "prob.", "class", "read first", "function", "place"]
        if len({finding.label for finding in findings}) == 1:
            names.remove("class")
        if not any(row["function"] for row in rows):
            names.remove("function")
        if self.width is not None:
            for row in rows:
                row["function"] = cut(row["function"], self.width // 4)
            for dropped in (None, "read first", "function", "class"):
                names = [name for name in names if name != dropped]
                other = sum(max(columns(name), *(columns(row[name]) for row in rows)) + 2 for name in names[:-1])
                if self.width - other >= MIN_PLACE:
                    break
            for row in rows:
                row["place"] = cut_begin(row["place"], max(8, self.width - other))
        head, rule, *lines = format_table(rows, names).split("\n")
        painted = (self._sgr(LEVEL_COLORS[f.level], line) for f, line in zip(findings, lines, strict=True))
        return "\n".join([self._sgr(BOLD, head), self._sgr(DIM, rule), *painted])

    def finding(self, rank: int, finding: Finding) -> str:
        """Two lines about a finding, then its code."""
        unit, marks = finding.unit, marks_of(finding)
        line = max(marks, key=marks.__getitem__, default=unit.first_line)
        name = f"  {printable(unit.name)}" if unit.name else ""
        head = f"{rank}. {printable(unit.path, 4096)}:{line}{name}"
        about = [f"{printable(finding.label)} {finding.probability:.4f}", f"lines {unit.first_line}-{unit.last_line}"]
        about += [f"{finding.tokens} tokens"] if finding.tokens else []
        about += [f"{finding.kept.share:.0%} kept (mean of the layers)"] if finding.kept is not None else []
        about += [] if marks else ["lines not scored"]
        return "\n".join(
            [self._sgr(BOLD, head), self._sgr(DIM, f"   {', '.join(about)}"), *self._code(finding, marks)]
        )

    def _code(self, finding: Finding, marks: dict[int, int]) -> Iterator[str]:
        lines, first = finding.unit.text.rstrip("\n").split("\n"), finding.unit.first_line
        digits = len(str(first + len(lines)))
        room = PIPE_WIDTH if self.width is None else self.width - digits - 7
        before = None
        for number in _shown_lines(first, len(lines), marks):
            if before is not None and number > before + 1:
                yield self._sgr(DIM, f"    {'':>{digits}} | ...")
            before, mark = number, marks.get(number, 0)
            text = cut(printable_code(lines[number - first].replace("\t", TAB)).rstrip(" "), room)
            gutter = f"{'>' * mark:>3} {number:>{digits}} |"
            code = self._sgr(("", YELLOW, YELLOW, RED)[mark], f" {text}") if text else ""
            yield (gutter if mark else self._sgr(DIM, gutter)) + code

    def not_scanned(self, report: ScanReport) -> str:
        """The files, and parts of files, that should have been scanned and could not be."""
        errors = [part for part in report.skipped if part.is_error]
        out = [self._sgr(RED, f"not scanned, because of errors: {len(errors)}")]
        for part in errors[:ERRORS_SHOWN]:
            place = printable(part.path, 4096) + (f":{part.first_line}" if part.first_line else "")
            out.append(f"  {place}: {printable(part.reason)}")
        if len(errors) > ERRORS_SHOWN:
            out.append(f"  ({len(errors) - ERRORS_SHOWN} more: --json lists all)")
        return "\n".join(out)

    def _sgr(self, codes: str, text: str) -> str:
        return f"\x1b[{codes}m{text}\x1b[0m" if self.color and codes else text


def marks_of(finding: Finding) -> dict[int, int]:
    """The lines that matter most and their marks: 3 for a score of at least two thirds of the highest, 2 for at least
    one third, else 1. At most `MARKED` lines, the highest score first; only scores above 0, which speak for the class.
    """
    lines = [(line, score) for line, score in finding.lines if isfinite(score) and score > 0][:MARKED]
    return {line: min(3, 1 + int(3 * score / lines[0][1])) for line, score in lines}


def _shown_lines(first: int, count: int, marks: dict[int, int]) -> list[int]:
    """The lines to show: the first one and the marked ones with their context; without marks, the first ones.

    A gap of one line is filled.
    """
    last = first + count - 1
    if not marks:
        return list(range(first, min(last, first + UNMARKED - 1) + 1))
    near = {line + step for line in marks for step in range(-CONTEXT, CONTEXT + 1)}
    shown = sorted({first, *(line for line in near if first <= line <= last)})
    return sorted({*shown, *(low + 1 for low, high in pairwise(shown) if high == low + 2)})


def _row(rank: int, finding: Finding) -> dict[str, str]:
    unit = finding.unit
    return {
        "#": f"{rank:>3}",
        "prob.": f"{finding.probability:.4f}",
        "class": printable(finding.label),
        "read first": " ".join(map(str, list(marks_of(finding))[:3])),
        "function": printable(unit.name),
        "place": f"{printable(unit.path, 4096)}:{unit.first_line}",
    }
