"""The groups of the rows of files: values of columns such as `project`, pairs, and rows with the same tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import as_text
from ltp_pipeline.code.code_tokens import code_tokens, token_hash
from ltp_pipeline.code.languages import language_of
from ltp_pipeline.files.file_formats import column_list
from ltp_pipeline.files.layouts import LAYOUT, pairs_of, unmatched_pairs

if TYPE_CHECKING:
    import pandas as pd


def check_group_columns(frame: pd.DataFrame, columns: Sequence[str], where: str) -> None:
    """Raises UserError for a column of `--group_by` that the file does not have."""
    for column in columns:
        if column not in frame.columns:
            raise UserError(f"{where}: --group_by {column}: no such column; columns found: {column_list(frame)}")


def group_names(cells: Sequence[Any]) -> list[list[str]]:
    """The names of the groups of each row, by the cells of one column. A list holds several names.

    An empty or missing cell is no group. A number is named alike in all files, also where another row lacks it.
    """
    return [[name for each in _listed(cell) if (name := as_text(each).strip())] for cell in cells]


def _listed(cell: Any) -> Sequence[Any]:
    cell = cell.tolist() if hasattr(cell, "tolist") else cell
    return cell if isinstance(cell, list | tuple) else [cell]


def row_tokens(frame: pd.DataFrame) -> list[list[str]]:
    """The lexical tokens of each function, without comments, by the language of its path.

    `frame`: as `read_functions` returns it.
    """
    path = frame.attrs[LAYOUT].path if LAYOUT in frame.attrs else None
    paths = [""] * len(frame) if path is None else map(as_text, frame[path])
    return [code_tokens(text, language_of(name)) for text, name in zip(frame["functionSource"], paths)]


def groups_of_rows(frames: Sequence[pd.DataFrame], columns: Mapping[str, Sequence[Sequence[str]]]) -> list[list[str]]:
    """The names of all groups of each row of all files, for `group_splits`.

    Rows are together that share a group of a column, are a pair, or have the same tokens. Two rows in different files
    with the same name of a pair are together, too.

    Args:
        frames: as `read_functions` returns them.
        columns: column -> the names of the groups of each row of all files, as `group_names` returns them.
    """
    groups: list[list[str]] = []
    for number, frame in enumerate(frames):
        codes = [f"code {token_hash(tokens).hex()}" for tokens in row_tokens(frame)]
        names = [[code] for code in codes]
        for of_frame, prefix in ((pairs_of(frame), f"pair {number}"), (unmatched_pairs(frame), "pair")):
            for own, name in zip(names, () if of_frame is None else of_frame):
                own += [f"{prefix} {name}"] if name else []
        groups += names
    for column, of_rows in columns.items():
        for own, names in zip(groups, of_rows, strict=True):
            own += [f"column {column} {name}" for name in names]
    return groups


def pooled_pairs(frames: Sequence[pd.DataFrame]) -> list[str] | None:
    """The pair of each row of all files, "" for none; None if no file has pairs.

    A name that pairs of two files have gets the number of the file, from 1, before it.
    """
    of_files = [pairs_of(frame) for frame in frames]
    if all(pairs is None for pairs in of_files):
        return None
    files = Counter(name for pairs in of_files if pairs is not None for name in set(pairs))
    found: list[str] = []
    for number, (frame, pairs) in enumerate(zip(frames, of_files), start=1):
        wanted = unmatched_pairs(frame)
        for place in range(len(frame)):
            name = "" if pairs is None else pairs[place]
            name = f"{number}-{name}" if name and files[name] > 1 else name
            found.append(name or ("" if wanted is None else wanted[place]))
    return found
