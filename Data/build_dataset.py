r"""Build a data set of labelled functions from pinned source distributions, Debian sources or folders.

Writes train_subset, validation and test (.csv or .parquet), findings.jsonl, not_extracted.csv, dataset_card.json and
README.md, the card. Data/README.md describes them.

  python Data/build_dataset.py

  python Data/build_dataset.py --source_dir my_project another_project --output_dir my_data --seed 7

  python Data/build_dataset.py --source_dir scripts --language powershell --granularity file \
      --labels_from_folders good=0 bad=1 --output_dir my_data
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from Data.analysers.clang_headers import lay_out
from Data.analysers.findings import Finding
from Data.analysers.registry import ANALYSERS, AnalyserOptions, default_analysers, installed_versions
from Data.analysers.scratch import scratch_folder
from Data.analysers.user_findings import NAME as FINDINGS_CSV
from Data.analysers.user_findings import findings_outside, read_findings
from Data.functions.agreement import agreement
from Data.functions.card import NAMES as TABLES
from Data.functions.card import NOT_EXTRACTED, describe_split, findings_text, summary_rows, to_frame, write_dataset
from Data.functions.drop_near_duplicates import drop_near_duplicates
from Data.functions.given_labels import (
    FOLDERS,
    NAMES,
    LabelRule,
    add_flags,
    label_rule,
    labelled_projects,
    with_labels,
)
from Data.functions.labelling import Labelled, LabelledFunction, Labelling, label_files
from Data.functions.not_extracted import count_lost, lost_frame
from Data.functions.splits import (
    Splits,
    drop_duplicates,
    limit_negatives,
    sample,
    split_by_name,
    split_by_size,
    split_files,
)
from Data.mutations.flags import add_injection_flags, injected_share, injection_settings
from Data.mutations.inject import inject, mutation_rows, to_injected_frame
from Data.sources.choose_files import choose_files
from Data.sources.file_report import FileReport, Place
from Data.sources.projects import Project, projects_from_debian, projects_from_folders, projects_from_list
from Data.sources.source_list import SPLITS
from ltp_pipeline.base.errors import UserError, check_seed, printable, run_main
from ltp_pipeline.base.files import format_table
from ltp_pipeline.base.next_commands import after_tables, show_next
from ltp_pipeline.base.parser import CommandParser
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.base.result_folder import check_new_tables
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.code.languages import LANGUAGES, suffixes_of
from ltp_pipeline.code.tree_functions import grammar
from ltp_pipeline.files.file_formats import shortened
from ltp_pipeline.quality.near_duplicates import check_threshold
from ltp_pipeline.task.class_names import CODE_CLASSES
from ltp_pipeline.task.labels import parse_label_map

DATA = Path(__file__).resolve().parent


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line. `--help` lists the flags."""
    parser = CommandParser(command="Data/build_dataset.py", description=__doc__)
    _add_source_flags(parser.add_argument_group("sources").add_argument)
    _add_label_flags(parser.add_argument_group("labels").add_argument)
    _add_selection_flags(parser.add_argument_group("selection of functions").add_argument)
    _add_output_flags(parser.add_argument_group("output").add_argument)
    return parser.parse_args(arguments)


# fmt: off
def _add_source_flags(add: Any) -> None:
    add(
        "--sources", type=Path, default=DATA / "sources.txt", metavar="FILE",
        help="list of pinned PyPI source distributions, each line SPLIT NAME==VERSION sha256:HEX "
        "(default: Data/sources.txt)",
    )
    add(
        "--source_dir", type=Path, nargs="+", action="extend", default=[], metavar="DIR",
        help="read these folders instead of --sources; each folder is a project. Whole projects are put into "
        "training, validation and test by size (whole files if there are fewer than three projects)",
    )
    add(
        "--debian_sources", type=Path, metavar="DIR",
        help="read each NAME_VERSION.orig.tar.* in this folder as a project (`apt-get source --download-only` "
        "downloads them)",
    )
    add(
        "--keep_generated", action="store_true",
        help="also use files that a program seems to have written: a comment at their start says so, or they are "
        "minified C or C++ (default: leave them out and count them)",
    )
    add("--language", nargs="+", choices=LANGUAGES, default=["c", "cpp"], help="languages to read (default: c cpp)")
    add(
        "--granularity", choices=("function", "file"), default="function",
        help="whether a row is a function or a whole file (default: function)",
    )


def _add_label_flags(add: Any) -> None:
    add(
        "--analyzers", nargs="+", choices=ANALYSERS, metavar="NAME",
        help="flawfinder, cppcheck and clang for C and C++, bandit for Python (default: flawfinder cppcheck, or "
        "bandit; clang takes much longer)",
    )
    add(
        "--min_level", type=int, choices=range(6), default=1,
        help="lowest flawfinder risk level that makes a function positive (default: 1)",
    )
    add(
        "--findings_csv", type=Path, metavar="FILE",
        help="CSV file of your own findings, with columns file,line,rule and optionally cwe and label (label 0: "
        "someone looked and found no defect)",
    )
    add(
        "--label_map", metavar="NAME=0,...",
        help="class of each name in the column label of --findings_csv, such as dismissed=0,confirmed=1",
    )
    add_flags(add)
    add_injection_flags(add)


def _add_selection_flags(add: Any) -> None:
    add(
        "--near_duplicates", type=float, default=0.9, metavar="S",
        help="keep only the first of functions whose sets of four-token runs have at least this Jaccard similarity "
        "(0.7 to 1); 1 keeps all (default: 0.9)",
    )
    add(
        "--max_negative_ratio", type=float, metavar="R",
        help="keep at most R negatives for each positive of a split (default: all)",
    )
    for split in SPLITS:
        add(
            f"--max_{split}_functions", type=_positive, metavar="N",
            help=f"keep a random sample of N {split} functions (default: all)",
        )
    add("--seed", type=int, default=42, help="seed of the order of rows and of samples (default: 42)")


def _add_output_flags(add: Any) -> None:
    add("--output_dir", type=Path, default=DATA, metavar="DIR", help="folder of the data set (default: Data)")
    add("--format", choices=("csv", "parquet"), default="csv", help="format of the tables (default: csv)")
    add("--group_columns", action="store_true", help="add a column of 0 or 1 for each of VDISC's five groups")
    add(
        "--cache_dir", type=Path, default=DATA / "cache", metavar="DIR",
        help="folder that caches downloads and findings for the next build (default: Data/cache)",
    )
    add(
        "--workers", type=_positive, default=os.cpu_count(), metavar="N",
        help="number of processes (default: one for each core)",
    )

# fmt: on


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return value


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the data set that the flags describe. Raises UserError for wrong flags and unusable sources."""
    options = parse_arguments(arguments)
    rule, share = label_rule(options), injected_share(options)
    analyzers = () if rule or share else tuple(options.analyzers or default_analysers(options.language))
    versions = _check_flags(options, analyzers)
    label_map = parse_label_map(options.label_map)
    report = FileReport()
    projects = _read_projects(options, report, rule)
    if rule:
        projects, labels = labelled_projects(projects, options.source_dir, rule)
    all_files = [file for project in projects for file in project.files]
    files, dropped = choose_files(all_files, report, options.keep_generated)
    given = read_findings(options.findings_csv, files, label_map, report) if options.findings_csv else {}
    functions, lost = _label(files, projects, options, analyzers, given)
    outside, failures = _findings_outside(given, functions), _failures(functions)
    n_found, n_files = len(functions), len(all_files)
    if rule:
        functions = with_labels(functions, labels, report)
        dropped["functions_with_both_labels"] = n_found - len(functions)
    distinct = drop_duplicates(functions)
    dropped["functions_the_same_but_for_layout_and_comments"] = len(functions) - len(distinct)
    if options.near_duplicates < 1:
        before, distinct = len(distinct), drop_near_duplicates(distinct, options.near_duplicates)
        dropped["functions_nearly_the_same"] = before - len(distinct)
    if not distinct:
        language = "C/C++" if options.language == ["c", "cpp"] else "/".join(options.language)
        raise UserError(
            f"no {language} function definition in {n_files} files, {dropped['files_generated']} of them generated"
        )
    available = _split(distinct, projects, options)
    if share:
        available, injected = inject(available, options.seed, share, options.near_duplicates, options.workers)
    splits = {split: _select(available[split], split, options) for split in SPLITS}
    card = {
        "settings": _settings(options, analyzers, versions),
        "files": n_files,
        "functions_found": n_found,
        "distinct_functions": len(distinct),
        "dropped": dropped,
        **report.counts(),
        "not_extracted": count_lost(lost),
        "findings_in_no_function": len(outside),
        "analyser_failures": failures,
        "splits": {split: describe_split(splits[split], available=len(available[split])) for split in SPLITS},
        "agreement": agreement(distinct, analyzers),
        "sources": [project.origin for project in projects],
    }
    if share:
        card["injected"] = {**injected, "mutations": mutation_rows(splits)}
    to_table = to_injected_frame if share else partial(to_frame, group_columns=options.group_columns)
    frames = {split: to_table(splits[split]) for split in SPLITS}
    classes = (rule and rule.class_names) or CODE_CLASSES
    write_dataset(options.output_dir, frames, lost_frame(lost), card, findings_text(splits), options.format, classes)
    _report(card, options.output_dir, outside)
    show_next(after_tables(options.output_dir, TABLES.values(), options.format))


def _findings_outside(given: Mapping[Place, tuple[Finding, ...]], functions: Sequence[LabelledFunction]) -> list[str]:
    found = (labelled.function for labelled in functions)
    return findings_outside(given, ((one.project, one.path, one.first_line, one.last_line) for one in found))


def _failures(functions: Iterable[LabelledFunction]) -> list[dict[str, str]]:
    """The files with functions on which an analyser failed, for the data card."""
    failures = {
        (name, f"{labelled.function.project}/{labelled.function.path}", reason)
        for labelled in functions
        for name, reason in labelled.failed
    }
    return [{"analyzer": name, "file": file, "reason": reason} for name, file, reason in sorted(failures)]


def _check_flags(options: argparse.Namespace, analyzers: Sequence[str]) -> dict[str, str]:
    """The versions of the analysers. Raises UserError for flags that contradict each other and missing packages."""
    for name in options.language:
        if LANGUAGES[name].module:
            grammar(LANGUAGES[name])
    for name in analyzers:
        if set(options.language).isdisjoint(ANALYSERS[name].languages):
            raise UserError(f"--analyzers {name} does not read --language {' '.join(options.language)}")
    if not analyzers and options.findings_csv is None and not label_rule(options) and not injected_share(options):
        others = f"--findings_csv, {FOLDERS} or {NAMES}"
        raise UserError(f"--language {' '.join(options.language)} has no analyser; give labels with {others}")
    if options.label_map and options.findings_csv is None:
        raise UserError("--label_map is for the labels of --findings_csv: give both or neither")
    check_threshold(options.near_duplicates, off=1)
    check_seed(options.seed)
    check_new_tables(options.output_dir, TABLES.values(), options.format)
    return installed_versions(analyzers)


def _read_projects(options: argparse.Namespace, report: FileReport, rule: LabelRule | None) -> list[Project]:
    suffixes, why_not = suffixes_of(options.language), rule.why_not if rule else None
    folders = projects_from_folders(options.source_dir, suffixes, report, why_not) if options.source_dir else []
    debian = projects_from_debian(options.debian_sources, suffixes, report) if options.debian_sources else []
    return folders + debian or projects_from_list(options.sources, options.cache_dir, suffixes, report)


def _label(
    files: Sequence[SourceFile],
    projects: Sequence[Project],
    options: argparse.Namespace,
    analyzers: tuple[str, ...],
    given: Mapping[Place, tuple[Finding, ...]],
) -> Labelled:
    with scratch_folder(options.cache_dir) as folder:
        numbered = list(enumerate(projects)) if "clang" in analyzers else []
        bar = progress_bar(numbered, desc="write projects", unit="project", disable=not numbered)
        trees = {project.name: lay_out(project.files, Path(folder, str(number))) for number, project in bar}
        labelling = Labelling(
            analyzers=analyzers,
            options=AnalyserOptions(options.min_level, trees),
            cache_dir=options.cache_dir,
            granularity=options.granularity,
            signatures=options.near_duplicates < 1,
            scratch=folder,
            given=given,
        )
        return label_files(files, labelling, options.workers)


def _split(distinct: Sequence[LabelledFunction], projects: Sequence[Project], options: argparse.Namespace) -> Splits:
    if label_rule(options) and len({one.function.project for one in distinct}) < len(SPLITS):
        return split_files(distinct, options.seed)
    if options.source_dir or options.debian_sources:
        return split_by_size(distinct)
    return split_by_name(distinct, {project.name: project.split for project in projects})


def _select(functions: Sequence[LabelledFunction], split: str, options: argparse.Namespace) -> list[LabelledFunction]:
    balanced = limit_negatives(functions, options.max_negative_ratio, options.seed)
    return sample(balanced, getattr(options, f"max_{split}_functions"), options.seed)


def _settings(options: argparse.Namespace, analyzers: Sequence[str], versions: Mapping[str, str]) -> dict[str, Any]:
    if injected_share(options):
        return injection_settings(options)
    sources_of_labels = [f"{name} ({ANALYSERS[name].package} {versions[name]})" for name in analyzers]
    if options.findings_csv:
        given = f"{FINDINGS_CSV} ({options.findings_csv.name})"
        sources_of_labels.append(f"{given} --label_map {options.label_map}" if options.label_map else given)
    if rule := label_rule(options):
        sources_of_labels.append(rule.description())
    return {
        "analyzers": ", ".join(sources_of_labels),
        "flawfinder_min_level": options.min_level,
        "language": " ".join(options.language),
        "granularity": options.granularity,
        "keep_generated": options.keep_generated,
        "near_duplicates": options.near_duplicates,
        "max_negative_ratio": options.max_negative_ratio,
        "seed": options.seed,
    }


def _report(card: Mapping[str, Any], folder: Path, outside: Sequence[str]) -> None:
    splits, lost, failures = card["splits"], card["not_extracted"], card["analyser_failures"]
    print(format_table(summary_rows(splits)))
    if "injected" in card:
        print(format_table(card["injected"]["mutations"]))
    in_training = set(splits["train"]["projects"])
    if any(in_training & set(splits[split]["projects"]) for split in SPLITS[1:]):
        print("note: fewer than three projects, so files were split, and a project can be in several splits")
    if outside:
        print(f"note: {len(outside)} findings of --findings_csv are in no function: {_names(outside)}")
    if failures:
        places = [f"{one['analyzer']}: {one['file']} ({one['reason']})" for one in failures]
        print(f"note: analysers failed on {len(failures)} files, which count as not checked: {_names(places)}")
    if lost["places"]:
        found = f", with {lost['findings']:,} findings" if lost["findings"] else ""
        print(f"note: {lost['places']:,} places look like functions and are not extracted{found}: {NOT_EXTRACTED}")
    print(f"written to {folder}")


def _names(names: Sequence[str]) -> str:
    return printable(shortened(names), longest=2000)


if __name__ == "__main__":
    run_main(main)
