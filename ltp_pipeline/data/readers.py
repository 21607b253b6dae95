"""Reads functions, or items of a GLUE task, from files, and checks that they can be used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.file_formats import ENDINGS, SKIPPED, BadRows, column_list, read_table
from ltp_pipeline.data.flags import ColumnArguments, DataArguments, ReadingArguments
from ltp_pipeline.data.glue_files import NO_LABEL, check_glue_flags, check_labels, read_glue, read_glue_hub
from ltp_pipeline.data.layouts import LAYOUT, own_layout
from ltp_pipeline.data.text_files import NOT_UTF8, decode_utf8
from ltp_pipeline.task.labels import as_class, as_groups, expected_label, parse_label_map, shown_label
from ltp_pipeline.task.tasks import UNLABELLED, Task, has_labels

if TYPE_CHECKING:
    import pandas as pd

TEXT_COLUMNS = ("functionSource", "code", "text")
# needed: every row has a label. optional: every row has one, or none has. ignored: labels are not read.
Labels = Literal["needed", "optional", "ignored"]
# split -> the flag that names its file
FLAGS = {
    "train": "--train_file",
    "eval": "--validation_file",
    "eval_mismatched": "--validation_mismatched_file",
    "test": "--test_file",
    "test_mismatched": "--test_file",
}


def read_splits(data: DataArguments, wanted: Iterable[str], task: Task) -> dict[str, pd.DataFrame]:
    """Reads splits from the files that the flags name. A GLUE split without a file is read from the hub.

    `wanted`: some of "train", "eval" and "test". MNLI's mismatched splits are added if they exist.
    Returns the frame of each split, as [`read_functions`] or [`read_glue`] returns it.
    Raises UserError if a file is missing or bad.
    """
    if not task.reads_functions:
        check_glue_flags(task, data)
        return {split: _read_glue_split(data, split, task) for split in _with_mismatched(data, wanted, task)}
    if data.validation_mismatched_file is not None:
        raise UserError("--validation_mismatched_file: only MNLI has one")
    return {split: _read_function_split(data, split, task) for split in wanted}


def describe_splits(data: DataArguments, frames: dict[str, pd.DataFrame], task: Task) -> list[dict[str, Any]]:
    """Describes each split for the model card: `split`, `file` (its name), `rows`, `skipped_rows`, `classes`."""
    described = []
    for split, frame in frames.items():
        file = _file_of(data, split)
        if not has_labels(frame["label"].tolist()):
            counts = {}
        elif task.multi_label:
            counts = dict(enumerate(map(sum, zip(*frame["label"]))))
        else:
            counts = {} if task.is_regression else frame["label"].value_counts().sort_index().to_dict()
        described.append(
            {
                "split": split,
                "file": Path(file).name if file else "from the hub",
                "rows": len(frame),
                "skipped_rows": len(frame.attrs.get(SKIPPED, ())),
                "classes": ", ".join(f"{task.labels[i]}: {count}" for i, count in counts.items() if i >= 0),
            }
        )
    return described


def read_task_file(
    path: str | Path, task: Task, reading: ReadingArguments | None = None, *, flag: str, labels: Labels = "needed"
) -> pd.DataFrame:
    """Reads a file of any task; see [`read_functions`] and [`read_glue`]."""
    reading = reading or ReadingArguments()
    if task.reads_functions:
        groups = task.labels if task.multi_label else ()
        return read_functions(path, reading, flag=flag, groups=groups, labels=labels)
    check_glue_flags(task, reading)
    frame = read_glue(path, task, reading, flag=flag)
    check_labels(frame, task, f"{flag} {path}", "eval" if labels == "needed" else "test")
    return frame


def read_functions(
    path: str | Path,
    reading: ReadingArguments | None = None,
    *,
    flag: str = "--train_file",
    need_both_classes: bool = False,
    groups: Sequence[str] = (),
    labels: Labels = "needed",
) -> pd.DataFrame:
    """Reads a file of functions: CSV, TSV, JSON or JSON lines, each also gzipped, or Parquet.

    Args:
        reading: the columns, the meaning of labels, and whether a row without code or with an unknown label raises an
            error or is skipped and reported. For what a label may be see [`as_class`].
        need_both_classes: raise an error if only one class occurs, because training on it is useless.
        groups: names of the labels of a task with several labels at once; see [`as_groups`].
        labels: whether the rows need labels. Without labels, the column `label` is UNLABELLED in every row.

    Returns the rows in order. The first columns are `functionSource` (str) and `label` (int64, or lists for `groups`),
    then all other columns. The index is each row's position in the file, from 0; `attrs["skipped_rows"]` holds the
    numbers, from 1, of the rows that were skipped, and `attrs["layout"]` the [`Layout`]: what the columns mean.
    Raises UserError if something is wrong with the file; the message names the flag, the file and the row.
    """
    reading = reading or ReadingArguments()
    bad_rows = BadRows(f"{flag} {path}", skip=reading.on_bad_rows == "skip")
    if groups and reading.label_map is not None:
        raise UserError(f"--label_map: the labels are {', '.join(groups)}; expected no such flag")
    frame = read_function_rows(path, reading, bad_rows, groups, labels)
    bad_rows.report(len(frame) + len(bad_rows.reasons))
    if labels == "optional" and not has_labels(frame["label"].tolist()):
        print(f"{bad_rows.where}: {len(frame)} functions without labels", flush=True)
    if need_both_classes and groups and not any(map(any, frame["label"])):
        raise UserError(f"{bad_rows.where}: no function has any of {', '.join(groups)}; training needs some")
    if need_both_classes and not groups and frame["label"].nunique() == 1:
        raise UserError(
            f"{bad_rows.where}: all {len(frame)} functions have the label {frame['label'].iloc[0]}; "
            "training needs functions of both classes, 0 and 1"
        )
    frame.attrs[SKIPPED] = bad_rows.numbers
    return frame


def read_function_rows(
    path: str | Path,
    columns: ColumnArguments,
    bad_rows: BadRows,
    groups: Sequence[str] = (),
    labels: Labels = "needed",
) -> pd.DataFrame:
    """As [`read_functions`], but the caller reports the rows that are skipped, which `bad_rows` collects."""
    import pandas as pd

    where, label_column = bad_rows.where, columns.label_column
    as_text = (*TEXT_COLUMNS, "label", label_column, columns.text_column)
    frame = read_table(Path(path), where, as_text=as_text, bad_rows=bad_rows)
    if not len(frame.columns):  # no JSON line is an object
        bad_rows.report(len(bad_rows.reasons))
    if labels == "ignored" or labels == "optional" and label_column == "label" and "label" not in frame.columns:
        label_column = None
    text_column = _find_text_column(frame, where, columns.text_column, label_column)
    if frame.empty and not bad_rows.reasons:
        raise UserError(f"{where}: the file has a header but no functions; expected a row for each function")

    texts = frame[text_column].astype(object).map(_as_text)
    classes, missing = _read_labels(frame, label_column, columns.label_map, groups, labels)
    for row, text, label in zip(frame.index, texts, classes):
        if label is None:
            bad_rows.add(row, f"the {label_column!r} is {shown_label(frame.at[row, label_column])}; {missing}")
        elif pd.isna(text) or not text.strip():
            bad_rows.add(row, f"{text_column!r} is empty; expected the code of a function")
        elif NOT_UTF8 in text:
            bad_rows.add(row, f"{text_column!r} holds a byte or an escape that is not UTF-8; expected UTF-8 text")
    good = frame.index.difference(list(bad_rows.reasons))
    if len(good) < len(frame):
        frame, texts, classes = frame.loc[good], texts[good], classes[good]
    others = frame.drop(columns=list({text_column, label_column, "functionSource", "label"} & set(frame.columns)))
    classes = classes if groups else classes.astype("int64")
    read = pd.DataFrame({"functionSource": texts, "label": classes}).join(others)
    read.attrs[LAYOUT] = own_layout(frame.columns, text_column, label_column)
    return read


def _read_labels(
    frame: pd.DataFrame, column: str | None, label_map: str | None, groups: Sequence[str], labels: Labels
) -> tuple[pd.Series, str]:
    """The class, or the classes, of each row, and what a label may be. None: the row has no such label.

    If `column` is None, or labels are optional and no row has one, every row is UNLABELLED.
    """
    import pandas as pd

    parsed = parse_label_map(label_map)
    expected, none = expected_label(parsed, groups), [UNLABELLED] * len(groups) if groups else UNLABELLED
    values = [] if column is None else frame[column].tolist()
    classes = [as_groups(value, groups) if groups else as_class(value, parsed) for value in values]
    if not any(label is not None for label in classes):
        empty = all(str(value).strip().lower() in NO_LABEL for value in values)
        if column is None or labels == "optional" and empty:
            classes = [none] * len(frame)
    elif labels == "optional":
        expected += "; or no label in any row"
    return pd.Series(classes, index=frame.index, dtype=object), expected


def _find_text_column(frame: pd.DataFrame, where: str, text_column: str | None, label_column: str | None) -> str:
    """The column with the code. Raises UserError if it or `label_column` (None: no labels) does not exist."""
    if text_column is None:
        text_column = next((column for column in TEXT_COLUMNS if column in frame.columns), None)
    found = column_list(frame)
    if text_column is None:
        raise UserError(
            f"{where}: no column with the code; expected {', '.join(TEXT_COLUMNS[:-1])} or {TEXT_COLUMNS[-1]} "
            f"(or name one with --text_column); columns found: {found}"
        )
    for flag, column in (("--text_column", text_column), ("--label_column", label_column)):
        if column is not None and column not in frame.columns:
            raise UserError(f"{where}: no column {column!r} (name another with {flag}); columns found: {found}")
    if text_column == label_column:
        raise UserError(f"{where}: --text_column and --label_column are both {label_column!r}; expected two columns")
    return text_column


def _as_text(value: Any) -> str | None:
    """The text, decoded if it is bytes (a Parquet file may hold them); None if `value` is neither."""
    if isinstance(value, bytes):
        return decode_utf8(value)
    return value if isinstance(value, str) else None


def split_place(data: DataArguments, split: str, task: Task) -> str:
    """Where a split comes from, for messages: the flag and the file, with the limit that leaves rows out."""
    path, limit = _file_of(data, split), _limit_of(data, split)
    if path is None:
        return f"{task.name} {task.hub_splits[split]}"
    return f"{FLAGS[split]} {path}" + ("" if limit is None else f" (the first {limit}: {_limit_flag(split)})")


def _file_of(data: DataArguments, split: str) -> str | None:
    return getattr(data, FLAGS[split].removeprefix("--"))


def _limit_of(data: DataArguments, split: str) -> int | None:
    return getattr(data, _limit_flag(split).removeprefix("--"))


def _limit_flag(split: str) -> str:
    return f"--max_{split.removesuffix('_mismatched')}_samples"


def _with_mismatched(data: DataArguments, wanted: Iterable[str], task: Task) -> list[str]:
    """`wanted`, with MNLI's mismatched split after each split if it has a file or both are read from the hub."""
    if data.validation_mismatched_file is not None and "eval_mismatched" not in task.hub_splits:
        raise UserError(f"--validation_mismatched_file: {task.name} has no mismatched validation split; MNLI has")
    splits = []
    for split in wanted:
        splits.append(split)
        other = f"{split}_mismatched"
        if other in task.hub_splits:
            given = other == "eval_mismatched" and data.validation_mismatched_file is not None
            splits += [other] if given or _file_of(data, split) is None else []
    return splits


def _read_function_split(data: DataArguments, split: str, task: Task) -> pd.DataFrame:
    flag, path, limit = FLAGS[split], _file_of(data, split), _limit_of(data, split)
    if path is None:
        kind = "functions" if split == "test" else "labelled functions"
        raise UserError(f"{flag} is missing; expected a file of {kind}: {ENDINGS}")
    frame = read_functions(
        path,
        data,
        flag=flag,
        need_both_classes=split == "train",
        groups=task.labels if task.multi_label else (),
        labels="optional" if split == "test" else "needed",
    ).head(limit)
    if split == "train" and not task.multi_label and frame["label"].nunique() == 1:
        raise UserError(f"--max_train_samples {limit}: the first {limit} functions of {path} are all of one class")
    return frame


def _read_glue_split(data: DataArguments, split: str, task: Task) -> pd.DataFrame:
    flag, path, limit = FLAGS[split], _file_of(data, split), _limit_of(data, split)
    if path is None:
        frame = read_glue_hub(task, split, flag=flag)
    else:
        frame = read_glue(path, task, data, flag=flag)
    frame = frame.head(limit)
    check_labels(frame, task, split_place(data, split, task), split)
    return frame
