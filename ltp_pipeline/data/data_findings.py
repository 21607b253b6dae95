"""What may be wrong with labelled functions: each kind of trouble, where it is, and what would be right."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ltp_pipeline.code.code_tokens import token_hash
from ltp_pipeline.data.near_duplicates import NearDuplicates

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 10
RARE = 0.01  # share of a file's functions below which most kinds are warnings
_TROUBLE = {
    "a replacement character (U+FFFD)": re.compile("\ufffd"),
    "a control character": re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]"),
    "a byte order mark": re.compile("\ufeff"),
    "UTF-8 that was read as Latin-1": re.compile("[\u00c2-\u00df][\u0080-\u00bf]|\u00e2\u20ac[\u0090-\u2122]"),
}


@dataclass
class Functions:
    """One file: `rows` (their numbers in it, from 1), `texts`, `labels`, `tokens`, `lengths`, maybe `projects`."""

    name: str
    frame: pd.DataFrame
    tokens: list[list[str]]
    lengths: list[int]
    bad_rows: dict[int, str] = field(default_factory=dict)  # reasons, by row from 1

    @property
    def rows(self) -> list[int]:
        return [int(place) + 1 for place in self.frame.index]

    @property
    def labels(self) -> list[int]:
        return self.frame["label"].tolist()

    def __len__(self) -> int:
        return len(self.frame)


@dataclass
class Finding:
    """
    Args:
        kind: short name, for `--allow`.
        severity: "error": training would not be sound; "warning": it would, but look.
        message: what is wrong, with its number.
        right: what would be right.
        count: of rows concerned.
        rows: the first of them, each with `file`, `row` and what else there is to say.
    """

    kind: str
    severity: str
    message: str
    right: str
    count: int
    rows: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def bad_row_findings(files: Iterable[Functions]) -> list[Finding]:
    """Rows without code, or whose label is none."""
    return [
        Finding(
            "bad_rows",
            "error",
            f"{file.name}: {len(file.bad_rows)} rows cannot be used",
            "a text and a label in each row, or --on_bad_rows skip in training",
            len(file.bad_rows),
            [{"file": file.name, "row": row, "why": why} for row, why in sorted(file.bad_rows.items())[:SHOWN]],
        )
        for file in files
        if file.bad_rows
    ]


def balance_findings(files: Iterable[Functions]) -> list[Finding]:
    """Files with functions of one class only, or almost."""
    findings = []
    for file in files:
        counts = Counter(file.labels)
        few, rare = min((counts[label], label) for label in (0, 1))
        if few and few >= RARE * len(file):
            continue
        rows = [{"file": file.name, "row": row} for row, label in zip(file.rows, file.labels) if label == rare]
        findings.append(
            Finding(
                "one_class" if not few else "rare_class",
                "warning" if few else "error",
                f"{file.name}: {few} of {len(file)} functions have the label {rare}",
                "functions of both classes"
                if not few
                else f"{RARE:.0%} or more of each class, or --class_weights balanced",
                few,
                rows[:SHOWN],
            )
        )
    return findings


def length_findings(files: Iterable[Functions], max_length: int) -> list[Finding]:
    """Files of which most functions do not fit."""
    findings = []
    for file in files:
        long = [row for row, length in zip(file.rows, file.lengths) if length > max_length]
        if len(long) > len(file) / 2:
            findings.append(
                Finding(
                    "long",
                    "warning",
                    f"{file.name}: {len(long)} of {len(file)} functions have more than {max_length} tokens",
                    "a larger --max_seq_length, or --truncation windows",
                    len(long),
                    [{"file": file.name, "row": row} for row in long[:SHOWN]],
                )
            )
    return findings


def encoding_findings(files: Iterable[Functions]) -> list[Finding]:
    """Texts with characters that no source file means to have."""
    findings = []
    for file in files:
        rows = []
        for row, text in zip(file.rows, file.frame["functionSource"]):
            why = [name for name, pattern in _TROUBLE.items() if pattern.search(text)]
            if why:
                rows.append({"file": file.name, "row": row, "why": " and ".join(why)})
        if rows:
            findings.append(
                Finding(
                    "encoding",
                    "error" if len(rows) > RARE * len(file) else "warning",
                    f"{file.name}: {len(rows)} functions hold characters that look damaged",
                    "the sources decoded by their own encoding, and written as UTF-8",
                    len(rows),
                    rows[:SHOWN],
                )
            )
    return findings


def duplicate_findings(files: Sequence[Functions]) -> list[Finding]:
    """The same tokens more than once: in a file, in two, with two labels."""
    first: dict[bytes, tuple[int, int, int]] = {}  # by tokens: file, row, label
    inside, across = defaultdict(list), defaultdict(list)
    conflicts, conflicting = [], Counter()
    for number, file in enumerate(files):
        own: dict[bytes, int] = {}
        for row, label, tokens in zip(file.rows, file.labels, file.tokens):
            name = token_hash(tokens)
            seen = first.setdefault(name, (number, row, label))
            where = {"file": file.name, "row": row, "same_file": files[seen[0]].name, "same_row": seen[1]}
            if name in own:
                inside[file.name].append({"file": file.name, "row": row, "same_row": own[name]})
            elif seen[0] != number:
                across[files[seen[0]].name, file.name].append(where)
            own.setdefault(name, row)
            if label != seen[2]:
                conflicts.append({**where, "label": label, "other_label": seen[2]})
                conflicting[file.name] += 1
    return [
        *_across(across, "duplicates_across", "are also in", files),
        *(
            Finding(
                "duplicates",
                "warning",
                f"{name}: {len(rows)} functions stand in it before, but for layout and comments",
                "each function once",
                len(rows),
                rows[:SHOWN],
            )
            for name, rows in inside.items()
        ),
        *_conflicts(conflicts, conflicting, files),
    ]


def near_duplicate_findings(files: Sequence[Functions], near: NearDuplicates, tick: Any) -> list[Finding]:
    """Functions that share most of their tokens with an earlier one, but not all. `tick` is called for each."""
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
            other, other_row = places[found[0]]
            where = {"file": file.name, "row": row, "same_file": files[other].name, "same_row": other_row}
            where["similarity"] = round(found[1], 3)
            (inside[file.name] if other == number else across[files[other].name, file.name]).append(where)
    return [
        *_across(across, "near_duplicates_across", f"share {near.threshold:.0%} or more with one of", files, RARE),
        *(
            Finding(
                "near_duplicates",
                "warning",
                f"{name}: {len(rows)} functions share {near.threshold:.0%} or more with one before",
                "few of them",
                len(rows),
                rows[:SHOWN],
            )
            for name, rows in inside.items()
        ),
    ]


def project_findings(files: Sequence[Functions]) -> list[Finding]:
    """Projects with functions in two files, where a column `project` tells."""
    findings = []
    known = [file for file in files if "project" in file.frame.columns]
    for i, file in enumerate(known):
        for earlier in known[:i]:
            shared = set(file.frame["project"].dropna()) & set(earlier.frame["project"].dropna()) - {""}
            if not shared:
                continue
            rows = [row for row, project in zip(file.rows, file.frame["project"]) if project in shared]
            names = sorted(map(str, shared))
            findings.append(
                Finding(
                    "project_leak",
                    "error",
                    f"{file.name}: {len(rows)} functions are of projects that {earlier.name} has, too: "
                    f"{', '.join(names[:5])}{' and more' if len(names) > 5 else ''}",
                    "each project in one file, else the metrics say nothing of projects not seen in training",
                    len(rows),
                    [{"file": file.name, "row": row} for row in rows[:SHOWN]],
                )
            )
    return findings


def _across(
    pairs: dict[tuple[str, str], list[dict]], kind: str, verb: str, files: Sequence[Functions], allowed: float = 0.0
) -> list[Finding]:
    sizes = {file.name: len(file) for file in files}
    return [
        Finding(
            kind,
            "error" if len(rows) > allowed * sizes[name] else "warning",
            f"{name}: {len(rows)} of {sizes[name]} functions {verb} {earlier}",
            "no function in two files: leave these out of one",
            len(rows),
            rows[:SHOWN],
        )
        for (earlier, name), rows in pairs.items()
    ]


def _conflicts(rows: list[dict], by_file: Counter, files: Sequence[Functions]) -> list[Finding]:
    if not rows:
        return []
    many = any(by_file[file.name] > RARE * len(file) for file in files)
    return [
        Finding(
            "label_conflict",
            "error" if many else "warning",
            f"{len(rows)} functions have another label than the same code before",
            "one label for the same code",
            len(rows),
            rows[:SHOWN],
        )
    ]
