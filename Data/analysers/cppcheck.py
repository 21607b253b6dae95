"""Runs Cppcheck, which follows values through each function. It needs no headers, but the file must parse."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from Data.analysers.findings import Failure, FileFindings, Finding, without_line_marks
from Data.analysers.run_tool import AnalyserFailed, run_tool, time_limit
from ltp_pipeline.code.functions import SourceFile, extract_functions
from ltp_pipeline.code.languages import language_of

FLAGS = (
    "--enable=warning", "--library=python", "--max-configs=1", "--check-level=normal", "--quiet", "--xml"
)  # fmt: skip
UNPARSED = frozenset(
    "syntaxError unknownMacro preprocessorErrorDirective internalAstError internalError cppcheckError "
    "unhandledChar".split()
)
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
MACROS = 3  # a file is analysed again with at most this many unknown macros defined as empty


def cppcheck_settings(file: SourceFile) -> str:
    """All inputs of the findings besides the file's text: flags and how the language is chosen."""
    return str((FLAGS, MACROS, language_of(file.path).name, file.path[-2:] == ".h"))


def cppcheck_findings(files: list[SourceFile]) -> list[FileFindings]:
    """The errors and warnings in each file that have a CWE, by line; None for a file that Cppcheck cannot parse.

    Each file is analysed by itself. Findings that concern several files are omitted.
    Raises AnalyserFailed if Cppcheck fails.
    """
    reports = _run(files, ())
    return [
        _retry_without_macros(file, report) if UNPARSED & _ids(report) else _findings(report)
        for file, report in zip(files, reports, strict=True)
    ]


def _retry_without_macros(file: SourceFile, report: list[ElementTree.Element]) -> FileFindings:
    """Run Cppcheck again with the unknown macros of its report defined as empty.

    Findings in functions that use such a macro are omitted, because Cppcheck does not read the code that a compiler
    reads.
    """
    macros: list[str] = []
    for _ in range(MACROS):
        named = [re.search(r"If (\w+) is a macro", error.get("msg", "")) for error in report]
        macros += [match[1] for match in named if match and match[1] not in macros][:1]
        if not macros:
            return None
        try:
            (report,) = _run([file], [f"-D{macro}=" for macro in macros])
        except AnalyserFailed as error:
            return Failure(str(error))
        if not UNPARSED & _ids(report):
            changed = _lines_of_users(file, macros)
            return [finding for finding in _findings(report) if finding.line not in changed]
    return None


def _lines_of_users(file: SourceFile, macros: list[str]) -> set[int]:
    """The lines of the functions that use one of the macros in their body."""
    lines: set[int] = set()
    for function in extract_functions(file):
        if set(macros) & set(re.findall(r"\w+", function.source.partition("{")[2])):
            lines.update(range(function.first_line, function.last_line + 1))
    return lines


def _run(files: list[SourceFile], flags: tuple[str, ...] | list[str]) -> list[list[ElementTree.Element]]:
    """The `<error>` elements of each file. Raises AnalyserFailed if Cppcheck fails."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, file in enumerate(files):
            ending = "cpp" if language_of(file.path).name == "cpp" or _is_cpp_header(file) else "c"
            paths.append(Path(folder, f"{number}.{ending}"))
            paths[-1].write_bytes(without_line_marks(file.text).encode())
        listed = Path(folder, "files")
        listed.write_text("\n".join(map(str, paths)))
        command = [sys.executable, "-m", "cppcheck", *FLAGS, *flags, f"--file-list={listed}"]
        _, xml = run_tool(command, time_limit(files))
    try:
        errors = ElementTree.fromstring(_NOT_XML.sub("\ufffd", xml[xml.index("<?xml") :])).iter("error")
    except (ValueError, ElementTree.ParseError) as error:
        raise AnalyserFailed(f"wrote XML that cannot be read: {error}") from None
    reports: list[list[ElementTree.Element]] = [[] for _ in files]
    for error in errors:
        place = error.find("location")
        name = Path(error.get("file0") or (place.get("file") if place is not None else "")).stem
        if name.isdigit() and int(name) < len(files):
            reports[int(name)].append(error)
    return reports


def _is_cpp_header(file: SourceFile) -> bool:
    return (
        file.path.endswith(".h") and re.search(r"^[ \t]*(?:class|namespace|template)\b", file.text, re.M) is not None
    )


def _ids(report: list[ElementTree.Element]) -> set[str]:
    return {error.get("id", "") for error in report}


def _findings(report: list[ElementTree.Element]) -> list[Finding]:
    found = set()
    for error in report:
        place = error.find("location")
        if error.get("severity") in ("error", "warning") and error.get("cwe") and place is not None:
            rule = error.get("id", "")
            if not rule.startswith("ctu"):
                cwes = (f"CWE-{error.get('cwe')}",)
                found.add(Finding(int(place.get("line", 0)), cwes, "cppcheck", rule, error.get("msg", "")))
    return sorted(found)
