"""Labels files by the folder they are in, or by the 0 or 1 at the end of their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.files.file_formats import shortened
from ltp_pipeline.task.labels import WORDS

FOLDER, NAME = "folder", "name"  # the two readings, as values of --label_column
# Words in the name of a folder that say its class, in lower case
CLASSES = (
    WORDS[1]
    | WORDS[2]
    | dict.fromkeys("negatives goodware legit legitimate normal repaired novul novuln".split(), 0)
    | dict.fromkeys("positives bug bugs defect defects faulty infected vulns vulnerabilities".split(), 1)
)
_NEGATIONS = frozenset({"no", "non", "not", "un"})
_NUMBER = re.compile(r"(?:(?:class|label|target)[ _-]?)?([01])", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_ENDING = re.compile(r".+_([01])", re.DOTALL)
# Folders below a class that do not tell projects apart: CWE-119, 2021, src
_NO_PROJECT = re.compile(r"cwe.*|[\d_.-]+|src|source|sources|lib|include|tests?|scripts?|functions?|files?|raw", re.I)


def class_of_folder(name: str) -> int | None:
    """The class, 0 or 1, that the name of a folder says in plain words; None if it says none, or both.

    >>> [class_of_folder(name) for name in ("malicious_pure", "not-vulnerable", "0", "src")]
    [1, 0, 0, None]
    """
    if number := _NUMBER.fullmatch(name):
        return int(number[1])
    words = [word.lower() for word in _WORD.findall(name)]
    found = set()
    for before, word in zip(["", *words], words):
        if word in CLASSES:
            found.add(CLASSES[word] ^ (before in _NEGATIONS))
    return found.pop() if len(found) == 1 else None


def class_folder(path: str, label_map: Mapping[str, int] | None = None) -> tuple[str, int] | None:
    """The outermost folder of a file whose name says a class, and that class; None if no folder does.

    `path`: of the file, with / between its parts. `label_map`: the class of each name; None: plain words say it.
    """
    for name in PurePosixPath(path).parts[:-1]:
        number = class_of_folder(name) if label_map is None else label_map.get(name)
        if number is not None:
            return name, number
    return None


def class_of_ending(path: str) -> int | None:
    """The 0 or 1 in a name such as `name_1.c`; None if the name does not end so."""
    ending = _ENDING.fullmatch(PurePosixPath(path).stem)
    return int(ending[1]) if ending else None


@dataclass(frozen=True)
class Reading:
    """One way to label files."""

    kind: str  # FOLDER or NAME
    classes: dict[str, int | None]  # path of each file -> its class; None: it has none

    @property
    def is_complete(self) -> bool:
        """Whether every file has a class."""
        return None not in self.classes.values()

    @property
    def is_clear(self) -> bool:
        """Whether every file has a class, and both classes occur."""
        return {*self.classes.values()} == {0, 1}


def choose_reading(
    paths: Iterable[str], where: str, chosen: str | None, label_map: Mapping[str, int] | None, needed: bool
) -> Reading | None:
    """The reading of the labels of files; None if they have no labels.

    Args:
        chosen: FOLDER or NAME; None: the one that fits.
        label_map: the class of each name of a folder; None: plain words say it.
        needed: whether files without labels are an error.

    Raises UserError if both readings fit and differ, if a flag or the names of the folders label only some of the
    files, or if the folders are of one class only.
    """
    found = {path: class_folder(path, label_map) for path in paths}
    candidates = [Reading(FOLDER, {path: folder and folder[1] for path, folder in found.items()})]
    if label_map is None:
        candidates.append(Reading(NAME, {path: class_of_ending(path) for path in found}))
    given = bool(chosen or label_map)
    candidates = [one for one in candidates if chosen in (None, one.kind)]
    fitting = [one for one in candidates if one.is_clear or given and one.is_complete]
    if len(fitting) == 2 and fitting[0].classes != fitting[1].classes:
        raise UserError(
            f"{where}: labels may be those of the folders {_named(folder[0] for folder in found.values())}, or those "
            f"of names that end in _0 or _1, such as {printable(next(iter(found)))}; expected --label_column {FOLDER} "
            f"or --label_column {NAME}"
        )
    if fitting:
        return fitting[0]
    some = any(label is not None for one in candidates for label in one.classes.values())
    of_one_class = candidates[0].kind == FOLDER and candidates[0].is_complete
    if needed or of_one_class or given and some:
        raise UserError(f"{where}: {_why_unclear(candidates, found, label_map)}")
    return None


def _why_unclear(candidates: list[Reading], found: dict, label_map: Mapping[str, int] | None) -> str:
    reading = candidates[0]
    without = [path for path, label in reading.classes.items() if label is None]
    some = f"{len(without)} of {len(found)} files, such as {printable(without[0])}," if without else ""
    if reading.kind == NAME:
        return f"{some} have names that do not end in _0 or _1; expected such names for all files"
    tops = [PurePosixPath(path).parts[0] for path in without or reading.classes if "/" in path]
    if label_map is not None:
        return (
            f"{some} are in no folder that --label_map names ({_named(label_map)}); subfolders without a class: "
            f"{_named(tops)}; expected a class for each (or leave these files out: --on_bad_rows skip)"
        )
    if not without:
        number = next(iter(reading.classes.values()))
        alone = ",".join(f"{name}={number}" for name in dict.fromkeys(tops))
        return (
            f"the folders {_named(tops)} are all of class {number}; expected folders of both classes (--label_map "
            f"gives a class to other names; for this class alone: --label_map {printable(alone)})"
        )
    names = [*dict.fromkeys(tops)][:2] or ["good", "bad"]
    example = ",".join(f"{name}={number}" for number, name in enumerate(names)) if len(names) == 2 else f"{names[0]}=1"
    expected = (
        f"expected a folder for each class, such as malicious and benign, or names that end in _0 or _1; other names "
        f"of folders get a class with --label_map, such as --label_map {example}"
    )
    inside = f"subfolders without a clear class: {_named(tops)}" if tops else "the files are in no subfolder"
    return f"the labels are not clear; {inside}; {expected}"


def _named(names: Iterable[str]) -> str:
    return shortened([printable(name) for name in dict.fromkeys(names)]) or "none"


def projects_beside(folders: Mapping[str, str]) -> list[str] | None:
    """The project of each file: its outermost folder other than that of its class; None if these are no projects.

    They are not if a file has no such folder, there is only one, or it has a name like `src`, `CWE-119` or `2021`.

    `folders`: path of each file -> name of the folder of its class.
    """
    projects = []
    for path, folder in folders.items():
        others = [name for name in PurePosixPath(path).parts[:-1] if name != folder]
        if not others or _NO_PROJECT.fullmatch(others[0]):
            return None
        projects.append(others[0])
    return projects if len({*projects}) > 1 else None
