"""What each importer does: check the user's clone, read rows, drop repeated ones, split them, write tables and a card.

An importer describes its repository in a `Repository`, and gives `run_import` a function that reads the rows.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from Data.functions.card import NAMES
from Data.ground_truth.leaks import LEAKS, leak_checks
from Data.ground_truth.rows import (
    Row,
    component_counts,
    describe,
    split_note,
    split_rows,
    to_frame,
    without_duplicates,
    without_near_duplicates,
)
from Data.sources.source_list import SPLITS
from ltp_pipeline.base.errors import UserError, check_seed, printable
from ltp_pipeline.base.files import format_table, replaced_together, write_csv, write_json, write_rows
from ltp_pipeline.base.next_commands import after_tables, show_next
from ltp_pipeline.base.parser import CommandParser
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.base.result_folder import check_new_tables
from ltp_pipeline.base.stand_ins import stand_in
from ltp_pipeline.files.data_card import HEADING, Tables, write_card
from ltp_pipeline.task.class_names import CODE_CLASSES

REPORT = "import.json"
ORIGINS = "origins.csv"
_POINTERS = (b"version https://", b"/annex/objects/", b"../.git/annex/")  # a web page is a possible script
COLUMNS = ("id", "cwes", "project", "path", "first_line", "flaw_lines", "pair")  # written if any row has a value


@dataclass(frozen=True)
class Repository:
    """A public repository that an importer reads."""

    name: str  # as on GitHub: owner/name
    holds: tuple[str, ...]  # files and folders by which a clone is recognised
    about: str  # for the card: what the tables hold, and what label 1 means
    classes: tuple[str, str] = CODE_CLASSES  # names of the labels 0 and 1
    splits: tuple[str, ...] = SPLITS  # tables that are written; a source that is only a test set has ("test",)
    prefixes: tuple[str, ...] = ("",)  # beginnings of the names of tables: those of `Row.table`
    near_duplicates: float = 0  # rows that are this similar to a row of another group are dropped; 0: none is
    check_leaks: bool = False  # whether to compare with a split of the files at random, which takes a minute


def argument_parser(command: str, description: str | None, repository: Repository) -> CommandParser:
    """The flags that all importers have. An importer can add flags of its own. `command`: such as Data/import_x.py."""
    parser = CommandParser(command=command, description=description)
    add = parser.add_argument
    add("--source", type=Path, required=True, metavar="DIR", help=f"your clone of github.com/{repository.name}")
    add("--output_dir", type=Path, required=True, metavar="DIR", help="folder of the tables")
    add("--format", choices=("csv", "parquet"), default="csv", help="format of the tables (default: csv)")
    add("--seed", type=int, default=42, help="seed of the splits and of the order of rows (default: 42)")
    return parser


def run_import(
    repository: Repository, args: argparse.Namespace, read: Callable[[Path, dict[str, int]], Iterable[Row]]
) -> None:
    """Imports `args.source`, then prints what was counted.

    Writes train_subset, validation and test (of `repository.splits`), README.md and import.json, all or none.

    Args:
        args: of `argument_parser`.
        read: returns the rows of a clone, and adds to its second argument what it counts, in order: name of a step ->
            number of files, functions and so on.

    Raises UserError for a folder that is no such clone, a file that cannot be read, and a folder that cannot be
    written to.
    """
    check_seed(args.seed)
    check_source(args.source, repository)
    names = [f"{prefix}{NAMES[split]}" for prefix in repository.prefixes for split in repository.splits]
    check_new_tables(args.output_dir, names, args.format)
    try:
        with replaced_together(args.output_dir) as staging:
            counts: dict[str, int] = {}
            rows = _rows_of(args.source, read, counts)
            counts["rows_read"] = len(rows)
            published = rows
            rows = without_duplicates(rows, counts)
            if repository.near_duplicates:
                rows = without_near_duplicates(rows, repository.near_duplicates, counts)
            counts["rows_written"] = len(rows)
            if not rows:
                expected = f"expected a complete clone of github.com/{repository.name}"
                raise UserError(f"--source {args.source}: no row is left of {counts['rows_read']}; {expected}")
            counts |= component_counts(rows)
            splits = split_rows(rows, repository.splits, args.seed)
            tables = _tables(splits)
            columns = [name for name in COLUMNS if any(getattr(row, name) for row in rows)]
            frames = {name: to_frame(own, columns) for name, own in tables.items()}
            for name, frame in frames.items():
                write_rows(staging / f"{name}.{args.format}", frame)
            origins = sorted({(row.id, row.origin) for row in published if row.origin})
            if origins:
                write_csv(staging / ORIGINS, pd.DataFrame(origins, columns=["id", "file"]))
            described = [{"table": name, **describe(own)} for name, own in tables.items()]
            leaks = leak_checks(published, tables, args.seed) if repository.check_leaks else []
            sections = {"counts": counts, "tables": described} | ({"leaks": leaks} if leaks else {})
            report = {"repository": repository.name, **_settings(args), **sections}
            page, configs = _page(repository, report, columns), _configurations(repository, tables, args.format)
            write_card(staging, args.output_dir, page, configs, list(frames.values()), repository.classes)
            write_json(staging / REPORT, report)
    except OSError as error:
        raise UserError(f"--output_dir {args.output_dir}: cannot be written: {error.strerror}") from error
    print("\n\n".join(format_table(rows) for rows in (_steps(counts), described, leaks) if rows))
    note = split_note(splits)
    if note is not None:
        print(f"note: {note}")
    print(f"written to {args.output_dir}")
    own = names[: len(repository.splits)]  # those of the first prefix
    show_next(after_tables(args.output_dir, own, args.format))


def _rows_of(source: Path, read: Callable[[Path, dict[str, int]], Iterable[Row]], counts: dict[str, int]) -> list[Row]:
    try:
        return list(read(source, counts))
    except OSError as error:
        path = printable(str(error.filename or source), 300)
        raise UserError(f"--source: cannot read {path}: {error.strerror}") from error


def check_source(folder: Path, repository: Repository) -> None:
    """Raises UserError if `folder` is no folder, or lacks what a clone of the repository holds."""
    flag = f"--source {folder}"
    expected = f"expected your clone of github.com/{repository.name}"
    if not folder.is_dir():
        raise UserError(f"{flag}: {'this is a file' if folder.exists() else 'no such folder'}; {expected}")
    try:
        missing = [name for name in repository.holds if not (folder / name).exists()]
    except OSError as error:
        raise UserError(f"{flag}: cannot be read: {error.strerror}; {expected}") from error
    if missing:
        raise UserError(f"{flag}: holds no {' and no '.join(missing)}; {expected}")


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, sorted. Raises OSError for a folder that cannot be read, which `rglob` would skip."""

    def fail(error: OSError) -> None:
        raise error

    return sorted(Path(parent, name) for parent, _, names in os.walk(folder, onerror=fail) for name in names)


def read_files(folder: Path, paths: Iterable[Path], desc: str = "read") -> Iterator[tuple[str, bytes]]:
    """The path, relative to `folder`, and the content of each file, in the order given. Draws a progress bar.

    Raises OSError for a file that cannot be read, and UserError for a pointer of Git LFS.
    """
    for path in progress_bar(list(paths), desc=desc, unit="file"):
        content = path.read_bytes()
        kind = stand_in(content[:1000]) if len(content) < 1000 and content.startswith(_POINTERS) else None
        if kind is not None:
            raise UserError(f"--source: {printable(str(path), 300)}: this is {kind}")
        yield path.relative_to(folder).as_posix(), content


def _tables(splits: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """Name of each table without its ending -> its rows."""
    prefixes = sorted({row.table for rows in splits.values() for row in rows})
    return {
        f"{prefix}{NAMES[split]}": [row for row in rows if row.table == prefix]
        for prefix in prefixes
        for split, rows in splits.items()
    }


def _configurations(repository: Repository, tables: Iterable[str], ending: str) -> Tables:
    """The tables of each prefix, as [`write_card`] takes them. The prefix is the name: `mixed` of `mixed_test.csv`."""
    return {
        prefix.rstrip("_") or "default": {
            split: f"{prefix}{NAMES[split]}.{ending}"
            for split in repository.splits
            if f"{prefix}{NAMES[split]}" in tables
        }
        for prefix in repository.prefixes
    }


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """The flags of the run, without its folders."""
    return {name: value for name, value in vars(args).items() if name not in ("source", "output_dir")}


def _steps(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"step": name.replace("_", " "), "count": count} for name, count in counts.items()]


def _page(repository: Repository, report: Mapping[str, Any], columns: Sequence[str]) -> str:
    """The card as Markdown."""
    command = "/".join(Path(sys.argv[0]).parts[-2:])
    settings = [name for name in report if name not in ("repository", "counts", "tables", "leaks")]
    parts = [
        f"{HEADING}: {repository.name}",
        f"Imported from a clone of github.com/{repository.name} by `{command}`.",
        repository.about,
        f"## Tables\n{format_table(report['tables'], markdown=True)}",
        f"Columns: functionSource, label{''.join(f', {name}' for name in columns)} (docs/data.md describes them).",
        *([f"## {LEAKS}\n{format_table(report['leaks'], markdown=True)}"] if "leaks" in report else []),
        f"## Counts of each step\n{format_table(_steps(report['counts']), markdown=True)}",
        "## Settings\n" + "\n".join(f"- {name}: {report[name]}" for name in settings),
    ]
    return "\n\n".join(parts) + "\n"
