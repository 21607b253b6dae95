"""Finds problems in files of labelled functions. A finding has a kind, its rows, and what would be right."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ltp_pipeline.code.code_tokens import token_hash
from ltp_pipeline.quality.near_duplicates import RUN, NearDuplicates

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 10
RARE = 0.01  # share of a file's functions: below it, most kinds are only warnings
# kind of finding -> what would be right
RIGHT = {
    "bad_rows": "a text and a label in each row, or --on_bad_rows skip in training",
    "one_class": "functions of both classes",
    "rare_class": f"{RARE:.0%} or more of each class, or --class_weights balanced",
    "long": "a larger --max_seq_length, or --truncation windows",
    "encoding": "source files decoded with their own encoding and written as UTF-8",
    "duplicates": "each function once",
    "duplicates_across": "no function in two files: remove these from one",
    "label_conflict": "one label for the same code",
    "near_duplicates": "few near duplicates",
    "near_duplicates_across": "no function in two files: remove these from one",
    "project_leak": "each project in one file only; otherwise the metrics do not hold for projects unseen in training",
    "groups_across": "each group in one file only: python -m ltp_pipeline.split_data makes such files",
    "pairs_across": "both functions of a pair in one file",
    "label_in_names": "code without comments and names that say the label",
    "label_in_paths": "paths that do not say the label; the model does not read them",
    "label_in_length": "functions of similar lengths in both classes",
}
_DAMAGE = {
    "a replacement character (U+FFFD)": re.compile("\ufffd"),
    "a control character": re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]"),
    "a byte order mark": re.compile("\ufeff"),
    "UTF-8 that was read as Latin-1": re.compile("[\u00c2-\u00df][\u0080-\u00bf]|\u00e2\u20ac[\u0090-\u2122]"),
}


@dataclass
class FunctionFile:
    """The functions of one file."""

    name: str  # name of the file
    frame: pd.DataFrame  # the functions, as `read_functions` returns them
    tokens: list[list[str]]  # lexical tokens of each function, `[N]` lists
    lengths: list[int]  # number of tokens of each function, of the model's tokenizer or lexical, `[N]`
    bad_rows: dict[int, str] = field(default_factory=dict)  # number of a row, from 1 -> why the row cannot be used

    @property
    def rows(self) -> list[int]:
        """Each function's row in the file, from 1."""
        return [int(place) + 1 for place in self.frame.index]

    @property
    def labels(self) -> list[int]:
        return self.frame["label"].tolist()

    def __len__(self) -> int:
        return len(self.frame)

    def at(self, row: int, **details: Any) -> dict[str, Any]:
        """A row of a finding."""
        return {"file": self.name, "row": row, **details}


@dataclass
class Finding:
    """A problem in the files."""

    kind: str  # a key of `RIGHT`
    severity: str  # "error": do not train or evaluate on these files; "warning": look at the rows first
    message: str  # what is wrong, and how often
    right: str  # what would be right
    count: int  # number of rows
    rows: list[dict[str, Any]]  # the first rows, each with `file`, `row` and details


def new_finding(kind: str, is_error: bool, message: str, rows: Sequence[dict[str, Any]]) -> Finding:
    return Finding(kind, "error" if is_error else "warning", message, RIGHT[kind], len(rows), list(rows[:SHOWN]))


def find_all(
    files: Sequence[FunctionFile], max_length: int, near: NearDuplicates | None, tick: Callable[[], Any]
) -> list[Finding]:
    """Finds all problems of all kinds.

    Args:
        files: the training split first; a file is compared with those before it.
        max_length: number of tokens that the model will read.
        near: finds near duplicates; None: no search for them.
        tick: called for each function, during the search for near duplicates.
    """
    findings = bad_row_findings(files)
    files = [file for file in files if len(file)]
    findings += balance_findings(files) + length_findings(files, max_length)
    findings += encoding_findings(files) + duplicate_findings(files)
    if near is not None:
        findings += near_duplicate_findings(files, near, tick)
    return findings


def bad_row_findings(files: Iterable[FunctionFile]) -> list[Finding]:
    """Rows without code or with an unknown label."""
    return [
        new_finding(
            "bad_rows",
            True,
            f"{file.name}: {len(file.bad_rows)} rows cannot be used",
            [file.at(row, why=why) for row, why in sorted(file.bad_rows.items())],
        )
        for file in files
        if file.bad_rows
    ]


def balance_findings(files: Iterable[FunctionFile]) -> list[Finding]:
    """Files in which all functions, or almost all, have the same label."""
    findings = []
    for file in files:
        counts = Counter(file.labels)
        few, rare = min((counts[label], label) for label in (0, 1))
        if few and few >= RARE * len(file):
            continue
        rows = [file.at(row) for row, label in zip(file.rows, file.labels) if label == rare]
        message = f"{file.name}: {few} of {len(file)} functions have the label {rare}"
        findings.append(new_finding("rare_class" if few else "one_class", not few, message, rows))
    return findings


def length_findings(files: Iterable[FunctionFile], max_length: int) -> list[Finding]:
    """Files in which most functions are longer than the model's input."""
    findings = []
    for file in files:
        long = [file.at(row) for row, length in zip(file.rows, file.lengths) if length > max_length]
        if len(long) > len(file) / 2:
            message = f"{file.name}: {len(long)} of {len(file)} functions have more than {max_length} tokens"
            findings.append(new_finding("long", False, message, long))
    return findings


def encoding_findings(files: Iterable[FunctionFile]) -> list[Finding]:
    """Functions with characters that wrong decoding or damage usually causes."""
    findings = []
    for file in files:
        rows = []
        for row, text in zip(file.rows, file.frame["functionSource"]):
            why = [name for name, pattern in _DAMAGE.items() if pattern.search(text)]
            if why:
                rows.append(file.at(row, why=" and ".join(why)))
        if rows:
            message = f"{file.name}: {len(rows)} functions contain characters that look damaged"
            findings.append(new_finding("encoding", len(rows) > RARE * len(file), message, rows))
    return findings


def duplicate_findings(files: Sequence[FunctionFile]) -> list[Finding]:
    """Functions with the same lexical tokens: in one file, in two files, and with different labels."""
    first: dict[bytes, tuple[int, int, int]] = {}  # hash of the tokens: file, row and label of the first function
    inside, across = defaultdict(list), defaultdict(list)
    conflicts, conflicting = [], Counter()
    for number, file in enumerate(files):
        own: dict[bytes, int] = {}
        for row, label, tokens in zip(file.rows, file.labels, file.tokens):
            name = token_hash(tokens)
            first_file, first_row, first_label = first.setdefault(name, (number, row, label))
            same = file.at(row, same_file=files[first_file].name, same_row=first_row)
            if name in own:
                inside[file.name].append(file.at(row, same_row=own[name]))
            elif first_file != number:
                across[files[first_file].name, file.name].append(same)
            own.setdefault(name, row)
            if label != first_label:
                conflicts.append({**same, "label": label, "other_label": first_label})
                conflicting[file.name] += 1
    findings = _across_findings(across, "duplicates_across", "are also in", files)
    for name, rows in inside.items():
        message = f"{name}: {len(rows)} functions are duplicates of earlier ones (ignoring white space and comments)"
        findings.append(new_finding("duplicates", False, message, rows))
    if conflicts:
        many = any(conflicting[file.name] > RARE * len(file) for file in files)
        message = f"{len(conflicts)} functions have the same code as an earlier function but another label"
        findings.append(new_finding("label_conflict", many, message, conflicts))
    return findings


def near_duplicate_findings(
    files: Sequence[FunctionFile], near: NearDuplicates, tick: Callable[[], Any]
) -> list[Finding]:
    """Functions whose runs of tokens are mostly those of an earlier function too. Calls `tick` for each function."""
    seen: set[bytes] = set()
    places: list[tuple[int, int]] = []
    inside, across = defaultdict(list), defaultdict(list)
    for number, file in enumerate(files):
        for row, tokens in zip(file.rows, file.tokens):
            tick()
            name = token_hash(tokens)
            if name in seen:
                continue
            seen.add(name)
            found = near.add(len(places), tokens)
            places.append((number, row))
            if found is None:
                continue
            key, similarity = found
            other, other_row = places[key]
            rows = inside[file.name] if other == number else across[files[other].name, file.name]
            details = {"same_file": files[other].name, "same_row": other_row, "similarity": round(similarity, 3)}
            rows.append(file.at(row, **details))
    similar = f"have a similarity of {near.threshold:.0%} or more (common / all different runs of {RUN} tokens) with"
    findings = _across_findings(across, "near_duplicates_across", f"{similar} a function in", files, RARE)
    for name, rows in inside.items():
        message = f"{name}: {len(rows)} functions {similar} an earlier one"
        findings.append(new_finding("near_duplicates", False, message, rows))
    return findings


def _across_findings(
    pairs: dict[tuple[str, str], list[dict]], kind: str, verb: str, files: Sequence[FunctionFile], allowed: float = 0.0
) -> list[Finding]:
    """A finding for each pair of files; an error if it concerns more than the share `allowed` of the later file."""
    sizes = {file.name: len(file) for file in files}
    return [
        new_finding(
            kind,
            len(rows) > allowed * sizes[name],
            f"{name}: {len(rows)} of {sizes[name]} functions {verb} {earlier}",
            rows,
        )
        for (earlier, name), rows in pairs.items()
    ]
