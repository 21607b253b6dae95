"""A data set as files: a table for each split, the findings line by line, and a card that sums them up."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from Data.analysers.cwe_groups import GROUPS
from Data.functions.labelling import LabelledFunction
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import write_csv, write_json, write_text

NAMES = {"train": "train_subset", "validation": "validation", "test": "test"}
CARD = "dataset_card.json"
PAGE = "dataset_card.md"
FINDINGS = "findings.jsonl"


def to_frame(functions: Sequence[LabelledFunction], group_columns: bool = False) -> pd.DataFrame:
    """One row a function; see Data/README.md for the columns. `group_columns` adds 0/1 for each of VDISC's groups."""
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
    frame = pd.DataFrame(rows, columns=columns)
    for group in GROUPS if group_columns else ():
        frame[group] = [int(group in labelled.groups) for labelled in functions]
    return frame


def findings_text(splits: Mapping[str, Sequence[LabelledFunction]]) -> str:
    """A JSON line for each finding: its split, row from 0, place, analyser, rule, CWEs, groups, line and message."""
    lines = []
    for split, functions in splits.items():
        for row, labelled in enumerate(functions):
            place = {"split": split, "row": row, "project": labelled.function.project, "path": labelled.function.path}
            for finding in labelled.findings:
                in_file = labelled.function.first_line + finding.line - 1
                found = {**asdict(finding), "line_in_file": in_file, "groups": finding.groups}
                lines.append(json.dumps({**place, **found}, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines)


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
    """A row per split, for `ltp_pipeline.base.files.format_table`."""
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


def card_page(card: Mapping[str, Any]) -> str:
    """The card in Markdown."""
    agreement = card["agreement"]
    dropped = "\n".join(f"- {reason.replace('_', ' ')}: {count:,}" for reason, count in card["dropped"].items())
    settings = "\n".join(f"- {name}: {value}" for name, value in card["settings"].items())
    parts = [
        "# Data set card",
        f"{card['files']:,} files, {card['functions_found']:,} functions, {card['distinct_functions']:,} distinct.",
        f"## Settings\n{settings}",
        f"## Splits\n{_markdown(summary_rows(card['splits']))}",
        f"## Dropped\n{dropped}",
        f"## What the analysers found, in distinct functions\n{_markdown(agreement['analyzers'])}",
        f"## How far they agree, over functions that both could check\n{_markdown(agreement['pairs'])}",
        f"## Sources\n{_markdown(card['sources'])}",
    ]
    return "\n\n".join(parts) + "\n"


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[str(row.get(column, "")).replace("|", "\\|") for column in columns] for row in rows]
    lines = [columns, ["---"] * len(columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else "none"


def write_dataset(
    folder: Path, frames: Mapping[str, pd.DataFrame], card: dict[str, Any], findings: str, file_format: str = "csv"
) -> None:
    """Write the table of each split, the findings and the card; nothing takes its place before all are written.

    Raises UserError if the folder cannot be written to.
    """
    names = [f"{NAMES[split]}.{file_format}" for split in frames]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as staging:
            for name, frame in zip(names, frames.values(), strict=True):
                if file_format == "csv":
                    write_csv(Path(staging, name), frame)
                else:
                    frame.to_parquet(Path(staging, name), index=False)
            write_text(Path(staging, FINDINGS), findings)
            write_text(Path(staging, PAGE), card_page(card))
            write_json(Path(staging, CARD), card)
            for name in (*names, FINDINGS, PAGE, CARD):
                os.replace(Path(staging, name), folder / name)
    except OSError as error:
        raise UserError(f"--output_dir: cannot write to {folder}: {error.strerror}") from None
