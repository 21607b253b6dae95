"""Caches findings on disk, so that an analyser reads the same text with the same settings only once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from Data.analysers.findings import FileFindings, Finding, without_line_marks
from Data.analysers.registry import ANALYSERS, AnalyserOptions
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import SourceFile


def findings_of(
    name: str, files: list[SourceFile], options: AnalyserOptions, cache_dir: Path | None = None
) -> list[FileFindings]:
    """The findings of one analyser in each file; None for a file that it cannot parse.

    `cache_dir`: folder of the cache; None: no cache is used.
    Raises UserError if the cache cannot be written to, and RuntimeError if the analyser fails.
    """
    keys = [findings_key(name, file, options) for file in files]
    known: dict[str, FileFindings] = {}
    if cache_dir is not None:
        for key in keys:
            with contextlib.suppress(KeyError):
                known[key] = _load(cache_dir, key)
    missing = {key: file for key, file in zip(keys, files, strict=True) if key not in known}
    if missing:
        found = ANALYSERS[name].run(list(missing.values()), options)
        for key, findings in zip(missing, found, strict=True):
            known[key] = findings
            if cache_dir is not None:
                _store(cache_dir, key, findings)
    return [known[key] for key in keys]


def findings_key(name: str, file: SourceFile, options: AnalyserOptions) -> str:
    """A hash of all inputs of the findings."""
    text = without_line_marks(file.text) if name == "cppcheck" else file.text
    parts = (name, version(ANALYSERS[name].package), ANALYSERS[name].settings(file, options), text)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _path(cache_dir: Path, key: str) -> Path:
    return cache_dir / "findings" / key[:2] / f"{key}.json"


def _load(cache_dir: Path, key: str) -> FileFindings:
    """The cached findings. Raises KeyError if there are none or if their file is damaged."""
    try:
        rows = json.loads(_path(cache_dir, key).read_text(encoding="utf-8"))
        return rows if rows is None else [Finding(**{**row, "cwes": tuple(row["cwes"])}) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise KeyError(key) from error


def _store(cache_dir: Path, key: str, findings: FileFindings) -> None:
    path = _path(cache_dir, key)
    temporary = path.with_name(f".{key}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = None if findings is None else [asdict(finding) for finding in findings]
        temporary.write_text(json.dumps(rows), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"--cache_dir: cannot write to {cache_dir}: {error.strerror}") from None
