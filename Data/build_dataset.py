"""Build a data set of labelled functions from pinned source distributions, Debian sources or folders.

Writes train_subset, validation and test (.csv or .parquet), findings.jsonl, dataset_card.json and dataset_card.md;
Data/README.md explains them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tqdm import tqdm

from Data.analysers.clang_headers import ClangTree, lay_out
from Data.analysers.registry import PACKAGES, READS, Analysis, check_installed, default_analyzers
from Data.analysers.user_findings import NAME as FINDINGS_CSV
from Data.analysers.user_findings import read_findings
from Data.functions.agreement import agreement
from Data.functions.card import describe, findings_text, summary_rows, to_frame, write_dataset
from Data.functions.drop_near_duplicates import drop_near_duplicates
from Data.functions.labelling import LabelledFunction, analyse
from Data.functions.splits import Splits, drop_duplicates, limit_negatives, sample, split_by_name, split_by_size
from Data.sources.projects import Project, projects_from_debian, projects_from_folders, projects_from_list
from Data.sources.source_files import is_generated
from Data.sources.source_list import SPLITS
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table
from ltp_pipeline.code.functions import SourceFile, grammar
from ltp_pipeline.code.languages import LANGUAGES, language_of, suffixes_of
from ltp_pipeline.data.near_duplicates import check_threshold
from ltp_pipeline.task.labels import parse_label_map

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
    parser.add_argument(
        "--debian_sources",
        type=Path,
        metavar="DIR",
        help="read the NAME_VERSION.orig.tar.* of this folder as projects (apt-get source --download-only fills one)",
    )
    parser.add_argument(
        "--language", nargs="+", choices=LANGUAGES, default=["c", "cpp"], help="whose files to read (default: c cpp)"
    )
    parser.add_argument("--granularity", choices=("function", "file"), default="function", help="what a row is")
    parser.add_argument(
        "--analyzers",
        nargs="+",
        choices=PACKAGES,
        metavar="NAME",
        help="flawfinder, cppcheck, clang (for C, C++), bandit (for Python) (default: flawfinder cppcheck, or bandit; "
        "clang takes much longer)",
    )
    parser.add_argument(
        "--findings_csv",
        type=Path,
        metavar="FILE",
        help="labels of your own: columns file,line,rule and, if known, cwe and label (0: looked at, no defect)",
    )
    parser.add_argument(
        "--label_map", metavar="NAME=0,...", help="the labels of --findings_csv, such as dismissed=0,confirmed=1"
    )
    parser.add_argument("--output_dir", type=Path, default=DATA, metavar="DIR", help="default: Data")
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv", help="of the tables (default: csv)")
    parser.add_argument(
        "--group_columns", action="store_true", help="add a 0/1 column for each of VDISC's five groups"
    )
    parser.add_argument(
        "--cache_dir",
        type=Path,
        default=DATA / "cache",
        metavar="DIR",
        help="of downloads and findings (default: Data/cache)",
    )
    parser.add_argument(
        "--near_duplicates",
        type=float,
        default=0.9,
        metavar="S",
        help="keep one of functions that share this much of their runs of four tokens, 0.7 to 1; 1 keeps all "
        "(default: 0.9)",
    )
    parser.add_argument(
        "--max_negative_ratio",
        type=float,
        metavar="R",
        help="keep at most R negatives for each positive of a split (default: all)",
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
    analyzers = tuple(options.analyzers or default_analyzers(options.language))
    versions = _check(analyzers, options)
    label_map = parse_label_map(options.label_map)
    projects = _projects(options)
    files, dropped = choose_files([file for project in projects for file in project.files])
    with tempfile.TemporaryDirectory(prefix="ltp-clang-") as folder:
        analysis = Analysis(
            analyzers=analyzers,
            min_level=options.min_level,
            cache_dir=options.cache_dir,
            granularity=options.granularity,
            signatures=options.near_duplicates < 1,
            trees=_trees(projects, Path(folder)) if "clang" in analyzers else {},
            given=read_findings(options.findings_csv, files, label_map) if options.findings_csv else {},
        )
        functions = analyse(files, analysis, options.workers)
    distinct = drop_duplicates(functions)
    dropped["functions_the_same_but_for_layout_and_comments"] = len(functions) - len(distinct)
    if options.near_duplicates < 1:
        found, distinct = len(distinct), drop_near_duplicates(distinct, options.near_duplicates)
        dropped["functions_nearly_the_same"] = found - len(distinct)
    if not distinct:
        language = "C/C++" if options.language == ["c", "cpp"] else "/".join(options.language)
        generated = dropped["files_generated"]
        read = sum(len(project.files) for project in projects)
        raise UserError(f"no {language} function definition in {read} files, {generated} generated")
    splits = _split(distinct, projects, options)
    kept = {}
    for split in SPLITS:
        balanced = limit_negatives(splits[split], options.max_negative_ratio, options.seed)
        kept[split] = sample(balanced, getattr(options, f"max_{split}_functions"), options.seed)
    card = {
        "settings": _settings(options, analyzers, versions),
        "files": sum(len(project.files) for project in projects),
        "functions_found": len(functions),
        "distinct_functions": len(distinct),
        "dropped": dropped,
        "splits": {split: describe(kept[split], available=len(splits[split])) for split in SPLITS},
        "agreement": agreement(distinct, analyzers),
        "sources": [project.origin for project in projects],
    }
    frames = {split: to_frame(kept[split], options.group_columns) for split in SPLITS}
    write_dataset(options.output_dir, frames, card, findings_text(kept), options.format)
    print(format_table(summary_rows(card["splits"])))
    in_training = set(card["splits"]["train"]["projects"])
    if any(in_training & set(card["splits"][split]["projects"]) for split in SPLITS[1:]):
        print("note: fewer than three projects, so whole files were dealt: test and training share projects")
    print(f"written to {options.output_dir}")


def choose_files(files: Sequence[SourceFile]) -> tuple[list[SourceFile], dict[str, int]]:
    """Files that a person wrote, each content once (the first stays); how many were dropped, and why."""
    by_hand = [file for file in files if not is_generated(file.text)]
    first: dict[tuple[str, str], SourceFile] = {}
    for file in by_hand:
        first.setdefault((language_of(file.path).name, file.text), file)
    dropped = {"files_generated": len(files) - len(by_hand), "files_of_the_same_content": len(by_hand) - len(first)}
    return list(first.values()), dropped


def _check(analyzers: Sequence[str], options: argparse.Namespace) -> dict[str, str]:
    """The versions of the analysers. Raises UserError for a missing package or an analyser with nothing to read."""
    for name in options.language:
        grammar(LANGUAGES[name])
    for name in analyzers:
        if set(options.language).isdisjoint(READS[name]):
            raise UserError(f"--analyzers {name} does not read --language {' '.join(options.language)}")
    if not analyzers and options.findings_csv is None:
        raise UserError(f"--language {' '.join(options.language)} has no analyser here: give labels by --findings_csv")
    if options.label_map and options.findings_csv is None:
        raise UserError("--label_map is for the labels of --findings_csv: give both or neither")
    check_threshold(options.near_duplicates, off=1)
    return check_installed(analyzers)


def _projects(options: argparse.Namespace) -> list[Project]:
    suffixes = suffixes_of(options.language)
    folders = projects_from_folders(options.source_dir, suffixes) if options.source_dir else []
    debian = projects_from_debian(options.debian_sources, suffixes) if options.debian_sources else []
    return folders + debian or projects_from_list(options.sources, options.cache_dir, suffixes)


def _trees(projects: Sequence[Project], folder: Path) -> dict[str, ClangTree]:
    bar = tqdm(
        list(enumerate(projects)), desc="lay out", unit="project", mininterval=0.1 if sys.stderr.isatty() else 10
    )
    return {project.name: lay_out(project.files, folder / str(number)) for number, project in bar}


def _split(distinct: Sequence[LabelledFunction], projects: Sequence[Project], options: argparse.Namespace) -> Splits:
    if options.source_dir or options.debian_sources:
        return split_by_size(distinct)
    return split_by_name(distinct, {project.name: project.split for project in projects})


def _settings(options: argparse.Namespace, analyzers: Sequence[str], versions: dict[str, str]) -> dict[str, Any]:
    named = [f"{name} ({PACKAGES[name]} {versions[name]})" for name in analyzers]
    if options.findings_csv:
        given = f"{FINDINGS_CSV} ({options.findings_csv.name})"
        named.append(f"{given} --label_map {options.label_map}" if options.label_map else given)
    return {
        "analyzers": ", ".join(named),
        "flawfinder_min_level": options.min_level,
        "language": " ".join(options.language),
        "granularity": options.granularity,
        "near_duplicates": options.near_duplicates,
        "max_negative_ratio": options.max_negative_ratio,
        "seed": options.seed,
    }


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return value


if __name__ == "__main__":
    run_main(main)
