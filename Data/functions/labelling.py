"""Functions of many files, hashed and labelled, on several cores."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from tqdm import tqdm

from Data.analysers.findings import FileFindings, Finding
from Data.analysers.registry import Analysis, findings_of, reads
from Data.functions.drop_near_duplicates import signature
from ltp_pipeline.code.code_tokens import code_tokens, token_hash
from ltp_pipeline.code.functions import Function, SourceFile, extract_functions, whole_file
from ltp_pipeline.code.languages import language_of

CHUNK_CHARACTERS = 400_000  # of source a task: large beside flawfinder's start, small beside the whole


@dataclass(frozen=True)
class LabelledFunction:
    """A function, the hash and number of its lexical tokens, and what the analysers found inside its lines."""

    function: Function
    token_hash: bytes
    n_tokens: int
    findings: tuple[Finding, ...]  # their lines in the function: 1 is its first line
    checked: tuple[str, ...] = ()  # the analysers that could parse its file
    signature: bytes = b""  # MinHash of its tokens

    @property
    def label(self) -> int:
        return int(bool(self.findings))

    @property
    def finding_lines(self) -> list[int]:
        return sorted({finding.line for finding in self.findings})

    @property
    def cwes(self) -> list[str]:
        return sorted({cwe for finding in self.findings for cwe in finding.cwes}, key=lambda cwe: int(cwe[4:]))

    @property
    def groups(self) -> set[str]:
        return {group for finding in self.findings for group in finding.groups}


def analyse(files: Sequence[SourceFile], analysis: Analysis, workers: int) -> list[LabelledFunction]:
    """The labelled functions of all files, in the order of the files and of their lines, whatever `workers` is."""
    functions: list[LabelledFunction] = []
    interval = 0.1 if sys.stderr.isatty() else 10
    with (
        ProcessPoolExecutor(workers) as pool,
        tqdm(total=len(files), desc="analyse", unit="file", mininterval=interval) as bar,
    ):
        chunks = list(_chunks(files))
        tasks = [_own(chunk, analysis) for chunk in chunks]
        for chunk, found in zip(chunks, pool.map(_analyse_task, zip(chunks, tasks)), strict=True):
            functions.extend(found)
            bar.update(len(chunk))
    return functions


def analyse_chunk(files: list[SourceFile], analysis: Analysis) -> list[LabelledFunction]:
    """What `analyse` does, for a few files in this process."""
    found: list[dict[str, FileFindings]] = [{} for _ in files]
    for name in analysis.analyzers:
        numbers = [number for number, file in enumerate(files) if reads(name, file)]
        for number, findings in zip(numbers, findings_of(name, [files[n] for n in numbers], analysis), strict=True):
            found[number][name] = findings
    extract = whole_file if analysis.granularity == "file" else extract_functions
    labelled = []
    for file, of_file in zip(files, found, strict=True):
        findings = [finding for each in of_file.values() for finding in each or ()]
        findings += analysis.given.get((file.project, file.path), ())
        checked = tuple(name for name, each in of_file.items() if each is not None)
        label = partial(_label, findings=findings, checked=checked, signatures=analysis.signatures)
        labelled += [label(function) for function in extract(file)]
    return labelled


def _analyse_task(task: tuple[list[SourceFile], Analysis]) -> list[LabelledFunction]:
    return analyse_chunk(*task)


def _own(files: Iterable[SourceFile], analysis: Analysis) -> Analysis:
    """The analysis with what concerns these files only: it travels to another process."""
    files = list(files)
    trees = {file.project: analysis.trees[file.project] for file in files if file.project in analysis.trees}
    given = {key: analysis.given[key] for key in ((f.project, f.path) for f in files) if key in analysis.given}
    return replace(analysis, trees=trees, given=given)


def _label(
    function: Function, findings: Iterable[Finding], checked: tuple[str, ...], signatures: bool
) -> LabelledFunction:
    inside = [finding for finding in findings if function.first_line <= finding.line <= function.last_line]
    tokens = code_tokens(function.source, language_of(function.path))
    return LabelledFunction(
        function=function,
        token_hash=token_hash(tokens),
        n_tokens=len(tokens),
        findings=tuple(sorted(replace(one, line=one.line - function.first_line + 1) for one in inside)),
        checked=checked,
        signature=signature(tokens) if signatures else b"",
    )


def _chunks(files: Iterable[SourceFile]) -> Iterator[list[SourceFile]]:
    chunk: list[SourceFile] = []
    for file in files:
        chunk.append(file)
        if sum(len(file.text) for file in chunk) >= CHUNK_CHARACTERS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
