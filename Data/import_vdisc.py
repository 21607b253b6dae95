"""Import the Draper VDISC data set: convert its HDF5 files to tables that the scripts of this project read.

    python Data/import_vdisc.py VDISC_train.hdf5 VDISC_validate.hdf5 VDISC_test.hdf5 --output_dir Data/vdisc

Writes VDISC_train.csv and so on (see --format) with the columns functionSource, label and cwes, import.json with
counts, and a card, README.md. If anything fails, none of these files is written.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from Data.functions.row_writer import FORMATS, Row, open_row_writer
from Data.sources.vdisc_files import GROUPS, TEXT, open_vdisc, read_vdisc
from ltp_pipeline.base.errors import UserError, check_seed, run_main
from ltp_pipeline.base.files import format_table, replaced_together, write_json
from ltp_pipeline.base.next_commands import after_tables, fine_tuning, show_next
from ltp_pipeline.base.parser import CommandParser
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.files.data_card import HEADING, write_card

if TYPE_CHECKING:
    import h5py


SPLITS = {"train": "train", "valid": "validation", "test": "test"}  # word in the name of a file -> split


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line. Raises UserError for a wrong --limit."""
    parser = CommandParser(command="Data/import_vdisc.py", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="HDF5 files, training first")
    parser.add_argument("--output_dir", type=Path, required=True, metavar="DIR")
    parser.add_argument("--format", choices=FORMATS, default="csv", help="format of the tables (default: csv)")
    parser.add_argument(
        "--label",
        choices=("any", *GROUPS, "groups"),
        default="any",
        help="a function has label 1 if it is in any group (default) or in this group; groups: its label is a list of "
        "0 or 1 for each of the five groups",
    )
    parser.add_argument(
        "--deduplicate",
        action="store_true",
        help="write only the first of functions that differ only in white space, across all files",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="take a random sample of N functions of each file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample (default: 0)")
    args = parser.parse_args(arguments)
    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit {args.limit}: expected 1 or more")
    check_seed(args.seed)
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Check all files, then import them. Raises UserError for wrong flags and files that cannot be used."""
    args = parse_arguments(arguments)
    names = [f"{path.stem}.{args.format}" for path in args.files]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UserError(f"two of the files would be written to {repeated}; expected files with different names")
    with ExitStack() as stack:
        files = [stack.enter_context(open_vdisc(path)) for path in args.files]
        try:
            counts = _import_files(files, names, args)
        except OSError as error:
            raise UserError(f"--output_dir {args.output_dir}: cannot be written: {error.strerror}") from error
    print(format_table(counts))
    print(f"written to {args.output_dir}")
    tables = _in_order(names)[:3]
    if args.label != "groups":
        stems = [name.removesuffix(f".{args.format}") for name in tables]
        show_next(after_tables(args.output_dir, stems, args.format))
    elif len(names) > 1:
        show_next([fine_tuning(*(args.output_dir / name for name in tables), task_name="vdisc")])


def _import_files(files: list[h5py.File], names: list[str], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Writes all tables to a temporary folder, then moves them into place together. Returns the counts of each."""
    seen: set[bytes] | None = set() if args.deduplicate else None
    with replaced_together(args.output_dir) as staging:
        counts = [_import_file(file, staging / name, args, seen) for file, name in zip(files, names)]
        settings = {name: getattr(args, name) for name in ("label", "deduplicate", "limit", "seed")}
        if splits := _splits(names):
            page = f"{HEADING}: Draper VDISC\n\nLabel: `{args.label}`.\n\n{format_table(counts, markdown=True)}\n"
            write_card(staging, args.output_dir, page, {"default": splits}, [])
        write_json(staging / "import.json", {**settings, "groups": list(GROUPS), "files": counts})
    return counts


def _splits(names: Sequence[str]) -> dict[str, str]:
    """Split -> table, by the names of the published files; other tables are no split."""
    found = {split: [name for name in names if word in name.lower()] for word, split in SPLITS.items()}
    return {split: tables[0] for split, tables in found.items() if len(tables) == 1}


def _in_order(names: Sequence[str]) -> list[str]:
    """The tables of training, validation and test, in this order; as they were given if a table is no such split.

    `VDISC_*.hdf5` gives the test file first.
    """
    splits = _splits(names)
    return [splits[split] for split in SPLITS.values() if split in splits] if len(splits) == len(names) else [*names]


def _import_file(file: h5py.File, target: Path, args: argparse.Namespace, seen: set[bytes] | None) -> dict[str, Any]:
    """Writes one table and returns its counts.

    Args:
        seen: hashes of the functions written so far, which are not written again; hashes of new functions are added.
            None: all functions are written.
    """
    total = len(file[TEXT])
    counts = Counter(dict.fromkeys(("functions", "positive", "duplicates", "empty", "not_utf8"), 0))
    chosen = None
    if args.limit is not None and args.limit < total:
        chosen = np.sort(np.random.default_rng(args.seed).choice(total, args.limit, replace=False))
    functions = read_vdisc(file, chosen, counts)
    bar = {"total": total, "desc": target.name, "unit": " functions", "unit_scale": True}
    with open_row_writer(target, args.label == "groups") as write:
        for found in progress_bar(functions, seconds=30, **bar):
            if found is None:
                continue
            if _is_repeated(found[0], seen):
                counts["duplicates"] += 1
                continue
            row = _row(*found, args.label)
            write(row)
            counts["functions"] += 1
            counts["positive"] += bool(np.any(row[1]))
    if not counts["functions"]:
        raise UserError(f"{file.filename}: no function is left of {total}; expected functions with a text")
    return {"file": Path(file.filename).name, "written": target.name, "read": total, **counts}


def _row(text: str, groups: list[int], label: str) -> Row:
    names = [name for name, positive in zip(GROUPS, groups) if positive]
    value = groups if label == "groups" else int(bool(names) if label == "any" else label in names)
    return text, value, " ".join(names)


def _is_repeated(text: str, seen: set[bytes] | None) -> bool:
    """Whether `seen` holds the hash of the text, in which a run of white space is one space. Adds the hash."""
    if seen is None:
        return False
    digest = hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()
    before = len(seen)
    seen.add(digest)
    return len(seen) == before


if __name__ == "__main__":
    run_main(main)
