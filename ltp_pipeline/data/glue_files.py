"""Reads the items of GLUE tasks (the language benchmark) from files or from the Hugging Face hub."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.hub import is_offline, offline_note
from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.files.file_formats import (
    SKIPPED,
    BadRows,
    column_list,
    count_of,
    format_of,
    read_table,
    row_place,
)
from ltp_pipeline.files.text_files import check_header, read_text
from ltp_pipeline.task.tasks import NOT_GIVEN, Task

HUB_DATA_SET = "nyu-mll/glue"
NO_LABEL = ("", "-1", "-1.0", "-", "none", "nan")
LARGEST_SCORE = 5  # STS-B's score of two sentences with the same meaning
MALFORMED_ALLOWED = 0.01  # share of the lines of a .tsv file that may be malformed


def read_glue(path: str | Path, task: Task, reading: ReadingArguments | None = None, *, flag: str) -> pd.DataFrame:
    """Reads a file of a GLUE task: .csv, .json, .jsonl, .parquet, or .tsv as GLUE distributes it.

    The columns are named as on the hub (`task.columns` and label) or as in GLUE's files (`task.original_columns`). A
    label is the number or the name of a class, or a number from 0 to 5 for a task that predicts a number. A row
    without a label, as in GLUE's test files, has -1 or an empty field. Quotes in a .tsv file are ordinary characters.

    `reading`: the column of labels, and what to do with rows that cannot be used, as in `read_functions`.
    Returns the rows in order: `task.columns` (str) and `label` (int64, NOT_GIVEN if missing; for a task that predicts
    a number float64, NaN if missing).
    Raises UserError if something is wrong with the file; the message names the flag, the file and the row.
    """
    reading, path = reading or ReadingArguments(), Path(path)
    where, label_column = f"{flag} {path}", reading.label_column or "label"
    bad_rows = BadRows(where, skip=reading.on_bad_rows == "skip")
    if format_of(path, where) == ".tsv":
        frame = _read_tsv(read_text(path, where), task, bad_rows)
    else:
        frame = read_table(path, where, bad_rows=bad_rows)
    if frame.empty and not bad_rows.reasons:
        raise UserError(f"{where}: no rows; expected a header, and a row for each item of {task.name}")
    texts = _text_columns(frame, task, where)
    if label_column == "label" and "label" not in frame.columns and task.original_columns:
        label_column = task.original_columns[-1]
    labels = frame.get(label_column)
    if labels is None and label_column not in ("label", *task.original_columns):
        raise UserError(f"{where}: no column {label_column!r} (--label_column); columns found: {column_list(frame)}")
    return _usable_rows(texts, labels, task, bad_rows)


def read_glue_hub(task: Task, split: str, *, flag: str) -> pd.DataFrame:
    """Reads a split ("train", "eval", ...) of a GLUE task from the hub, or from the hub's cache on this machine.

    Raises UserError if the split is neither on the hub nor in the cache.
    """
    import datasets
    from datasets.exceptions import DatasetsError

    hub_split = task.hub_splits[split]
    setting = datasets.config.HF_HUB_OFFLINE
    # `load_dataset` has no option for offline use. If DNS finds no hub, it would retry for 23 s before it fails.
    datasets.config.HF_HUB_OFFLINE = is_offline()
    try:
        rows = datasets.load_dataset(HUB_DATA_SET, task.name.lower(), split=hub_split)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        raise UserError(
            f"{flag} is missing, and the {hub_split} split of {task.name} cannot be read from the hub "
            f"({HUB_DATA_SET}): {str(error).strip() or type(error).__name__}{offline_note()}; without a network give "
            "files: --train_file, --validation_file, --test_file"
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = setting
    frame, bad_rows = rows.to_pandas(), BadRows(f"{HUB_DATA_SET} {task.name} {hub_split}")
    return _usable_rows(frame[list(task.columns)], frame["label"], task, bad_rows)


def check_glue_flags(task: Task, reading: ReadingArguments) -> None:
    """Raises UserError if a flag is given that is only for files of functions."""
    if reading.add_fixed_functions:
        raise UserError(f"--add_fixed_functions: items of {task.name} are no functions; expected no such flag")
    if reading.text_column is not None:
        raise UserError(f"--text_column: the text of {task.name} is in {' and '.join(task.columns)}")
    if reading.label_map is not None:
        raise UserError(f"--label_map: the labels of {task.name} are {_expected_label(task)}; expected no such flag")


def check_labels(frame: pd.DataFrame, task: Task, where: str, split: str) -> None:
    """Checks that the rows of a split have the labels it needs.

    Every row needs a label, and in "train" the labels must differ. Only a "test" split may have no labels at all.
    Raises UserError if labels are missing or all the same.
    """
    labels = frame["label"]
    missing = labels.isna() | (labels == NOT_GIVEN)
    if missing.any() and not (split.startswith("test") and missing.all()):
        raise UserError(
            f"{row_place(where, missing.idxmax())}: has no label; expected {_expected_label(task)} in the "
            "column label (or --label_column) of every row. Only a --test_file may have no labels at all"
        )
    if split == "train" and labels.nunique() == 1:
        raise UserError(
            f"{where}: all {len(frame)} rows have the label {labels.iloc[0]}; training needs different ones"
        )


def _read_tsv(text: str, task: Task, bad_rows: BadRows) -> pd.DataFrame:
    """The fields between tabs. `bad_rows` collects the few lines with more or fewer fields than the header of QQP.

    Raises UserError if more than MALFORMED_ALLOWED of the lines are malformed, or a column occurs twice.
    """
    lines = [(n, line.split("\t")) for n, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1) if line]
    header, headerless = lines[0][1], list(task.headerless_columns)
    if headerless and len(header) == len(headerless) and not set(task.columns) & set(header):
        header = headerless
    else:
        check_header(header, bad_rows.where)
        del lines[0]
    whole = {row: fields for row, (_, fields) in enumerate(lines) if len(fields) == len(header)}
    malformed = [(row, *line) for row, line in enumerate(lines) if row not in whole]
    if len(malformed) > MALFORMED_ALLOWED * len(lines):
        raise UserError(
            f"{bad_rows.where}: {count_of(malformed, 'line')} with another number of fields than the header's "
            f"{len(header)}, the first is line {malformed[0][1]}; expected tabs only between fields"
        )
    for row, number, fields in malformed:  # not `add`, which would raise an error
        bad_rows.reasons[row] = f"line {number} has {count_of(fields, 'field')}; expected the header's {len(header)}"
    return pd.DataFrame(list(whole.values()), index=pd.Index(list(whole), dtype="int64"), columns=header)


def _text_columns(frame: pd.DataFrame, task: Task, where: str) -> pd.DataFrame:
    """The columns with text, named as on the hub."""
    original = task.original_columns[:-1]
    for columns in (task.columns, original):
        if columns and set(columns) <= set(frame.columns):
            return frame[list(columns)].set_axis(list(task.columns), axis=1)
    alternative = f" (or {' and '.join(original)})" if original else ""
    raise UserError(
        f"{where}: expected the columns of {task.name}, {' and '.join(task.columns)}{alternative}, and label; "
        f"columns found: {column_list(frame)}"
    )


def _usable_rows(texts: pd.DataFrame, labels: pd.Series | None, task: Task, bad_rows: BadRows) -> pd.DataFrame:
    """The rows that have text and a label of the task; the others are added to `bad_rows`."""
    no_text = ~texts.map(lambda text: isinstance(text, str))
    empty = no_text.any(axis=1) | (texts.where(~no_text, "") == "").all(axis=1)
    if labels is None:
        labels = pd.Series([""] * len(texts), index=texts.index)
    values = pd.Series([_glue_label(value, task) for value in labels], index=texts.index, dtype=object)
    for row in texts.index:
        if empty[row]:
            bad_rows.add(row, f"{' and '.join(task.columns)}: expected text")
        elif values[row] is None:
            bad_rows.add(row, f"the {labels.name!r} is {str(labels[row])!r}; expected {_expected_label(task)}")
    bad_rows.report(len(texts.index.union(list(bad_rows.reasons))))
    good = texts.index.difference(list(bad_rows.reasons))
    frame = texts.loc[good].assign(label=values[good].astype("float64" if task.is_regression else "int64"))
    frame.attrs[SKIPPED] = bad_rows.numbers
    return frame


def _glue_label(value: Any, task: Task) -> float | int | None:
    """The label that `value` stands for, NOT_GIVEN or NaN if it is empty; None if the task has no such label."""
    text = str(value).strip().lower()
    if text in NO_LABEL:
        return math.nan if task.is_regression else NOT_GIVEN
    if text in task.labels:
        return task.labels.index(text)
    try:
        number = float(text)
    except ValueError:
        return None
    if task.is_regression:
        return number if 0 <= number <= LARGEST_SCORE else None
    return int(number) if number in range(task.num_labels) else None


def _expected_label(task: Task) -> str:
    if task.is_regression:
        return f"a number from 0 to {LARGEST_SCORE}"
    return " or ".join(f"{number} ({name})" for number, name in enumerate(task.labels))
