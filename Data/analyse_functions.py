"""Functions of many files, hashed and labelled, on several cores."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from tqdm import tqdm

from Data.extract_functions import Function, code_tokens, extract_functions, token_hash
from Data.label_functions import Finding, flawfinder_findings
from Data.read_sources import SourceFile

CHUNK_CHARACTERS = 400_000  # of source a task: large beside flawfinder's start, small beside the whole


@dataclass(frozen=True)
class LabelledFunction:
    """A function, the hash and number of its lexical tokens, and what the analyser found inside its lines."""

    function: Function
    token_hash: str
    n_tokens: int
    finding_lines: tuple[int, ...]  # in the function: 1 is its first line
    cwes: tuple[str, ...]

    @property
    def label(self) -> int:
        return int(bool(self.finding_lines))


def analyse(files: Sequence[SourceFile], min_level: int, workers: int) -> list[LabelledFunction]:
    """The labelled functions of all files, in the order of the files and of their lines, whatever `workers` is."""
    functions: list[LabelledFunction] = []
    interval = 0.1 if sys.stderr.isatty() else 10
    with (
        ProcessPoolExecutor(workers) as pool,
        tqdm(total=len(files), desc="analyse", unit="file", mininterval=interval) as bar,
    ):
        chunks = list(_chunks(files))
        for chunk, found in zip(chunks, pool.map(partial(analyse_chunk, min_level=min_level), chunks), strict=True):
            functions.extend(found)
            bar.update(len(chunk))
    return functions


def analyse_chunk(files: list[SourceFile], min_level: int) -> list[LabelledFunction]:
    """What `analyse` does, for a few files in this process."""
    labelled = []
    for file, findings in zip(files, flawfinder_findings(files, min_level), strict=True):
        labelled += [_label(function, findings) for function in extract_functions(file)]
    return labelled


def _label(function: Function, findings: Iterable[Finding]) -> LabelledFunction:
    inside = [finding for finding in findings if function.first_line <= finding.line <= function.last_line]
    tokens = code_tokens(function.source)
    return LabelledFunction(
        function=function,
        token_hash=token_hash(tokens),
        n_tokens=len(tokens),
        finding_lines=tuple(sorted({finding.line - function.first_line + 1 for finding in inside})),
        cwes=tuple(sorted({cwe for finding in inside for cwe in finding.cwes}, key=lambda cwe: int(cwe[4:]))),
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
