"""A data set as files: a table for each split, and a card that sums them up."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from Data.analyse_functions import LabelledFunction
from ltp_pipeline.errors import UserError
from ltp_pipeline.reports import write_csv, write_json

FILES = {"train": "train_subset.csv", "validation": "validation.csv", "test": "test.csv"}
CARD = "dataset_card.json"


def to_frame(functions: Sequence[LabelledFunction]) -> pd.DataFrame:
    """One row a function; see Data/README.md for the columns."""
    rows = [
        (
            labelled.function.source,
            labelled.label,
            labelled.function.project,
            labelled.function.path,
            labelled.function.first_line,
            " ".join(map(str, labelled.finding_lines)),
            " ".join(labelled.cwes),
        )
        for labelled in functions
    ]
    columns = ["functionSource", "label", "project", "path", "first_line", "finding_lines", "cwes"]
    return pd.DataFrame(rows, columns=columns)


def describe(functions: Sequence[LabelledFunction], available: int) -> dict[str, Any]:
    """Counts of a split: functions written and available, share of positives, lexical tokens, projects."""
    tokens = sorted(function.n_tokens for function in functions) or [0]
    projects = Counter(function.function.project for function in functions)
    positives = Counter(function.function.project for function in functions if function.label)
    return {
        "functions": len(functions),
        "available": available,
        "positive_rate": round(positives.total() / max(1, len(functions)), 4),
        "tokens": {
            "mean": round(statistics.fmean(tokens), 1),
            "median": statistics.median_low(tokens),
            "p90": tokens[int(0.9 * (len(tokens) - 1))],
            "max": tokens[-1],
        },
        "projects": {
            name: {"functions": count, "positives": positives[name]} for name, count in sorted(projects.items())
        },
    }


def summary_rows(splits: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row per split, for `ltp_pipeline.reports.format_table`."""
    return [
        {
            "split": split,
            "functions": described["functions"],
            "positive_rate": described["positive_rate"],
            **{f"tokens_{key}": value for key, value in described["tokens"].items()},
            "projects": " ".join(described["projects"]),
        }
        for split, described in splits.items()
    ]


def write_dataset(folder: Path, frames: Mapping[str, pd.DataFrame], card: dict[str, Any]) -> None:
    """Write the table of each split and the card; none of them takes its place before all are written.

    Raises UserError if the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as staging:
            for split, name in FILES.items():
                write_csv(Path(staging, name), frames[split])
            write_json(Path(staging, CARD), card)
            for name in (*FILES.values(), CARD):
                os.replace(Path(staging, name), folder / name)
    except OSError as error:
        raise UserError(f"--output_dir: cannot write to {folder}: {error.strerror}") from None
