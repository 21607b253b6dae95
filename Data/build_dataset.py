"""Build a data set of labelled C/C++ functions from pinned source distributions or from folders.

Writes train_subset.csv, validation.csv, test.csv and dataset_card.json; Data/README.md explains their columns.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from Data.analyse_functions import analyse
from Data.dataset_card import describe, summary_rows, to_frame, write_dataset
from Data.gather_projects import projects_from_folders, projects_from_list
from Data.read_sources import is_generated
from Data.source_list import SPLITS
from Data.split_functions import drop_duplicates, sample, split_by_name, split_by_size
from ltp_pipeline.errors import UserError, run_main
from ltp_pipeline.reports import format_table

DATA = Path(__file__).resolve().parent


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; --help explains it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sources",
        type=Path,
        default=DATA / "sources.txt",
        metavar="FILE",
        help="list of pinned PyPI source distributions, a line each: SPLIT NAME==VERSION sha256:HEX "
        "(default: Data/sources.txt)",
    )
    parser.add_argument(
        "--source_dir",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="read these folders instead of --sources, each one a project; whole projects are dealt to training, "
        "validation and test by size, whole files if there are fewer than three projects",
    )
    parser.add_argument("--output_dir", type=Path, default=DATA, metavar="DIR", help="default: Data")
    parser.add_argument(
        "--cache_dir", type=Path, default=DATA / "cache", metavar="DIR", help="of downloads (default: Data/cache)"
    )
    parser.add_argument(
        "--min_level",
        type=int,
        choices=range(6),
        default=1,
        help="lowest flawfinder risk level that makes a function positive (default: 1)",
    )
    for split in SPLITS:
        parser.add_argument(
            f"--max_{split}_functions",
            type=_positive,
            metavar="N",
            help=f"keep a random sample of N {split} functions (default: all)",
        )
    parser.add_argument("--seed", type=int, default=42, help="of the order of rows, so of samples (default: 42)")
    parser.add_argument(
        "--workers", type=_positive, default=os.cpu_count(), metavar="N", help="processes (default: one a core)"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, analyse, split, sample, then write. Raises UserError for what the user gave wrong."""
    options = parse_arguments(arguments)
    if options.source_dir:
        projects = projects_from_folders(options.source_dir)
    else:
        projects = projects_from_list(options.sources, options.cache_dir)
    files = [file for project in projects for file in project.files]
    by_hand = [file for file in files if not is_generated(file.text)]
    functions = analyse(by_hand, options.min_level, options.workers)
    distinct = drop_duplicates(functions)
    if not distinct:
        raise UserError(f"no C/C++ function definition in {len(files)} files, {len(files) - len(by_hand)} generated")
    if options.source_dir:
        splits = split_by_size(distinct)
    else:
        splits = split_by_name(distinct, {project.name: project.split for project in projects})
    limits = {split: getattr(options, f"max_{split}_functions") for split in SPLITS}
    kept = {split: sample(splits[split], limits[split], options.seed) for split in SPLITS}
    card = {
        "analyser": f"flawfinder {version('flawfinder')}, risk level {options.min_level} and above",
        "seed": options.seed,
        "files": len(files),
        "generated_files_dropped": len(files) - len(by_hand),
        "duplicate_functions_dropped": len(functions) - len(distinct),
        "splits": {split: describe(kept[split], available=len(splits[split])) for split in SPLITS},
        "sources": [project.origin for project in projects],
    }
    write_dataset(options.output_dir, {split: to_frame(kept[split]) for split in SPLITS}, card)
    print(format_table(summary_rows(card["splits"])))
    in_training = set(card["splits"]["train"]["projects"])
    if any(in_training & set(card["splits"][split]["projects"]) for split in SPLITS[1:]):
        print("note: fewer than three projects, so whole files were dealt: test and training share projects")
    print(f"written to {options.output_dir}")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return value


if __name__ == "__main__":
    run_main(main)
