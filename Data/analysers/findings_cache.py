"""Caches findings on disk, so that an analyser reads the same text with the same settings only once."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from Data.analysers.findings import Failure, FileFindings, Finding, without_line_marks
from Data.analysers.registry import ANALYSERS, AnalyserOptions
from Data.analysers.run_tool import AnalyserFailed
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import parse_json
from ltp_pipeline.code.functions import SourceFile

FORMAT = 2  # increase it when the files of the cache, or what this package makes of an analyser's output, change


def findings_of(
    name: str, files: list[SourceFile], options: AnalyserOptions, cache_dir: Path | None = None
) -> list[FileFindings]:
    """The findings of one analyser in each file; None for a file that it cannot parse, Failure if it fails there.

    `cache_dir`: folder of the cache; None: no cache is used. Failures are not cached: the next build tries again.
    Raises UserError if the cache cannot be written to, or if the analyser fails on a file without any difficulty.
    """
    keys = [findings_key(name, file, options) for file in files]
    known: dict[str, FileFindings] = {}
    if cache_dir is not None:
        for key in keys:
            cached = _load(cache_dir, key)
            if cached is not _MISSING:
                known[key] = cached
    missing = {key: file for key, file in zip(keys, files, strict=True) if key not in known}
    if missing:
        for key, findings in zip(missing, _analyse(name, list(missing.values()), options), strict=True):
            known[key] = findings
            if cache_dir is not None and not isinstance(findings, Failure):
                _store(cache_dir, key, findings)
    return [known[key] for key in keys]


def _analyse(name: str, files: list[SourceFile], options: AnalyserOptions) -> list[FileFindings]:
    """The findings in each file. If the analyser fails, each file is analysed by itself, so that only one is lost."""
    try:
        return ANALYSERS[name].run(files, options)
    except AnalyserFailed as error:
        if len(files) > 1:
            return [findings for file in files for findings in _analyse(name, [file], options)]
        _check_that_it_runs(name)
        return [Failure(str(error))]
    except OSError as error:
        raise UserError(f"--analyzers {name}: cannot be run: {error}") from None


@functools.cache
def _check_that_it_runs(name: str) -> None:
    """Raises UserError if the analyser fails on a file of one statement: then it is the analyser that is broken."""
    ending = {"c": "c", "cpp": "cpp", "python": "py"}[ANALYSERS[name].languages[0]]
    text = "x = 1\n" if ending == "py" else "int x;\n"
    try:
        ANALYSERS[name].run([SourceFile("", f"x.{ending}", text)], AnalyserOptions())
    except AnalyserFailed as error:
        raise UserError(
            f"--analyzers {name}: fails on every file: {error}; install it again: pip install --force-reinstall "
            f"{ANALYSERS[name].package}"
        ) from None


def findings_key(name: str, file: SourceFile, options: AnalyserOptions) -> str:
    """A hash of all inputs of the findings: the text, the analyser's version and settings, and FORMAT."""
    text = without_line_marks(file.text) if name == "cppcheck" else file.text
    parts = (str(FORMAT), name, version(ANALYSERS[name].package), ANALYSERS[name].settings(file, options), text)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


_MISSING: Any = object()  # there is no usable file in the cache; None means that the analyser cannot parse the file


def _path(cache_dir: Path, key: str) -> Path:
    return cache_dir / "findings" / key[:2] / f"{key}.json"


def _load(cache_dir: Path, key: str) -> FileFindings:
    """The cached findings; _MISSING if there are none, or if their file is damaged or belongs to another key."""
    try:
        content = parse_json(_path(cache_dir, key).read_bytes())
        if content["key"] != key:
            return _MISSING
        rows = content["findings"]
        return None if rows is None else [_finding(row) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return _MISSING


def _finding(row: dict[str, Any]) -> Finding:
    """A finding of a cache file. Raises TypeError if a value has another type."""
    finding = Finding(**{**row, "cwes": tuple(row["cwes"])})
    texts = (finding.analyzer, finding.rule, finding.message, *finding.cwes)
    if type(finding.line) is not int or not all(isinstance(text, str) for text in texts):
        raise TypeError(row)
    return finding


def _store(cache_dir: Path, key: str, findings: list[Finding] | None) -> None:
    path = _path(cache_dir, key)
    temporary = path.with_name(f".{key}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = None if findings is None else [asdict(finding) for finding in findings]
        temporary.write_text(json.dumps({"key": key, "findings": rows}), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"--cache_dir: cannot write to {cache_dir}: {error.strerror}") from None
