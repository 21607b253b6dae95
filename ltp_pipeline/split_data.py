"""Divides files of functions into training, validation and test, so that no group is in two of them.

    python -m ltp_pipeline.split_data primevul.jsonl --group_by project commit_id --output_dir splits

Rows are in the same split if they have the same value in one of the columns of --group_by, if they are a pair (a
function before and after its repair), or if their code differs only in white space and comments. All columns stay as
they are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.hf_argparser import HfArg

from ltp_pipeline.base.errors import UserError, check_seed, run_main
from ltp_pipeline.base.flags import parse_arguments
from ltp_pipeline.base.next_commands import after_tables, show_next
from ltp_pipeline.base.result_folder import check_new_tables
from ltp_pipeline.data.flags import ReadingArguments, columns_given
from ltp_pipeline.task.class_names import CODE_CLASSES

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from ltp_pipeline.data.layouts import Layout

NAMES = ("train_subset", "validation", "test")
SPLITS = ("train", "validation", "test")  # as the hub names them
FORMATS = ("csv", "jsonl", "parquet")
REPORT = "splits.json"
FILES = {"nargs": "+", "metavar": "FILE", "help": "files of one layout, or folders of sources"}


@dataclass
class SplitArguments(ReadingArguments):
    """Which rows stay together, and how large the splits are."""

    output_dir: Path = HfArg(help="Folder in which train_subset, validation and test are written.")
    group_by: list[str] = HfArg(
        default_factory=list,
        metadata={"metavar": "COLUMN"},
        help="Columns such as project or commit_id: rows with the same value in one of them are in one split. A row "
        "with an empty value has no such group. Pairs and functions with the same code always stay together.",
    )
    shares: list[float] = HfArg(
        default_factory=lambda: [0.8, 0.1, 0.1],
        metadata={"metavar": "SHARE"},
        help="Shares of the rows in training, validation and test.",
    )
    seed: int = HfArg(default=42, help="Seed of the choice of groups.")
    format: str | None = HfArg(
        default=None,
        metadata={"choices": FORMATS},
        help="Format of the three files (default: that of the first file; csv for .tsv).",
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    args, given = parse_arguments(
        (SplitArguments,), argv, __doc__, command="-m ltp_pipeline.split_data", positional={"files": FILES}
    )
    if len(args.shares) != len(NAMES) or min(args.shares) <= 0 or not abs(sum(args.shares) - 1) < 1e-6:
        shown = " ".join(map(str, args.shares))
        raise UserError(f"--shares {shown}: expected three shares above 0 whose sum is 1, such as 0.8 0.1 0.1")
    check_seed(args.seed)
    if args.add_fixed_functions:
        raise UserError("--add_fixed_functions: rows stay as they are here; give this flag in training")
    from ltp_pipeline.base.files import format_table, replaced_together, write_json, write_rows
    from ltp_pipeline.data.folders import CLASS_NAMES
    from ltp_pipeline.files.data_card import HEADING, write_card
    from ltp_pipeline.files.layouts import LAYOUT
    from ltp_pipeline.quality.group_splits import group_splits, shares_note
    from ltp_pipeline.quality.row_groups import group_names, groups_of_rows

    ending = args.format or _format_of(given.files[0])
    check_new_tables(args.output_dir, NAMES, ending)
    _check_files(given.files, {args.output_dir / f"{name}.{ending}" for name in NAMES})
    rows, frames = read_files(given.files, args)
    names = {column: group_names(rows[column]) for column in args.group_by}
    groups = groups_of_rows(frames, names)
    labels = [label for frame in frames for label in frame["label"]]
    first = frames[0].attrs
    try:
        splits = group_splits(groups, args.shares, args.seed, labels)
    except UserError as error:
        why = f"--group_by {' '.join(args.group_by)}" if args.group_by else "pairs and equal code"
        raise UserError(f"{why}: {error}") from None
    table = [{"split": name, **_counts(rows, labels, names, splits == number)} for number, name in enumerate(NAMES)]
    alone = {column: sum(not of_row for of_row in of_rows) for column, of_rows in names.items()}
    note = shares_note(groups, splits, args.shares)
    settings = {"files": given.files, "group_by": args.group_by, "shares": args.shares, "seed": args.seed}
    try:
        with replaced_together(args.output_dir) as staging:
            for number, name in enumerate(NAMES):
                write_rows(staging / f"{name}.{ending}", rows[splits == number])
            page = f"{HEADING}: functions divided by group\n\n{format_table(table, markdown=True)}\n"
            configuration = {split: f"{name}.{ending}" for split, name in zip(SPLITS, NAMES)}
            classes, label = first.get(CLASS_NAMES) or CODE_CLASSES, first[LAYOUT].label
            write_card(staging, args.output_dir, page, {"default": configuration}, [rows], classes, label)
            write_json(staging / REPORT, {**settings, "rows_without_group": alone, "splits": table})
    except OSError as error:
        raise UserError(f"--output_dir {args.output_dir}: cannot be written: {error.strerror}") from error
    print(format_table(table))
    for column, count in alone.items():
        if count:
            print(f"note: {count} rows have no {column}: that column puts them together with no other row")
    print(f"note: {note}\nwritten to {args.output_dir}" if note else f"written to {args.output_dir}")
    show_next(after_tables(args.output_dir, NAMES, ending, **columns_given(args)))


def _check_files(paths: Sequence[str], written: Collection[Path]) -> None:
    """Raises UserError for a file that is given twice, or that would be replaced by one of the files `written`."""
    replaced, seen = {path.resolve() for path in written}, set()
    for path in paths:
        place = Path(path).resolve()
        if place in replaced:
            raise UserError(f"--output_dir: {path} would be replaced; expected another folder than that of the files")
        if place in seen:
            raise UserError(f"{path}: this file is given twice; expected each file once")
        seen.add(place)


def read_files(paths: Sequence[str], args: SplitArguments) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """The rows of all files with their own columns, and the frame of each file as `read_functions` returns it.

    If the files have pairs, the rows have their names in a column `pair`, no name twice.
    Raises UserError for a file that cannot be read, that lacks a column of --group_by, or whose code or labels are not
    in the columns of the first file.
    """
    import pandas as pd

    from ltp_pipeline.data.readers import read_function_rows
    from ltp_pipeline.files.file_formats import BadRows, read_table
    from ltp_pipeline.files.layouts import LAYOUT
    from ltp_pipeline.quality.row_groups import check_group_columns, pooled_pairs

    sources, frames = [], []
    for path in paths:
        skip = args.on_bad_rows == "skip"
        bad_rows = BadRows(path, skip)
        frame = read_function_rows(path, args, bad_rows, labels="optional")
        bad_rows.report(len(frame) + len(bad_rows.reasons))
        layout, first = frame.attrs[LAYOUT], (frames or [frame])[0].attrs[LAYOUT]
        if Path(path).is_dir():
            source = frame if layout.label else frame.drop(columns="label")
        else:
            source = read_table(Path(path), path, bad_rows=BadRows(path, skip)).loc[frame.index]
        check_group_columns(source, args.group_by, path)
        if (layout.text, layout.label) != (first.text, first.label):
            raise UserError(
                f"{path}: {_columns(layout)}, but in {paths[0]} {_columns(first)}; expected files of one layout, or "
                "--text_column and --label_column"
            )
        sources.append(source)
        frames.append(frame)
    rows = pd.concat(sources, ignore_index=True)
    pairs = pooled_pairs(frames)
    return rows if pairs is None else rows.assign(pair=pairs), frames


def _columns(layout: Layout) -> str:
    labels = "there are no labels" if layout.label is None else f"the labels in {layout.label!r}"
    return f"the code is in {layout.text!r} and {labels}"


def _format_of(path: str) -> str:
    name = path.lower().removesuffix(".gz")
    return "jsonl" if name.endswith((".json", ".jsonl")) else "parquet" if name.endswith(".parquet") else "csv"


def _counts(rows: pd.DataFrame, labels: list[int], names: dict[str, list], chosen: np.ndarray) -> dict[str, Any]:
    """A line of the table for the rows of one split: how many, of each class, how many groups and pairs."""
    own = [place for place, is_own in enumerate(chosen) if is_own]
    classes = {f"label_{label}": sum(labels[place] == label for place in own) for label in (0, 1)}
    groups = {column: len({name for place in own for name in of_rows[place]}) for column, of_rows in names.items()}
    pairs = {"pairs": len(set(rows["pair"][chosen]) - {""})} if "pair" in rows else {}
    return {"rows": len(own), **(classes if min(labels) >= 0 else {}), **groups, **pairs}


if __name__ == "__main__":
    run_main(main)
