"""Reading the data of a GLUE task, from a file or from the hub."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.hub import is_offline
from ltp_pipeline.data.file_formats import SKIPPED, BadRows, format_of, read_table, read_text, row_of
from ltp_pipeline.task.tasks import NOT_GIVEN, Task

HUB_DATA_SET = "nyu-mll/glue"
NO_LABEL = ("", "-1", "-1.0", "-", "none", "nan")
LARGEST_SCORE = 5  # of STS-B: the same meaning
MALFORMED_ALLOWED = 0.01


def read_glue(
    path: str | Path, task: Task, *, name: str, label_column: str = "label", on_bad_rows: str = "error"
) -> pd.DataFrame:
    """Reads a file of a GLUE task: .csv, .json, .jsonl or .parquet, or .tsv as GLUE gives it out.

    The columns are the hub's (`task.columns` and label) or those of GLUE's own files (`task.own_columns`). A label is
    the number of a class or its name, for a task of scores a number from 0 to 5, and -1 or nothing where there is
    none, as in GLUE's test files. In a .tsv a quote is a character as any other.

    Args:
        name: the flag that named the file, for messages.
        label_column: another name of the column of labels.
        on_bad_rows: as in `read_functions`.

    Returns:
        The rows in order: `task.columns` (str) and `label`: int64, NOT_GIVEN without a label; for scores float64, NaN.

    Raises:
        UserError: anything is wrong with the file; the message names the flag, the file and the row.
    """
    path = Path(path)
    where = f"{name} {path}"
    bad_rows = BadRows(where, skip=on_bad_rows == "skip")
    if format_of(path, where) == ".tsv":
        frame = _read_tsv(read_text(path, where), task, where)
    else:
        frame = read_table(path, where, bad_rows=bad_rows)
    if frame.empty and not bad_rows.reasons:
        raise UserError(f"{where}: no rows; expected a header, and a row for each item of {task.name}")
    texts = _texts(frame, task, where)
    if label_column == "label" and "label" not in frame.columns and task.own_columns:
        label_column = task.own_columns[-1]
    labels = frame.get(label_column)
    if labels is None and label_column not in ("label", *task.own_columns):
        raise UserError(f"{where}: no column {label_column!r} (--label_column); columns found: {_listed(frame)}")
    return _checked(texts, labels, task, bad_rows)


def check_glue_flags(task: Task, text_column: str | None, label_map: str | None) -> None:
    """Raises UserError for flags that are for code only."""
    if text_column is not None:
        raise UserError(f"--text_column: the text of {task.name} is in {' and '.join(task.columns)}")
    if label_map is not None:
        raise UserError(f"--label_map: the labels of {task.name} are {_expected(task)}; expected no such flag")


def read_glue_hub(task: Task, split: str, *, flag: str) -> pd.DataFrame:
    """A split of a GLUE task ("train", "eval", ...) from the hub, or its local cache, as `read_glue` gives a file.

    Raises UserError where it cannot be had; `flag` is the one that would name a file instead.
    """
    import datasets
    from datasets.exceptions import DatasetsError

    hub_split = task.hub_splits[split]
    offline = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = offline or is_offline()  # else it retries for half a minute
    try:
        rows = datasets.load_dataset(HUB_DATA_SET, task.name.lower(), split=hub_split)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        raise UserError(
            f"{flag} is missing, and {task.name}'s {hub_split} split cannot be had from the hub ({HUB_DATA_SET}): "
            f"{str(error).strip() or type(error).__name__}; without a network give files: --train_file, "
            "--validation_file, --test_file"
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = offline
    frame, bad_rows = rows.to_pandas(), BadRows(f"{HUB_DATA_SET} {task.name} {hub_split}")
    return _checked(frame[list(task.columns)], frame["label"], task, bad_rows)


def check_labels(frame: pd.DataFrame, task: Task, where: str, split: str) -> None:
    """Raises UserError where rows lack labels that the split needs: all have one, and in "train" not all the same.

    In a "test" split none may have one. `where` says where the rows are from, for messages.
    """
    labels = frame["label"]
    missing = labels.isna() | (labels == NOT_GIVEN)
    if missing.any() and not (split.startswith("test") and missing.all()):
        raise UserError(
            f"{row_of(where, missing.to_numpy().argmax())}: has no label (column label, or that of "
            f"--label_column); expected {_expected(task)}, or in a --test_file no labels at all"
        )
    if split == "train" and labels.nunique() == 1:
        raise UserError(f"{where}: all {len(frame)} rows have the label {labels[0]}; training needs different ones")


def _read_tsv(text: str, task: Task, where: str) -> pd.DataFrame:
    """Fields as they stand between tabs. Lines of another length than the header's, as QQP has some, are left out."""
    lines = [line.split("\t") for line in text.replace("\r\n", "\n").split("\n") if line]
    if task.headerless and len(lines[0]) == len(task.headerless) and not set(task.columns) & set(lines[0]):
        header, first = list(task.headerless), 1
    else:
        header, lines, first = lines[0], lines[1:], 2
    whole = [line for line in lines if len(line) == len(header)]
    if len(whole) < len(lines):
        number = next(i for i, line in enumerate(lines, start=first) if len(line) != len(header))
        count = len(lines) - len(whole)
        message = f"{where}: lines with another number of fields than the header's {len(header)}"
        if count > MALFORMED_ALLOWED * len(lines):
            raise UserError(f"{message}: {count}, the first is line {number}; expected tabs only between fields")
        print(f"{message} are left out: {count}, the first is line {number}")
    return pd.DataFrame(whole, columns=header)


def _texts(frame: pd.DataFrame, task: Task, where: str) -> pd.DataFrame:
    """The columns of text under the names that the hub gives them."""
    for columns in (task.columns, task.own_columns[:-1]):
        if columns and set(columns) <= set(frame.columns):
            return frame[list(columns)].set_axis(list(task.columns), axis=1)
    own = f" (or {' and '.join(task.own_columns[:-1])})" if task.own_columns else ""
    raise UserError(
        f"{where}: expected the columns of {task.name}, {' and '.join(task.columns)}{own}, and label; "
        f"columns found: {_listed(frame)}"
    )


def _listed(frame: pd.DataFrame) -> str:
    return ", ".join(map(str, frame.columns))


def _checked(texts: pd.DataFrame, labels: pd.Series | None, task: Task, bad_rows: BadRows) -> pd.DataFrame:
    no_text = ~texts.map(lambda text: isinstance(text, str))
    empty = no_text.any(axis=1) | (texts.where(~no_text, "") == "").all(axis=1)
    if labels is None:
        labels = pd.Series([""] * len(texts), index=texts.index)
    values = pd.Series([_label_of(value, task) for value in labels], index=texts.index, dtype=object)
    for row in texts.index:
        if empty[row]:
            bad_rows.add(row, f"{' and '.join(task.columns)}: expected text")
        elif values[row] is None:
            bad_rows.add(row, f"the {labels.name!r} is {str(labels[row])!r}; expected {_expected(task)}")
    bad_rows.report(len(texts.index.union(list(bad_rows.reasons))))
    good = texts.index.difference(list(bad_rows.reasons))
    frame = texts.loc[good].assign(label=values[good].astype("float64" if task.is_regression else "int64"))
    frame.attrs[SKIPPED] = bad_rows.numbers
    return frame


def _label_of(value: Any, task: Task) -> float | int | None:
    """The label that `value` stands for; None for one that the task does not have."""
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


def _expected(task: Task) -> str:
    if task.is_regression:
        return f"a number from 0 to {LARGEST_SCORE}"
    return " or ".join(f"{number} ({name})" for number, name in enumerate(task.labels))
