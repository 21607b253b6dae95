"""The data sets: finds their tables, draws the functions that are used, and hashes them.

The functions that are drawn depend on the table and the numbers of rows alone, so all seeds and rows share them.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.accuracy.settings import Reading, Settings
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import write_text
from ltp_pipeline.files.file_formats import FORMATS

if TYPE_CHECKING:
    import pandas as pd

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"
# Names of a table without its ending, the first that is there
STEMS = {TRAIN: ("train_subset", "train"), VALIDATION: ("validation", "val", "dev"), TEST: ("test",)}
FURTHER = "_test"  # end of the name of a table that is only a test, such as mixed_test
ENDINGS = tuple(ending + gz for ending in FORMATS for gz in ("", ".gz"))
CHARACTERS_PER_TOKEN = 3.2  # with a tokenizer of 8,000 tokens; the tokens that are read are then right within 7 %
SPLITS = {TRAIN: "train_rows", VALIDATION: "validation_rows"}


@dataclass
class DataSet:
    """The tables of a folder, and the functions that are drawn of each."""

    name: str
    tables: dict[str, Path]  # train, validation, test and further tests
    frames: dict[str, pd.DataFrame] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  # the drawn functions as CSV
    hashes: dict[str, str] = field(default_factory=dict)  # SHA-256 of `texts`

    @property
    def tests(self) -> list[str]:
        """`test`, and then the further tests."""
        return [name for name in self.tables if name not in SPLITS]

    def file(self, output: Path, table: str) -> Path:
        """Where the drawn functions of a table are written."""
        return output / "data" / self.name / f"{table}.csv"

    def draw(self, settings: Settings) -> None:
        """Reads all tables and draws functions. Raises UserError if a table cannot be used."""
        from ltp_pipeline.data.readers import read_functions

        for table, path in self.tables.items():
            frame = read_functions(path, flag=f"--data_dir {path.parent}: table", need_both_classes=table == TRAIN)
            size = SPLITS.get(table, "test_rows")
            rows = getattr(settings, size)
            frame = frame.iloc[drawn(frame, rows, settings.max_negatives)].reset_index(drop=True)
            if frame["label"].nunique() < 2:
                raise UserError(f"--{size} {rows}: all functions drawn of {path} have one label; expected more")
            text = frame.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)  # as `write_csv`
            self.frames[table], self.texts[table] = frame, text
            self.hashes[table] = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()

    def write(self, output: Path) -> None:
        """Writes the drawn functions, for the commands that train, where they have changed."""
        for table, text in self.texts.items():
            path = self.file(output, table)
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != self.hashes[table]:
                write_text(path, text)

    def tokens(self, reading: Reading) -> dict[str, float]:
        """Roughly the tokens that a model reads in one pass: of `train`, of `validation`, of all `tests`, and in the
        mean of a `function` of a test.
        """
        counts: dict[str, float] = {}
        for table in self.frames:
            name = table if table in SPLITS else "tests"
            counts[name] = counts.get(name, 0.0) + float(self.lengths(table, reading).sum())
        functions = sum(len(self.frames[table]) for table in self.tests)
        return counts | {"function": counts.get("tests", 0.0) / max(functions, 1)}

    def lengths(self, table: str, reading: Reading) -> np.ndarray:
        """Roughly the tokens that a model reads of each function of a table, `[N]`."""
        lengths = self.frames[table]["functionSource"].str.len().to_numpy() / CHARACTERS_PER_TOKEN + 2
        if reading.truncation == "windows":  # a step is half a window
            return np.where(lengths > reading.length, 2 * lengths - reading.length, lengths).astype(int)
        return np.minimum(lengths, reading.length).astype(int)


def find_data_sets(folder: Path) -> list[DataSet]:
    """The data sets in a folder, in the order of their names. Raises UserError if one is missing, or a table."""
    if not folder.is_dir():
        raise UserError(f"--data_dir {folder}: no such folder; expected a folder with a folder for each data set")
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise UserError(f"--data_dir {folder}: holds no folder; expected one for each data set")
    return [DataSet(path.name, _tables(path)) for path in folders]


def _tables(folder: Path) -> dict[str, Path]:
    """The tables of a data set by name."""
    named = {path.name[: -len(end)]: path for path in sorted(folder.iterdir()) for end in ENDINGS if _ends(path, end)}
    found = {}
    for split, stems in STEMS.items():
        stem = next((stem for stem in stems if stem in named), None)
        if stem is None:
            raise UserError(
                f"--data_dir {folder.parent}: {folder.name} has no table of the split {split}; expected "
                f"{' or '.join(stems)}, such as {stems[0]}.csv"
            )
        found[split] = named[stem]
    return found | {stem: path for stem, path in named.items() if stem.endswith(FURTHER)}


def _ends(path: Path, ending: str) -> bool:
    return path.is_file() and path.name.endswith(ending)


def drawn(frame: pd.DataFrame, rows: int, max_negatives: int) -> np.ndarray:
    """The places of the functions to use, ascending. The two functions of a pair are drawn together.

    Args:
        frame: as `read_functions` returns it.
        rows: how many to draw, one less or more because of pairs; 0: all.
        max_negatives: first functions of class 0 are left out until there are at most this many for each function of
            class 1, those without a pair first; 0: none is left out.
    """
    from ltp_pipeline.files.layouts import pairs_of

    random = np.random.default_rng(0)
    labels, pairs = frame["label"].to_numpy(), pairs_of(frame)
    pairs = np.full(len(frame), "") if pairs is None else pairs.astype(str)
    places = np.arange(len(frame))
    if max_negatives:
        negatives = places[labels == 0]
        order = negatives[np.lexsort((random.random(len(negatives)), pairs[negatives] == ""))]
        places = np.sort(np.concatenate([places[labels == 1], order[: max_negatives * int((labels == 1).sum())]]))
    if not rows or rows >= len(places):
        return places
    units: dict[str, list[int]] = {}
    for place in places.tolist():
        units.setdefault(pairs[place] and f"pair {pairs[place]}" or f"row {place}", []).append(place)
    chosen: list[int] = []
    listed = list(units.values())
    for unit in random.permutation(len(listed)):
        if len(chosen) >= rows:
            break
        chosen += listed[unit]
    return np.sort(chosen)
