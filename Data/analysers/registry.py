"""The analysers by name, and their findings in a cache, so that no file is analysed twice."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from Data.analysers import clang as run_clang
from Data.analysers import cppcheck as run_cppcheck
from Data.analysers.bandit import bandit_findings
from Data.analysers.clang import clang_findings
from Data.analysers.clang_headers import ClangTree
from Data.analysers.cppcheck import cppcheck_findings
from Data.analysers.cwe_groups import table
from Data.analysers.findings import FileFindings, Finding, without_line_marks
from Data.analysers.flawfinder import flawfinder_findings
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.code.languages import language_of

PACKAGES = {"flawfinder": "flawfinder", "cppcheck": "cppcheck", "clang": "clang-tidy", "bandit": "bandit"}
READS = {"flawfinder": ("c", "cpp"), "cppcheck": ("c", "cpp"), "clang": ("c", "cpp"), "bandit": ("python",)}


@dataclass(frozen=True)
class Analysis:
    """Which analysers run and how. `trees`: for clang, each project on disk."""

    analyzers: tuple[str, ...]
    min_level: int = 1
    cache_dir: Path | None = None
    granularity: str = "function"
    signatures: bool = False  # whether MinHash signatures are wanted
    trees: dict[str, ClangTree] = field(default_factory=dict)
    given: dict[tuple[str, str], tuple[Finding, ...]] = field(
        default_factory=dict
    )  # of --findings_csv, by project, path


def check_installed(analyzers: Iterable[str]) -> dict[str, str]:
    """Name -> version of the packages. Raises UserError naming the pip command for one that is missing."""
    versions = {}
    for name in analyzers:
        package = PACKAGES[name]
        try:
            versions[name] = version(package)
        except PackageNotFoundError:
            versions[name] = ""
        if not versions[name] or importlib.util.find_spec(package.replace("-", "_")) is None:
            raise UserError(f"--analyzers {name} needs the package {package}: pip install {package}")
    return versions


def findings_of(name: str, files: list[SourceFile], analysis: Analysis) -> list[FileFindings]:
    """The findings of one analyser in each file, from the cache or by running it; None for a file it cannot parse."""
    keys = [_key(name, file, analysis) for file in files]
    known = {key: found for key in set(keys) if (found := _load(analysis.cache_dir, key)) is not None}
    todo = {key: file for key, file in zip(keys, files, strict=True) if key not in known}
    if todo:
        for key, findings in zip(todo, _run(name, list(todo.values()), analysis), strict=True):
            known[key] = (findings,)
            _store(analysis.cache_dir, key, findings)
    return [known[key][0] for key in keys]


def reads(name: str, file: SourceFile) -> bool:
    """Whether the analyser is one for the file's language."""
    return language_of(file.path).name in READS[name]


def default_analyzers(languages: Iterable[str]) -> list[str]:
    """Flawfinder and Cppcheck for C and C++, bandit for Python: a default build keeps under a quarter of an hour."""
    return [name for name in READS if name != "clang" and not set(languages).isdisjoint(READS[name])]


def _run(name: str, files: list[SourceFile], analysis: Analysis) -> list[FileFindings]:
    runs: dict[str, Callable[[], list[FileFindings]]] = {
        "flawfinder": lambda: flawfinder_findings(files, analysis.min_level),
        "cppcheck": lambda: cppcheck_findings(files),
        "clang": lambda: [clang_findings(file, analysis.trees[file.project]) for file in files],
        "bandit": lambda: bandit_findings(files),
    }
    return runs[name]()


def _key(name: str, file: SourceFile, analysis: Analysis) -> str:
    """A hash over all that the findings depend on."""
    tree = analysis.trees.get(file.project)
    flags = {
        "flawfinder": str(analysis.min_level),
        "cppcheck": str(
            (run_cppcheck.FLAGS, run_cppcheck.MACROS, language_of(file.path).name, file.path[-2:] == ".h")
        ),
        "clang": str(
            (run_clang.CONFIG, run_clang.FLAGS, run_clang.LENIENT, file.path, tree and tree.digest, table("clang"))
        ),
        "bandit": os.sys.version,
    }[name]
    text = without_line_marks(file.text) if name == "cppcheck" else file.text
    parts = (name, version(PACKAGES[name]), flags, text)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _place(cache: Path, key: str) -> Path:
    return cache / "findings" / key[:2] / f"{key}.json"


def _load(cache: Path | None, key: str) -> tuple[FileFindings] | None:
    """The findings in a tuple of one, or None if the cache lacks them or holds a damaged file."""
    try:
        rows = json.loads(_place(cache, key).read_text(encoding="utf-8")) if cache else ...
        if rows is ...:
            return None
        return (rows if rows is None else [Finding(**{**row, "cwes": tuple(row["cwes"])}) for row in rows],)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _store(cache: Path | None, key: str, findings: FileFindings) -> None:
    if cache is None:
        return
    place = _place(cache, key)
    temporary = place.with_name(f".{key}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        rows = None if findings is None else [asdict(finding) for finding in findings]
        temporary.write_text(json.dumps(rows), encoding="utf-8")
        os.replace(temporary, place)
    except OSError as error:
        raise UserError(f"--cache_dir: cannot write to {cache}: {error.strerror}") from None
