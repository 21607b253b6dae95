"""Labels that the user gives for whole files: by the names of their folders, or by the end of their own names."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from Data.functions.labelling import LabelledFunction
from Data.sources.file_report import FileReport, Place
from Data.sources.projects import Project
from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.data.folder_labels import class_folder, class_of_ending
from ltp_pipeline.files.file_formats import SHOWN
from ltp_pipeline.task.class_names import one_word_each
from ltp_pipeline.task.labels import parse_label_map

FOLDERS, NAMES = "--labels_from_folders", "--labels_from_names"


@dataclass(frozen=True)
class LabelRule:
    """What gives a file its label."""

    classes: Mapping[str, int] | None  # class of each name of a folder; None: the file's name ends in _0 or _1

    @property
    def flag(self) -> str:
        return NAMES if self.classes is None else FOLDERS

    @property
    def class_names(self) -> tuple[str, str] | None:
        """The folder of each class, if each has one."""
        return one_word_each((self.classes or {}).items())

    def description(self) -> str:
        """The flag and its values, for the data card."""
        return " ".join([self.flag, *(f"{name}={number}" for name, number in (self.classes or {}).items())])

    def label_of(self, path: str) -> int | None:
        """The label of the file with this path; None if it has none."""
        if self.classes is None:
            return class_of_ending(path)
        found = class_folder(path, self.classes)
        return found and found[1]

    def why_not(self, folder: Path, path: str) -> str:
        """Why the file `path` below `folder` is left out; "" if it has a label."""
        if self.label_of(f"{folder.resolve().name}/{path}") is not None:
            return ""
        return "a name that does not end in _0 or _1" if self.classes is None else f"in no folder of {FOLDERS}"


def add_flags(add: Any) -> None:
    """Adds the flags of these labels to the command line, by a function like `add_argument`."""
    add(
        FOLDERS, nargs="+", metavar="NAME=CLASS",
        help="label whole files: the class, 0 or 1, of each folder with this name in --source_dir, such as "
        "malicious=1 benign=0. Files in no such folder are left out. No analyser runs",
    )  # fmt: skip
    add(
        NAMES, action="store_true",
        help="label whole files of --source_dir: name_1.c has label 1, name_0.c label 0. Files with other names are "
        "left out. No analyser runs",
    )  # fmt: skip


def label_rule(options: argparse.Namespace) -> LabelRule | None:
    """The rule that the flags give; None if analysers label functions. Raises UserError for flags that contradict."""
    if not options.labels_from_folders and not options.labels_from_names:
        return None
    classes = None
    if options.labels_from_folders:
        classes = parse_label_map(",".join(options.labels_from_folders), flag=FOLDERS)
        if {*classes.values()} != {0, 1}:
            raise UserError(f"{FOLDERS} {' '.join(options.labels_from_folders)}: expected folders of both classes")
    rule = LabelRule(classes)
    others = ("analyzers", "findings_csv", "label_map", "group_columns", "debian_sources")
    given = [NAMES.lstrip("-")] if classes and options.labels_from_names else []
    for name in [*given, *(name for name in others if getattr(options, name))]:
        raise UserError(f"{rule.flag} labels the files itself: it cannot be combined with --{name}")
    if not options.source_dir:
        raise UserError(f"{rule.flag}: expected --source_dir, the folders with the files")
    return rule


def labelled_projects(
    projects: Sequence[Project], folders: Sequence[Path], rule: LabelRule
) -> tuple[list[Project], dict[Place, int]]:
    """The projects, and the label of each file.

    A folder of --source_dir that gives its files their label is no project: its parent is. `folders`: those of
    --source_dir, in the order of `projects`. Raises UserError if a folder of the rule, or a label, has no file.
    """
    files: dict[Path, list[SourceFile]] = {}
    for project, folder in zip(projects, map(Path.resolve, folders), strict=True):
        is_class = rule.classes is not None and folder.name in rule.classes
        moved = [replace(file, path=f"{folder.name}/{file.path}") for file in project.files]
        files.setdefault(folder.parent if is_class else folder, []).extend(moved if is_class else project.files)
    names = Counter(folder.name for folder in files)
    regrouped, labels = [], {}
    for folder, found in files.items():
        name = folder.name if names[folder.name] == 1 else folder.as_posix()
        own = sorted({file.path: replace(file, project=name) for file in found}.values(), key=lambda file: file.path)
        labels |= {(name, file.path): rule.label_of(file.path) for file in own}
        regrouped.append(Project(name, None, own, {"name": name}))
    _check_all_occur(labels, rule)
    return regrouped, labels


def _check_all_occur(labels: Mapping[Place, int], rule: LabelRule) -> None:
    if rule.classes is None:
        if missing := {0, 1} - {*labels.values()}:
            raise UserError(f"{NAMES}: no file of --source_dir has a name that ends in _{min(missing)}")
        return
    used = {class_folder(path, rule.classes)[0] for _, path in labels}
    unused = [name for name in rule.classes if name not in used]
    if unused:
        raise UserError(
            f"{FOLDERS} {unused[0]}={rule.classes[unused[0]]}: no file of --language is in a folder of that name in "
            f"--source_dir; folders with such files: {', '.join(map(printable, sorted(used)[:SHOWN]))}"
        )


def with_labels(
    functions: Sequence[LabelledFunction], labels: Mapping[Place, int], report: FileReport
) -> list[LabelledFunction]:
    """The functions with the labels of their files, without those whose tokens occur with both labels.

    `report`: of files with the same content, only the first is used; the labels of all count.
    """
    by_place = {place: {label} for place, label in labels.items()}
    for place, used in report.same_as.items():
        by_place[used].add(labels[place])
    by_tokens: dict[bytes, set[int]] = {}
    for one in functions:
        by_tokens.setdefault(one.token_hash, set()).update(by_place[one.function.project, one.function.path])
    return [
        replace(one, given_label=min(by_tokens[one.token_hash]))
        for one in functions
        if len(by_tokens[one.token_hash]) == 1
    ]
