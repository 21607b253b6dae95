"""Reads a folder of source files as functions: a row for each file, labelled by its folder, its name or not at all."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.base.text_encoding import decode_text, is_binary, plain_text
from ltp_pipeline.code.languages import LANGUAGES, OTHER_SUFFIXES, suffixes_of
from ltp_pipeline.data.flags import ColumnArguments
from ltp_pipeline.data.folder_labels import FOLDER, NAME, Reading, choose_reading, class_folder, projects_beside
from ltp_pipeline.files.file_formats import FORMATS, SHOWN
from ltp_pipeline.files.layouts import LAYOUT, Layout
from ltp_pipeline.task.class_names import one_word_each
from ltp_pipeline.task.labels import parse_label_map
from ltp_pipeline.task.tasks import UNLABELLED

if TYPE_CHECKING:
    import pandas as pd

    from ltp_pipeline.data.readers import Labels

CLASS_NAMES = "class_names"  # key in a frame's `attrs`: the data's own words for class 0 and class 1, or None
LEFT_OUT = "left_out"  # key in a frame's `attrs`: why files of the folder were left out -> how many
ENCODINGS = "encodings"  # key in a frame's `attrs`: encoding of the files that were read -> how many
NO_SOURCES = frozenset({*FORMATS, ".gz"})  # a folder of such files holds tables


@dataclass
class _Files:
    """The text of each source file below a folder, by its path, and what happened to the others."""

    texts: dict[str, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)  # reason -> number of files
    encodings: Counter[str] = field(default_factory=Counter)

    def description(self) -> str:
        """What was left out, as the end of a message."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.left_out.most_common())
        return f"; left out: {reasons}" if reasons else ""


def read_folder(
    folder: Path, columns: ColumnArguments, where: str, labels: Labels, groups: Sequence[str] = (), skip: bool = False
) -> pd.DataFrame:
    """Reads the source files below a folder, and prints a line that says what was found.

    The label of a file is that of its outermost folder whose name says a class, in plain words or in `--label_map`, or
    the 0 or 1 at the end of its name. Hidden files, links, binary and empty files, and files with other endings are
    left out.

    Args:
        where: the flag and the folder, for messages.
        labels: see `read_functions`. Where they are optional, a folder without clear labels has none.
        groups: names of the labels of a task with several labels at once. A folder does not give such labels.
        skip: leave out files that `--label_map` gives no class, instead of raising an error.

    Returns a row for each file: functionSource, label, path (in the folder) and, if folders name it, project. Files of
    the two classes take turns in proportion, so that the first N rows have both. `attrs` has `layout`, `left_out` and
    `encodings`.
    Raises UserError if there are no source files, a file cannot be read, or labels are needed and not clear.
    """
    import pandas as pd

    if columns.text_column is not None:
        raise UserError(f"--text_column {columns.text_column}: {where} is a folder; expected no such flag")
    files = _read_files(folder, where)
    reading, folders = None, {}
    if labels != "ignored":
        try:
            reading = _label(files, columns, where, labels == "needed", bool(groups), skip)
        except UserError as error:
            raise UserError(f"{error}{files.description()}") from None
    paths, classes = list(files.texts), {}
    if reading is not None:
        paths, classes = _in_turn(reading.classes), reading.classes
        if reading.kind == FOLDER:
            label_map = parse_label_map(columns.label_map)
            folders = {path: class_folder(path, label_map)[0] for path in paths}
    none = [UNLABELLED] * len(groups) if groups else UNLABELLED
    found = {
        "functionSource": [files.texts[path] for path in paths],
        "label": [classes.get(path, none) for path in paths],
        "path": paths,
    }
    projects = projects_beside(folders) if folders else None
    found |= {"project": projects} if projects else {}
    frame = pd.DataFrame(found)
    label, project = ("label" if classes else None), ("project" if projects else None)
    frame.attrs[LAYOUT] = Layout("", "functionSource", label, path="path", project=project)
    frame.attrs[CLASS_NAMES] = one_word_each((folders[path], classes[path]) for path in folders) if folders else None
    frame.attrs |= {LEFT_OUT: dict(files.left_out), ENCODINGS: dict(files.encodings)}
    print(f"{where}: {_found(reading, folders, len(paths), labels)}{files.description()}", flush=True)
    return frame


def _read_files(folder: Path, where: str) -> _Files:
    """The text of each source file, in the order of the paths. Raises UserError if there is none."""
    files = _Files()
    found = _regular_files(folder, files.left_out, where)
    endings = Counter(path.suffix.lower() for path in found.values())
    suffixes = suffixes_of(LANGUAGES) | OTHER_SUFFIXES
    if not suffixes & {*endings} and len(endings) == 1:
        suffixes |= {*endings} - NO_SOURCES  # such as .txt, or no ending at all
    for name, path in progress_bar(found.items(), desc=f"reading {folder}", unit="file", disable=len(found) < 1000):
        if path.suffix.lower() not in suffixes:
            files.left_out["with another ending"] += 1
            continue
        try:
            text, encoding = decode_text(path.read_bytes())
        except OSError as error:
            raise UserError(f"{where}: cannot read {name}: {error.strerror}") from error
        if is_binary(text):
            files.left_out["binary"] += 1
        elif not (text := plain_text(text)).strip():
            files.left_out["empty"] += 1
        else:
            files.texts[name] = text
            files.encodings[encoding] += 1
    if not files.texts:
        shown = ", ".join(
            f"{count} {printable(ending) or 'without an ending'}" for ending, count in endings.most_common(SHOWN)
        )
        raise UserError(
            f"{where}: no source file in this folder; expected files such as a.c or a.ps1, or the name of a table: "
            f"{', '.join(FORMATS)}; endings found: {shown or 'none'}{files.description()}"
        )
    return files


def _regular_files(folder: Path, left_out: Counter[str], where: str) -> dict[str, Path]:
    """The files below a folder by their paths in it, sorted. Counts hidden files and folders, and links."""

    def fail(error: OSError) -> None:
        raise UserError(f"{where}: cannot read {printable(str(error.filename))}: {error.strerror}") from error

    found = {}
    for parent, folders, names in os.walk(folder, onerror=fail):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in (*names, *links):
            path = Path(parent, name)
            if name.startswith("."):
                left_out["hidden"] += 1
            elif path.is_symlink() or not path.is_file():
                left_out["no regular file, such as a link"] += 1
            else:  # bytes of a name that are not UTF-8 become escapes
                found[path.relative_to(folder).as_posix().encode("utf-8", "backslashreplace").decode()] = path
        left_out["hidden"] += sum(name.startswith(".") and name not in links for name in folders)
        folders[:] = [name for name in folders if not name.startswith(".")]
    left_out += Counter()  # removes zeros
    return dict(sorted(found.items()))


def _label(
    files: _Files, columns: ColumnArguments, where: str, needed: bool, is_multi_label: bool, skip: bool
) -> Reading | None:
    """How the files are labelled; None if they have no labels. For the errors see `choose_reading`."""
    chosen, label_map = columns.label_column, parse_label_map(columns.label_map)
    chosen = None if chosen in (None, "label") else chosen
    if chosen not in (None, FOLDER, NAME) or chosen == NAME and label_map:
        raise UserError(
            f"--label_column {chosen}: {where} is a folder; expected {FOLDER} (folders give the labels, --label_map "
            f"their classes), or {NAME} without --label_map (names end in _0 or _1)"
        )
    if is_multi_label:
        if needed:
            raise UserError(
                f"{where}: a folder gives a file one class; expected a table, for a task with several labels"
            )
        return None
    if label_map and skip:
        inside = {path: text for path, text in files.texts.items() if class_folder(path, label_map)}
        if 0 < len(inside) < len(files.texts):
            files.left_out["in no folder of --label_map"] += len(files.texts) - len(inside)
            files.texts = inside
    return choose_reading(files.texts, where, chosen, label_map, needed)


def _in_turn(classes: Mapping[str, int]) -> list[str]:
    """The paths, in an order in which the classes take turns in proportion to their numbers."""
    sizes, seen, places = Counter(classes.values()), Counter(), {}
    for path, label in classes.items():
        seen[label] += 1
        places[path] = (seen[label] - 0.5) / sizes[label]
    return sorted(classes, key=places.__getitem__)


def _found(reading: Reading | None, folders: Mapping[str, str], count: int, labels: Labels) -> str:
    """Says how many files of which class there are, and what their labels are."""
    if reading is None:
        return f"{count} files" if labels == "ignored" else f"{count} files without labels"
    parts = []
    for label in (0, 1):
        paths = [path for path, found in reading.classes.items() if found == label]
        names = (
            ", ".join(printable(name) for name in dict.fromkeys(folders[path] for path in paths)) if folders else ""
        )
        parts.append(f"{len(paths)} of class {label} ({names or f'_{label}'})" if paths else "")
    return f"{count} files: {', '.join(filter(None, parts))}"
