"""Recognises the layout of a file by its columns: which of them holds the text, the label, flaw lines, a partner, ...

The layouts are those of the public data sets of defects, and that of the tables which this project writes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import as_text
from ltp_pipeline.files.file_formats import column_list
from ltp_pipeline.files.flaw_lines import READ_LINES, lines_from_one, numbers_in
from ltp_pipeline.files.row_pairs import has_neighbouring_pairs, named_pairs, neighbouring_pairs

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LAYOUT = "layout"  # key in a frame's `attrs`: its `Layout`
OTHER = "other"  # name of a layout that is none of `KNOWN`
OWN_TEXTS, OWN_LABEL = ("functionSource", "code", "text"), "label"
# Columns that may hold the text or the label
TEXTS = (*OWN_TEXTS, "func", "func_before", "processed_func", "source_code", "function")
LABELS = (OWN_LABEL, "target", "vul", "is_vul", "vulnerable", "is_vulnerable")
PAIR = "pair"
REPAIRED = re.compile("(^|_)(after|fixed)(_|$)")  # in the name of a column with repaired functions
COMMITS = ("commit_id", "commit_hash", "commit")
# role -> the columns that may have it, in lower case; the first that a file has
ROLES = {
    "id": ("id", "idx"),
    "cwe": ("cwes", "cwe", "cwe_id", "cwe_ids"),
    "project": ("project", "repo_name"),
    "path": ("path", "file_path"),
    "first_line": ("first_line",),
    "flaw_lines": tuple(READ_LINES),
    "pair": (PAIR,),
}


@dataclass(frozen=True)
class Layout:
    """What the columns of a file mean: for each role the name of its column in the file, or None."""

    name: str  # such as "CodeXGLUE"; "" for our own columns, or columns that flags name
    text: str
    label: str | None = None
    id: str | None = None
    cwe: str | None = None
    project: str | None = None
    path: str | None = None
    first_line: str | None = None
    flaw_lines: str | None = None
    pair: str | None = None  # names of pairs, or the commit if a pair is two rows after each other
    partner: str | None = None  # the text of the repaired function, in the row of the defective one
    clean_text: str | None = None  # holds the text of a row of label 0, if that is not `text`
    may_be_empty: bool = False  # rows without a text are part of the data set: they are skipped


@dataclass(frozen=True)
class Known:
    """A public layout. Names of columns are in lower case, with "_" for white space."""

    name: str
    text: str
    label: str
    others: tuple[str, ...] = ()  # the other columns by which it is recognised
    also: tuple[str, ...] = ()  # its columns that could be taken for the text or the label
    partner: str | None = None
    clean_text: str | None = None
    may_be_empty: bool = False


# The first that matches is taken.
KNOWN = (
    Known("LineVul", "processed_func", "target", also=("func_before", "vul")),
    Known("MegaVul", "func_before", "is_vul", others=("func",), also=("func",), partner="func", clean_text="func"),
    Known("BigVul", "func_before", "vul", partner="func_after"),
    Known("PrimeVul", "func", "target", others=("idx", "cwe")),
    Known("DiverseVul", "func", "target", others=("cwe",), may_be_empty=True),
    Known("CodeXGLUE", "func", "target"),
)


def find_layout(
    frame: pd.DataFrame, where: str, text: str | None = None, label: str | None = None, needs: str = "needed"
) -> Layout:
    """The layout of a table, by the names of its columns. Their order, case and other columns do not matter.

    Args:
        where: the flag and the file, for messages.
        text, label: columns that the user has named; None: those of the layout.
        needs: "needed": there must be a column of labels; "optional": there may be one; "ignored": none is looked for.

    Raises UserError if no column, or more than one, may be the text or the label, or if a named one is not there.
    """
    columns = list(frame.columns)
    for flag, column in (("--text_column", text), ("--label_column", label)):
        if column is not None and column not in columns:
            raise UserError(
                f"{where}: no column {column!r} (name another with {flag}); columns found: {column_list(frame)}"
            )
    found = _by_plain_name(columns)
    texts = _candidates(TEXTS[:-1], columns) or _candidates(TEXTS[-1:], columns)  # function is often a name
    labels = [] if needs == "ignored" else _candidates(LABELS, columns)
    if {OWN_TEXTS[0], OWN_LABEL} <= set(columns):
        texts, labels = [OWN_TEXTS[0]], labels and [OWN_LABEL]
    needs_label = needs == "needed"
    known = next((known for known in KNOWN if _matches(known, found, texts, labels, text, label, needs_label)), None)
    chosen_text = text or (found[known.text] if known else _only(texts, where, "code", "--text_column", frame))
    chosen_label = label or (found.get(known.label) if known and labels else None)
    if chosen_label is None and (labels or needs_label):
        chosen_label = _only(labels, where, "label", "--label_column", frame)
    if chosen_text == chosen_label:
        raise UserError(f"{where}: --text_column and --label_column are both {chosen_text!r}; expected two columns")
    own = (text or chosen_text in OWN_TEXTS) and (label or chosen_label in (OWN_LABEL, None))
    layout = own_layout(columns, chosen_text, chosen_label)
    layout = replace(layout, name=known.name if known else "" if own else OTHER)
    if known is None:
        return layout
    layout = replace(layout, may_be_empty=known.may_be_empty)
    if chosen_text != found[known.text]:  # another text has other lines
        return replace(layout, flaw_lines=None)
    return replace(layout, partner=found.get(known.partner), clean_text=found.get(known.clean_text))


def own_layout(columns: Iterable[str], text: str, label: str | None) -> Layout:
    """The layout of a table of this project with these columns, of which `text` and `label` are chosen."""
    found = _by_plain_name(column for column in columns if column not in (text, label))
    roles = {role: next((found[name] for name in names if name in found), None) for role, names in ROLES.items()}
    return Layout("", text, label, **roles)


def with_content(layout: Layout, frame: pd.DataFrame) -> Layout:
    """`layout` without what the rows do not have, and with pairs if two rows after each other are pairs.

    `frame`: all rows of the file, as `read_functions` returns them.
    """
    if layout.flaw_lines is not None and READ_LINES[_plain(layout.flaw_lines)][1] is lines_from_one:
        if any(numbers_in(cell) is None for cell in frame[layout.flaw_lines]):
            layout = replace(layout, flaw_lines=None)
    commit = next((column for column in frame.columns if _plain(column) in COMMITS), None)
    if layout.name and layout.pair is None and commit is not None and has_neighbouring_pairs(frame, commit):
        layout = replace(layout, pair=commit)
    return layout


def described(frame: pd.DataFrame) -> str:
    """One line for the user: `CodeXGLUE layout: func, target`, with the column of flaw lines and the pairs."""
    layout, pairs = frame.attrs[LAYOUT], pairs_of(frame)
    line = f"{layout.name} layout: {layout.text}"
    line += "" if layout.label is None else f", {layout.label}"
    line += "" if layout.flaw_lines is None else f"; flaw lines: {layout.flaw_lines}"
    count = 0 if pairs is None else (pairs != "").sum() // 2
    return line if pairs is None else f"{line}; {count} pair{'' if count == 1 else 's'}"


def flaw_lines_of(frame: pd.DataFrame) -> list[tuple[int, ...]] | None:
    """The flaw lines of each row, from 1, in the row's text, in the order in which the file lists them.

    `frame`: as `read_functions` returns it. Returns None if the file has no flaw lines; () for a row without any.
    """
    layout = frame.attrs.get(LAYOUT)
    if layout is None or layout.flaw_lines is None:
        return None
    second, read = READ_LINES[_plain(layout.flaw_lines)]
    column = next((column for column in frame.columns if _plain(column) == second), None)
    others = [None] * len(frame) if column is None else frame[column]
    return [read(*cells) for cells in zip(frame[layout.flaw_lines], others, frame["functionSource"])]


def pairs_of(frame: pd.DataFrame) -> np.ndarray | None:
    """The pair of each row: `[N]` texts, "" for a row without a partner in the frame.

    Exactly two rows, one of label 1 and one of label 0, have the same text.
    `frame`: as `read_functions` returns it, or some of its rows. Returns None if the file has no pairs.
    """
    layout = frame.attrs.get(LAYOUT)
    if layout is None or layout.pair is None:
        return None
    if _plain(layout.pair) in COMMITS:
        return neighbouring_pairs(frame, layout.pair)
    return named_pairs(list(map(as_text, frame[layout.pair])), frame["label"].tolist())


def unmatched_pairs(frame: pd.DataFrame) -> np.ndarray | None:
    """The name in the column of pairs of each row whose partner is not in the frame: `[N]` texts, "" for other rows.

    The partner may be in another file. Returns None if the file has no column with names of pairs.
    """
    import numpy as np

    layout = frame.attrs.get(LAYOUT)
    if layout is None or layout.pair is None or _plain(layout.pair) in COMMITS:
        return None
    wanted = np.array(list(map(as_text, frame[layout.pair])), dtype=object)
    wanted[pairs_of(frame) != ""] = ""
    return wanted


def all_pairs_of(frame: pd.DataFrame) -> np.ndarray | None:
    """As [`pairs_of`], but a row whose partner is not in the frame keeps the name of its pair: it can be counted."""
    import numpy as np

    pairs, unmatched = pairs_of(frame), unmatched_pairs(frame)
    return pairs if unmatched is None else np.where(pairs == "", unmatched, pairs)


def _matches(known: Known, found: dict, texts: list, labels: list, text: str | None, label: str | None, needs: bool):
    """Whether a file has the columns of a layout, and no other column that may be its text or its label."""
    needed = {known.text, *known.others} | ({known.label} if labels or needs else set())
    allowed = {known.text, known.label, *known.also}
    own = {found[name] for name in allowed if name in found}
    return needed <= found.keys() and own.issuperset(([] if text else texts) + ([] if label else labels))


def _by_plain_name(columns: Iterable[str]) -> dict[str, str]:
    """The column of each plain name. Of several, that which is spelled so, or else the first."""
    found: dict[str, str] = {}
    for column in columns:
        if found.setdefault(_plain(column), column) != column and column == _plain(column):
            found[column] = column
    return found


def _candidates(names: tuple[str, ...], columns: list[str]) -> list[str]:
    """The columns that are one of `names`, as it is spelled or else in another case. Of `OWN_TEXTS` only the first."""
    by_plain = defaultdict(list)
    for column in columns:
        by_plain[_plain(column)].append(column)
    found = [[name] if name in by_plain[_plain(name)] else by_plain[_plain(name)] for name in names]
    own = next((name for name in OWN_TEXTS if name in columns), None)
    return [column for some in found for column in some if column == own or column not in OWN_TEXTS]


def _only(candidates: list[str], where: str, what: str, flag: str, frame: pd.DataFrame) -> str:
    """The only candidate. Raises UserError if there is none, or more than one."""
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        choices = " or ".join(map(repr, candidates))
        raise UserError(f"{where}: the {what} may be in {choices}; name one with {flag}")
    found = column_list(frame)
    if any(REPAIRED.search(_plain(column)) for column in frame.columns):  # as in SVEN, TitanVul and CVEfixes
        found += (
            "; if a row holds a function before and after its repair, make two rows of it, with label 1 and label 0, "
            f"and with the same name in a column {PAIR!r}"
        )
    if what == "code":
        raise UserError(
            f"{where}: no column with the code; expected {', '.join(TEXTS[:-1])} or {TEXTS[-1]} "
            f"(or name one with {flag}); columns found: {found}"
        )
    others = f"nor {', '.join(LABELS[1:-1])} or {LABELS[-1]}"
    raise UserError(f"{where}: no column {OWN_LABEL!r}, {others} (name another with {flag}); columns found: {found}")


def _plain(column: str) -> str:
    """A name in lower case, with "_" for white space and "-"."""
    return re.sub(r"[\s-]+", "_", str(column).strip()).lower()
