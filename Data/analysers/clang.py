"""Runs Clang's static analyser through clang-tidy. It can read only files that compile."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

from Data.analysers.clang_headers import ClangTree
from Data.analysers.findings import Failure, FileFindings, Finding, cwe_table
from Data.analysers.run_tool import AnalyserFailed, run_tool
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.code.languages import language_of

CONFIG = "{CheckOptions: {clang-analyzer-mode: shallow, clang-analyzer-max-nodes: '1000'}}"
FLAGS = ("-nostdlibinc", "-ffreestanding", "-w", "-ferror-limit=1")
LENIENT = tuple(
    f"-Wno-error={name}"
    for name in (
        "implicit-function-declaration", "implicit-int", "int-conversion", "incompatible-pointer-types",
        "incompatible-function-pointer-types", "return-type",
    )
)  # fmt: skip
TIMEOUT = 60  # seconds per file
MAX_MESSAGE = 10_000  # characters in a line of Clang's output
_LINE = re.compile(
    r"^(?P<path>.+?):(?P<line>\d+):\d+: (?P<kind>warning|error|fatal error): (?P<text>.*) \[(?P<check>\S+)\]$"
)


def clang_tidy() -> str:
    """The path of the program in the clang-tidy wheel. Raises ModuleNotFoundError if the wheel is not installed."""
    found = importlib.util.find_spec("clang_tidy")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'clang_tidy'")
    return str(Path(found.origin).parent / "data" / "bin" / "clang-tidy")


def clang_cwe(checker: str) -> str | None:
    """The CWE of a checker, whose name lacks `clang-analyzer-`; None if the table excludes its findings."""
    cwe = next(value for beginning, value in cwe_table("clang").items() if checker.startswith(beginning))
    return None if cwe == "-" else cwe


def clang_settings(file: SourceFile, tree: ClangTree | None) -> str:
    """All inputs of the findings besides the file's text: flags, path, the project's files and the CWE table."""
    return str((CONFIG, FLAGS, LENIENT, file.path, tree and tree.digest, cwe_table("clang")))


def clang_findings(file: SourceFile, tree: ClangTree) -> FileFindings:
    """The findings that have a CWE, by line; None if the file does not compile, Failure if Clang fails.

    Clang fails if it crashes or takes longer than TIMEOUT.
    """
    place = tree.root / file.path
    if not os.path.isfile(place):  # Path.is_file() raises an error for a name that is too long
        return None
    is_cpp = language_of(file.path).name == "cpp"
    language = ["-x", "c++", "-std=gnu++17"] if is_cpp else ["-x", "c", "-std=gnu11"]
    folders = [flag for folder in tree.folders[file.path] for flag in ("-I", str(tree.root / folder))]
    command = [clang_tidy(), "--quiet", "-checks=-*,clang-analyzer-*", f"-config={CONFIG}", str(place), "--"]
    flags = [*language, *FLAGS, *LENIENT, *folders, "-I", str(tree.stubs)]
    try:
        output, _ = run_tool([*command, *flags], TIMEOUT, ok=range(128))
    except AnalyserFailed as error:
        return Failure(str(error))
    short = (line for line in output.split("\n") if len(line) <= MAX_MESSAGE)  # others repeat the code
    lines = [match for match in map(_LINE.match, short) if match]
    if any("error" in match["kind"] for match in lines):
        return None
    found = set()
    for match in lines:
        rule = match["check"].split(",")[0].removeprefix("clang-analyzer-")
        cwe = clang_cwe(rule)
        if cwe and Path(match["path"]) == place:
            found.add(Finding(int(match["line"]), (cwe,), "clang", rule, match["text"]))
    return sorted(found)
