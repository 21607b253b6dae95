"""The rows that an importer reads: their columns, which of them repeat another, and how they are split."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from Data.functions.splits import SHARES
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.code.code_tokens import code_tokens, token_hash
from ltp_pipeline.code.languages import language_of
from ltp_pipeline.quality.group_splits import group_components, group_splits, shares_note
from ltp_pipeline.quality.near_duplicates import NearDuplicates


@dataclass(frozen=True)
class Row:
    """A function or a script, and what its source states about it.

    Rows that share the name of any group are put into the same split. The ending of `path` decides the language in
    which duplicates are compared (without an ending: C).
    """

    text: str
    label: int
    groups: tuple[str, ...]  # at least one name
    id: str = ""
    cwes: tuple[str, ...] = ()  # such as CWE-119
    project: str = ""
    path: str = ""
    first_line: int | None = None  # of the text in its file, from 1
    flaw_lines: tuple[int, ...] = ()  # lines of the text, from 1
    pair: str = ""  # the same name in the row of the defective function and in that of its repaired form
    table: str = ""  # begins the name of the table in which the row is written: "mixed_" for mixed_test.csv
    origin: str = ""  # the file of the source, where its name tells the label: only origins.csv has it, by id
    published: str = ""  # the text as the source has it, if the importer has changed it: for the check of leaks

    @property
    def tokens(self) -> list[str]:
        """The lexical tokens of the text, without comments."""
        return code_tokens(self.text, language_of(self.path))


def without_duplicates(rows: Iterable[Row], counts: dict[str, int]) -> list[Row]:
    """The rows whose text occurs with one label, each text once a table. Texts with the same tokens are the same text.

    Of rows with the same text the first is kept; a row with a pair is preferred, then a row with flaw lines. A row
    whose partner is dropped keeps no `pair`. Adds to `counts` what was dropped.
    """
    rows = [(token_hash(row.tokens), row) for row in rows]
    labels: dict[bytes, set[int]] = defaultdict(set)
    for name, row in rows:
        labels[name].add(row.label)
    one_label = [(name, row) for name, row in rows if len(labels[name]) == 1]
    first: dict[tuple[str, bytes], Row] = {}
    for (name, _), row in zip(one_label, with_whole_pairs(row for _, row in one_label)):
        if _known(row) > _known(first.get((row.table, name))):
            first[row.table, name] = row
    counts.update(with_both_labels=len(rows) - len(one_label), duplicates=len(one_label) - len(first))
    return with_whole_pairs(first.values())


def _known(row: Row | None) -> tuple[bool, ...]:
    return () if row is None else (bool(row.pair), bool(row.flaw_lines))


def without_near_duplicates(rows: Sequence[Row], threshold: float, counts: dict[str, int]) -> list[Row]:
    """The rows that are not nearly the same as an earlier row of another group; rows of label 1 and pairs come first.

    If a row of a pair is dropped, its partner is, too. Adds to `counts` what was dropped.
    `threshold`: see `NearDuplicates`.
    """
    near = NearDuplicates(threshold)
    units: dict[str, list[int]] = defaultdict(list)
    for number in sorted(range(len(rows)), key=lambda number: (not rows[number].pair, -rows[number].label)):
        units[rows[number].pair or f"\0{number}"].append(number)
    kept: set[int] = set()
    for numbers in progress_bar(units.values(), desc="near duplicates", unit="function"):
        similar = {number: near.add_and_list(number, rows[number].tokens) for number in numbers}
        if any(
            set(rows[number].groups).isdisjoint(rows[other].groups)
            for number, found in similar.items()
            for other, _ in found
        ):
            for number in numbers:
                near.remove(number)
        else:
            kept.update(numbers)
    counts["near_duplicates_of_another_group"] = len(rows) - len(kept)
    return [row for number, row in enumerate(rows) if number in kept]


def with_whole_pairs(rows: Iterable[Row]) -> list[Row]:
    """The rows in order; `pair` is kept where exactly one row of label 1 and one of label 0 have the name."""
    rows = list(rows)
    labels: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        labels[row.pair].append(row.label)
    return [row if not row.pair or sorted(labels[row.pair]) == [0, 1] else replace(row, pair="") for row in rows]


def component_counts(rows: Sequence[Row]) -> dict[str, int]:
    """How many sets of rows have no group in common, and how many rows the largest of them has."""
    sizes = np.bincount(group_components([row.groups for row in rows]))
    return {"sets_of_rows_without_a_common_group": len(sizes), "rows_of_the_largest_set": int(sizes.max())}


def split_rows(rows: Iterable[Row], splits: Sequence[str], seed: int) -> dict[str, list[Row]]:
    """The rows of each split, in random order. No group is in two splits; classes and tables have similar shares.

    `splits`: names of SHARES. If it is one name, all rows are in that split.
    Raises UserError if there are fewer groups than splits.
    """
    rows = list(rows)
    random.Random(seed).shuffle(rows)
    if len(splits) == 1:
        return {splits[0]: rows}
    kinds = {kind: number for number, kind in enumerate(sorted({(row.table, row.label) for row in rows}))}
    labels = [kinds[row.table, row.label] for row in rows]
    chosen = group_splits([row.groups for row in rows], [SHARES[split] for split in splits], seed, labels)
    return {split: [row for row, own in zip(rows, chosen) if own == number] for number, split in enumerate(splits)}


def split_note(splits: Mapping[str, Sequence[Row]]) -> str | None:
    """Says how the sizes of the splits differ from SHARES; None: hardly."""
    if len(splits) == 1:
        return None
    groups = [row.groups for rows in splits.values() for row in rows]
    numbers = [number for number, rows in enumerate(splits.values()) for _ in rows]
    return shares_note(groups, np.array(numbers), [SHARES[split] for split in splits])


def to_frame(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    """A table with the texts, the labels and these further columns."""
    frame = pd.DataFrame({"functionSource": [row.text for row in rows], "label": [row.label for row in rows]})
    for column in columns:
        values = [getattr(row, column) for row in rows]
        if column == "first_line":
            frame[column] = pd.array(values, dtype="Int64")
        else:
            frame[column] = [value if isinstance(value, str) else " ".join(map(str, value)) for value in values]
    return frame


def describe(rows: Sequence[Row]) -> Mapping[str, int]:
    """Counts of a table for its card."""
    return {
        "rows": len(rows),
        "label_1": sum(row.label for row in rows),
        "with_flaw_lines": sum(bool(row.flaw_lines) for row in rows),
        "pairs": len({row.pair for row in rows} - {""}),
        "with_cwe": sum(bool(row.cwes) for row in rows),
        "projects": len({row.project for row in rows} - {""}),
    }
