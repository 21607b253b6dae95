"""Writes a data set: a table for each split, a line for each finding, and a card that describes the data set."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from Data.functions.labelling import LabelledFunction
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import format_table, replaced_together, write_csv, write_json, write_rows, write_text
from ltp_pipeline.files.data_card import HEADING, write_card
from ltp_pipeline.task.class_names import CODE_CLASSES
from ltp_pipeline.task.tasks import VDISC

NAMES = {"train": "train_subset", "validation": "validation", "test": "test"}
CARD = "dataset_card.json"
FINDINGS = "findings.jsonl"
NOT_EXTRACTED = "not_extracted.csv"
DROPPED = {
    "files_generated": "generated files",
    "files_of_the_same_content": "files with the same content as an earlier file",
    "functions_with_both_labels": "functions that are in files of both labels",
    "functions_the_same_but_for_layout_and_comments": (
        "functions that differ from an earlier one only in layout and comments"
    ),
    "functions_nearly_the_same": "functions that are nearly the same as an earlier one",
}  # keys of dataset_card.json, and how README.md names them


def to_frame(functions: Sequence[LabelledFunction], group_columns: bool = False) -> pd.DataFrame:
    """A row for each function, with the columns that Data/README.md lists.

    `group_columns`: whether to add a column of 0 or 1 for each of VDISC's groups.
    """
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
    for group in VDISC.labels if group_columns else ():
        frame[group] = [int(group in labelled.groups) for labelled in functions]
    return frame


def findings_text(splits: Mapping[str, Sequence[LabelledFunction]]) -> str:
    """A line of JSON for each finding: split, row of the table (from 0), place, analyser, rule, CWEs, message."""
    lines = []
    for split, functions in splits.items():
        for row, labelled in enumerate(functions):
            place = {"split": split, "row": row, "project": labelled.function.project, "path": labelled.function.path}
            for finding in labelled.findings:
                in_file = labelled.function.first_line + finding.line - 1
                found = {**asdict(finding), "line_in_file": in_file, "groups": finding.groups}
                lines.append(json.dumps({**place, **found}, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines)


def describe_split(functions: Sequence[LabelledFunction], available: int) -> dict[str, Any]:
    """Counts of a split for the card: functions, share of positives, lexical tokens and projects.

    `available`: number of functions before negatives were limited and a sample was drawn.
    """
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
    """A row for each described split, for `format_table`."""
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
    """The card as Markdown."""
    agreement = card["agreement"]
    dropped = "\n".join(f"- {DROPPED[reason]}: {count:,}" for reason, count in card["dropped"].items())
    settings = "\n".join(f"- {name}: {value}" for name, value in card["settings"].items())
    parts = [
        HEADING,
        f"{card['files']:,} files, {card['functions_found']:,} functions, {card['distinct_functions']:,} distinct.",
        f"## Settings\n{settings}",
        f"## Splits\n{_table(summary_rows(card['splits']))}",
        *([_injected(card["injected"])] if "injected" in card else []),
        f"## Dropped\n{dropped}",
        f"## What looks like a function and is not extracted\n{_lost(card['not_extracted'])}",
        f"{card['findings_in_no_function']:,} findings of `--findings_csv` are in no function.",
        f"## Files left out\n{_counts(card['files_left_out'])}",
        f"## Encodings of the files\n{_counts(card['encodings'])}",
        f"## Distinct functions checked, and with findings by group\n{_table(agreement['analyzers'])}",
        f"## Agreement, over the distinct functions that both analysers checked\n{_table(agreement['pairs'])}",
        f"## Files on which an analyser failed\n{_table(card['analyser_failures'])}",
        f"## Sources\n{_table(card['sources'])}",
    ]
    return "\n\n".join(parts) + "\n"


def _injected(injected: Mapping[str, Any]) -> str:
    counts = {name.replace("_", " "): count for name, count in injected.items() if name != "mutations"}
    return f"## Injected defects\n{_counts(counts)}\n\n{_table(injected['mutations'])}"


def _lost(lost: Mapping[str, Any]) -> str:
    if not lost["places"]:
        return "none"
    counted = f"{lost['places']:,} places with {lost['findings']:,} findings, listed in {NOT_EXTRACTED}."
    return f"{counted}\n\n{_counts(lost['by_reason'])}\n\nBy project:\n\n{_counts(lost['by_project'])}"


def _counts(counts: Mapping[str, int]) -> str:
    return "\n".join(f"- {name}: {count:,}" for name, count in counts.items()) or "none"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    return format_table(rows, markdown=True) if rows else "none"


def write_dataset(
    folder: Path,
    frames: Mapping[str, pd.DataFrame],
    lost: pd.DataFrame,
    card: dict[str, Any],
    findings: str,
    file_format: str = "csv",
    classes: Sequence[str] = CODE_CLASSES,
) -> None:
    """Write the table of each split, the findings, what is not extracted (`lost`) and the card.

    `classes`: names of the classes 0 and 1, for the card.
    Old files are replaced after all new ones are written. Raises UserError if the folder cannot be written to.
    """
    try:
        with replaced_together(folder) as staging:
            for split, frame in frames.items():
                write_rows(staging / f"{NAMES[split]}.{file_format}", frame)
            write_text(staging / FINDINGS, findings)
            write_csv(staging / NOT_EXTRACTED, lost)
            tables = {"default": {split: f"{NAMES[split]}.{file_format}" for split in frames}}
            write_card(staging, folder, card_page(card), tables, list(frames.values()), classes)
            write_json(staging / CARD, card)
    except OSError as error:
        raise UserError(f"--output_dir: cannot write to {folder}: {error.strerror}") from None
