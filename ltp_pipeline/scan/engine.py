"""Scans files and folders: finds functions, classifies them, and explains the findings."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.model.ranking_note import ranking_note
from ltp_pipeline.scan.checkpoint import Checkpoint, open_checkpoint
from ltp_pipeline.scan.explain import check_line_scores, explain
from ltp_pipeline.scan.finding import CodeUnit, Finding, ScanReport, SkippedFile
from ltp_pipeline.scan.fingerprints import fingerprints
from ltp_pipeline.scan.paths import find_files
from ltp_pipeline.scan.predict import Predictor
from ltp_pipeline.scan.settings import ScanSettings
from ltp_pipeline.scan.units import units_of
from ltp_pipeline.view.encode import encode_windows

WINDOW = 1024  # units that are classified together, in batches of similar length
DIGITS = 6  # of probabilities
# The settings that decide what is found; the others only say how the scan runs
DECIDING = ("include", "exclude", "no_gitignore", "granularity", "threshold", "top", "truncation", "line_scores")


@dataclass(frozen=True)
class Result:
    """What the model says of a text."""

    probability: float
    label: int  # index in `Checkpoint.labels`
    tokens: int  # of the whole text
    read: int  # tokens that the model read, in all windows
    executed: int  # FLOPs
    unpruned: int  # FLOPs


def scan(paths: Sequence[str | Path], model_name_or_path: str | Path, **settings: Any) -> ScanReport:
    """Scans files and folders with a checkpoint.

    Args:
        paths: files and folders.
        model_name_or_path: folder or hub name of a classifier of functions.
        settings: fields of [`ScanSettings`], which have the names of the flags of ltp_scan.py.

    Raises UserError if a path, the checkpoint or a setting cannot be used.
    """
    return run_scan(list(map(str, paths)), str(model_name_or_path), ScanSettings(**settings))


def run_scan(paths: Sequence[str], model_name_or_path: str, settings: ScanSettings) -> ScanReport:
    """As [`scan`]."""
    start = time.monotonic()
    checkpoint = open_checkpoint(model_name_or_path, settings)
    files, skipped = find_files(paths, settings.include, settings.exclude, not settings.no_gitignore)
    predictor = Predictor(checkpoint, settings)
    method = check_line_scores(settings.line_scores, checkpoint, predictor)
    report = ScanReport(
        [],
        list(skipped),
        [],
        model_name_or_path,
        model_hash(model_name_or_path),
        checkpoint.threshold,
        {**{name: asdict(settings)[name] for name in DECIDING}, "max_length": checkpoint.max_length},
        len(files),
        ranking_note=ranking_note(checkpoint.config, checkpoint.task) or "",
    )
    chosen: list[tuple[Finding, int]] = []
    flops = np.zeros(2, dtype=np.int64)
    with progress_bar(desc="scanning", unit=" functions", disable=settings.quiet) as bar:
        for window in windows(files, settings, report.skipped):
            results = classify([unit.text for unit, _ in window], checkpoint, predictor)
            for (unit, name), result in zip(window, results, strict=True):
                report.units += 1
                report.tokens += result.read
                flops += result.executed, result.unpruned
                if checkpoint.threshold is None or result.probability > checkpoint.threshold:
                    label, probability = checkpoint.labels[result.label], round(result.probability, DIGITS)
                    chosen.append((Finding(unit, probability, label, name, tokens=result.tokens), result.label))
            chosen = best(chosen, settings.top)
            bar.update(len(window))
    report.findings = list(explained(chosen, checkpoint, predictor, method))
    report.relative_flops = round(float(flops[0] / flops[1]), DIGITS) if flops[1] else None
    report.skipped.sort(key=lambda one: (one.path, one.first_line or 0))
    report.seconds = time.monotonic() - start
    return report


def windows(files, settings, skipped: list[SkippedFile]) -> Iterator[list[tuple[CodeUnit, str]]]:
    """The units of the files with their fingerprints, `WINDOW` at a time. Adds to `skipped` what is left out."""
    window: list[tuple[CodeUnit, str]] = []
    for file in files:
        units, left_out = units_of(file, settings.granularity)
        skipped += left_out
        for pair in zip(units, fingerprints(units), strict=True):
            window.append(pair)
            if len(window) == WINDOW:
                yield window
                window = []
    if window:
        yield window


def classify(texts: Sequence[str], checkpoint: Checkpoint, predictor: Predictor) -> list[Result]:
    """The result of each text. Equal texts are read once."""
    unique = list(dict.fromkeys(texts))
    encoded = encode_windows(unique, checkpoint.tokenizer, checkpoint.max_length, checkpoint.truncation)
    text_of = [number for number, own in enumerate(encoded) for _ in own]
    rows = [window for own in encoded for window in own]
    probabilities = np.zeros((len(unique), len(checkpoint.labels)))
    flops = np.zeros((len(unique), 2), dtype=np.int64)
    for batch in predictor.batches([len(row) for row in rows]):
        own = [text_of[i] for i in batch]
        found, counts = predictor.run([rows[i].input_ids for i in batch])
        np.maximum.at(probabilities, own, found)
        np.add.at(flops, own, counts)
    results = {
        text: Result(
            float(values.max()),
            int(values.argmax()),
            encoded[number][0].full_length,
            sum(map(len, encoded[number])),
            *map(int, flops[number]),
        )
        for number, (text, values) in enumerate(zip(unique, probabilities, strict=True))
    }
    return [results[text] for text in texts]


def best(chosen: list[tuple[Finding, int]], top: int | None) -> list[tuple[Finding, int]]:
    """The findings in order: the highest probability first, equal ones by path and line; with `top` that many."""
    chosen = sorted(chosen, key=lambda one: (-one[0].probability, one[0].unit.path, one[0].unit.first_line))
    return chosen if top is None else chosen[:top]


def explained(chosen, checkpoint: Checkpoint, predictor: Predictor, method: str) -> Iterator[Finding]:
    """The findings with their lines and kept tokens."""
    for begin in range(0, len(chosen), WINDOW):
        part = chosen[begin : begin + WINDOW]
        texts, labels = [finding.unit.text for finding, _ in part], [label for _, label in part]
        for (finding, _), own in zip(part, explain(texts, labels, checkpoint, predictor, method), strict=True):
            first = finding.unit.first_line - 1
            lines = tuple((first + line, score) for line, score in own.lines)
            yield replace(finding, lines=lines, kept=own.kept)


def model_hash(path: str) -> str:
    """SHA-256 of weights, configuration and tokenizer."""
    digest = hashlib.sha256()
    for file in sorted(Path(path).glob("*")):
        if file.suffix in (".json", ".safetensors", ".txt", ".model"):
            digest.update(file.name.encode())
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
