"""Finds the functions of many files and labels each by the findings inside its lines, on several cores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from Data.analysers.findings import Failure, FileFindings, Finding
from Data.analysers.findings_cache import findings_of
from Data.analysers.registry import ANALYSERS, AnalyserOptions
from Data.analysers.scratch import temporary_files_in
from Data.functions.drop_near_duplicates import signature
from Data.functions.not_extracted import LostPlace, lost_places
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.code.code_tokens import code_tokens, token_hash
from ltp_pipeline.code.functions import Function, SourceFile, find_functions, whole_file
from ltp_pipeline.code.languages import language_of

CHUNK_CHARACTERS = 400_000  # of source in one task; the start of flawfinder then takes a small part of its time


@dataclass(frozen=True)
class LabelledFunction:
    """A function, the hash and number of its lexical tokens, and the findings inside its lines."""

    function: Function
    token_hash: bytes
    n_tokens: int
    findings: tuple[Finding, ...]  # line 1 is the first line of the function
    checked: tuple[str, ...] = ()  # names of the analysers that could parse the file
    signature: bytes = b""  # MinHash of the tokens
    failed: tuple[tuple[str, str], ...] = ()  # names of the analysers that failed on the file, and why
    given_label: int | None = None  # label of the file; None: findings decide

    @property
    def label(self) -> int:
        return int(bool(self.findings)) if self.given_label is None else self.given_label

    @property
    def finding_lines(self) -> list[int]:
        return sorted({finding.line for finding in self.findings})

    @property
    def cwes(self) -> list[str]:
        return sorted({cwe for finding in self.findings for cwe in finding.cwes}, key=lambda cwe: int(cwe[4:]))

    @property
    def groups(self) -> set[str]:
        return {group for finding in self.findings for group in finding.groups}


@dataclass(frozen=True)
class Labelling:
    """How functions are found and labelled."""

    analyzers: tuple[str, ...]  # names of the analysers to run
    options: AnalyserOptions = AnalyserOptions()  # options of the analysers
    cache_dir: Path | None = None  # folder of the cached findings; None: no cache is used
    granularity: str = "function"  # "function", or "file": each file is one function
    signatures: bool = False  # whether MinHash signatures are computed
    scratch: Path | None = None  # folder of temporary files; None: the system's
    # the user's own findings, by project and path
    given: Mapping[tuple[str, str], tuple[Finding, ...]] = field(default_factory=dict)


class Labelled(NamedTuple):
    """The functions of some files, and what looks like a function in them and is not extracted."""

    functions: list[LabelledFunction]
    lost: list[LostPlace]


def label_files(files: Sequence[SourceFile], labelling: Labelling, workers: int) -> Labelled:
    """The labelled functions of all files, in order of file and line. The result does not depend on `workers`.

    Raises UserError if the system ends a worker process.
    """
    chunks = list(_chunks(files))
    needed = [_for_files(chunk, labelling) for chunk in chunks]
    labelled = Labelled([], [])
    advice = "; the cache has what was analysed: run again with fewer processes, for example --workers 1"
    with worker_pool(workers, advice) as pool, progress_bar(total=len(files), desc="analyse", unit="file") as bar:
        for chunk, found in zip(chunks, pool.map(label_chunk, chunks, needed), strict=True):
            labelled.functions.extend(found.functions)
            labelled.lost.extend(found.lost)
            bar.update(len(chunk))
    return labelled


@contextmanager
def worker_pool(workers: int | None = None, advice: str = "") -> Iterator[Executor]:
    """A pool of processes; `workers` None: one for each core.

    Raises UserError, whose message ends with `advice`, if the system ends one of them.
    """
    try:
        with ProcessPoolExecutor(workers) as pool:
            yield pool
    except BrokenProcessPool:
        raise UserError(f"the system ended a worker process, perhaps because memory ran out{advice}") from None


def label_chunk(files: list[SourceFile], labelling: Labelling) -> Labelled:
    """The labelled functions of a few files, computed in this process."""
    by_analyser = _findings_by_analyser(files, labelling)
    labelled = Labelled([], [])
    for file, of_file in zip(files, by_analyser, strict=True):
        failed = tuple((name, each.reason) for name, each in of_file.items() if isinstance(each, Failure))
        of_file = {name: each for name, each in of_file.items() if not isinstance(each, Failure)}
        findings = [finding for each in of_file.values() for finding in each or ()]
        findings += labelling.given.get((file.project, file.path), ())
        checked = tuple(name for name, each in of_file.items() if each is not None)
        functions, places = (whole_file(file), []) if labelling.granularity == "file" else find_functions(file)
        found = [_label(function, findings, checked, labelling.signatures) for function in functions]
        labelled.functions.extend([replace(one, failed=failed) for one in found] if failed else found)
        labelled.lost.extend(lost_places(places, findings))
    return labelled


def _findings_by_analyser(files: list[SourceFile], labelling: Labelling) -> list[dict[str, FileFindings]]:
    """For each file, the findings of each analyser that reads its language."""
    by_analyser: list[dict[str, FileFindings]] = [{} for _ in files]
    for name in labelling.analyzers:
        read = [number for number, file in enumerate(files) if ANALYSERS[name].reads(file)]
        with temporary_files_in(labelling.scratch):
            found = findings_of(name, [files[number] for number in read], labelling.options, labelling.cache_dir)
        for number, findings in zip(read, found, strict=True):
            by_analyser[number][name] = findings
    return by_analyser


def _label(
    function: Function, findings: Iterable[Finding], checked: tuple[str, ...], signatures: bool
) -> LabelledFunction:
    inside = [finding for finding in findings if function.has_line(finding.line)]
    tokens = code_tokens(function.source, language_of(function.path))
    return LabelledFunction(
        function=function,
        token_hash=token_hash(tokens),
        n_tokens=len(tokens),
        findings=tuple(sorted(replace(one, line=one.line - function.first_line + 1) for one in inside)),
        checked=checked,
        signature=signature(tokens) if signatures else b"",
    )


def _for_files(files: Iterable[SourceFile], labelling: Labelling) -> Labelling:
    """A copy with only the trees and findings of these files, so that less is pickled for another process."""
    trees, given = labelling.options.trees, labelling.given
    trees = {file.project: trees[file.project] for file in files if file.project in trees}
    given = {key: given[key] for key in ((file.project, file.path) for file in files) if key in given}
    return replace(labelling, options=replace(labelling.options, trees=trees), given=given)


def _chunks(files: Iterable[SourceFile]) -> Iterator[list[SourceFile]]:
    chunk: list[SourceFile] = []
    for file in files:
        chunk.append(file)
        if sum(len(file.text) for file in chunk) >= CHUNK_CHARACTERS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
