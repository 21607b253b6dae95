"""Runs flawfinder, which searches a C or C++ file for calls known to be risky. The file need not parse."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
import tempfile
from bisect import bisect_left
from pathlib import Path

from Data.analysers.findings import FileFindings, Finding
from Data.analysers.run_tool import AnalyserFailed, run_tool, time_limit
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.code.languages import LANGUAGES
from ltp_pipeline.code.literals import masked
from ltp_pipeline.files.file_formats import FIELD_LIMIT

_BREAK = re.compile(r"[;{},)\n]")  # a newline may follow; in the text without comments and strings
LONG_LINE = 5_000  # characters; flawfinder repeats the line with each of its findings


def flawfinder_findings(files: list[SourceFile], min_level: int) -> list[FileFindings]:
    """The findings in each file with a risk level of at least `min_level` (0 to 5), by line.

    The files on disk are named by numbers, so that a name from an archive is never used as a path or argument.
    Raises AnalyserFailed if flawfinder fails.
    """
    breaks: list[list[int]] = []  # of each file: the numbers of the lines in the written file that we added
    with tempfile.TemporaryDirectory() as folder:
        for number, file in enumerate(files):
            text, added = _with_short_lines(file.text)
            breaks.append(added)
            Path(folder, f"{number}.c").write_bytes(text.encode())
        command = [sys.executable, "-m", "flawfinder", "--csv", f"--minlevel={min_level}", folder]
        output, _ = run_tool(command, time_limit(files), env={**os.environ, "PYTHONUTF8": "1"})
    findings: list[list[Finding]] = [[] for _ in files]
    csv.field_size_limit(FIELD_LIMIT)
    try:
        for row in csv.DictReader(io.StringIO(output, newline="")):
            number, line = int(Path(row["File"]).stem), int(row["Line"])
            cwes = tuple(sorted(set(re.findall(r"CWE-\d+", row["CWEs"]))))
            line -= bisect_left(breaks[number], line + 1)
            findings[number].append(Finding(line, cwes, "flawfinder", row["Name"], row["Warning"]))
    except (csv.Error, KeyError, TypeError, ValueError, IndexError) as error:
        raise AnalyserFailed(f"wrote CSV that cannot be read: {error}") from None
    return [sorted(of_file) for of_file in findings]


def _with_short_lines(text: str) -> tuple[str, list[int]]:
    """The text with newlines added to lines of more than LONG_LINE characters, and the numbers of the added lines.

    Otherwise memory and time are the number of findings times the length of the line.
    """
    if max(map(len, text.split("\n"))) <= LONG_LINE:
        return text, []
    code = masked(text, LANGUAGES["c"])
    parts, added, begin, line, line_start = [], [], 0, 1, 0
    for match in _BREAK.finditer(code):
        if match[0] == "\n":
            line, line_start = line + 1, match.end()
        elif match.end() - line_start > LONG_LINE:
            parts += [text[begin : match.end()], "\n"]
            begin = line_start = match.end()
            line += 1
            added.append(line)
    return "".join([*parts, text[begin:]]), added
