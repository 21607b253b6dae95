"""Reads functions, or items of a GLUE task, from files, and checks that they can be used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ltp_pipeline.base import processes
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.flags import ColumnArguments, DataArguments, ReadingArguments
from ltp_pipeline.data.folders import CLASS_NAMES, read_folder
from ltp_pipeline.data.glue_files import NO_LABEL, check_glue_flags, check_labels, read_glue, read_glue_hub
from ltp_pipeline.files.data_card import class_names_of
from ltp_pipeline.files.file_formats import ENDINGS, SKIPPED, BadRows, read_table
from ltp_pipeline.files.fixed_functions import with_fixed_functions
from ltp_pipeline.files.layouts import LABELS, LAYOUT, TEXTS, Layout, described, find_layout, with_content
from ltp_pipeline.files.text_files import NOT_UTF8, decode_utf8
from ltp_pipeline.task.class_names import one_word_each
from ltp_pipeline.task.labels import as_classes, as_groups, expected_label, parse_label_map, shown_label
from ltp_pipeline.task.tasks import UNLABELLED, Task, has_labels

if TYPE_CHECKING:
    import pandas as pd

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
                "file": Path(file).absolute().name if file else "from the hub",
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
    """Reads a file of functions (CSV, TSV, JSON or JSON lines, each also gzipped, or Parquet), or a folder of sources.

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
    for name in ("label_map", "add_fixed_functions"):
        if groups and getattr(reading, name):
            raise UserError(f"--{name}: the labels are {', '.join(groups)}; expected no such flag")
    frame = read_function_rows(path, reading, bad_rows, groups, labels)
    bad_rows.report(len(frame) + len(bad_rows.reasons))
    if reading.add_fixed_functions:
        frame = with_fixed_functions(frame, bad_rows.where)
    if labels == "optional" and not Path(path).is_dir() and not has_labels(frame["label"].tolist()):
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
    where = bad_rows.where
    if Path(path).is_dir():
        return read_folder(Path(path), columns, where, labels, groups, skip=bad_rows.skip)
    as_text = (*TEXTS, *LABELS, columns.label_column, columns.text_column)
    frame = read_table(Path(path), where, as_text=as_text, bad_rows=bad_rows)
    if not len(frame.columns):  # no JSON line is an object
        bad_rows.report(len(bad_rows.reasons))
    ignored = labels == "ignored"
    layout = find_layout(frame, where, columns.text_column, None if ignored else columns.label_column, labels)
    if frame.empty and not bad_rows.reasons:
        raise UserError(f"{where}: the file has a header but no functions; expected a row for each function")
    values = [] if layout.label is None else frame[layout.label].tolist()
    classes, missing = _read_labels(
        values, len(frame), columns.label_map, groups, labels, f"{where}: {layout.label!r}"
    )
    texts = _texts_of(frame, layout, classes)
    for place, (row, text, label) in enumerate(zip(frame.index, texts, classes)):
        if label is None:
            bad_rows.add(row, f"the {layout.label!r} is {shown_label(values[place])}; {missing}")
        elif text is None or not text.strip():
            bad_rows.add(row, f"{layout.text!r} is empty; expected the code of a function", skip=layout.may_be_empty)
        elif NOT_UTF8 in text:
            bad_rows.add(row, f"{layout.text!r} holds a byte or an escape that is not UTF-8; expected UTF-8 text")
    read = _usable_rows(frame, texts, classes, layout, bad_rows)
    read.attrs[LAYOUT] = with_content(layout, read)
    if not groups and layout.label is not None:
        words = one_word_each((word, label) for word, label in zip(values, classes) if label is not None)
        named = class_names_of(Path(path), layout.label)
        read.attrs[CLASS_NAMES] = words or one_word_each(zip(named, range(len(named))))
    if layout.name and processes.is_main():
        print(f"{Path(path).name}: {described(read)}", flush=True)
    if layout.flaw_lines and read.attrs[LAYOUT].flaw_lines is None and processes.is_main():
        print(f"note: {where}: {layout.flaw_lines!r} is not read: expected numbers of lines in all rows, such as 3 17")
    return read


def _read_labels(
    values: list[Any], rows: int, label_map: str | None, groups: Sequence[str], labels: Labels, where: str
) -> tuple[list[int | list[int] | None], str]:
    """The class, or the classes, of each row, and what a label may be. None: the row has no such label.

    If there are no `values`, or labels are optional and no row has one, every row is UNLABELLED.
    Raises UserError if two words of `values` may mean the same class.
    """
    parsed = parse_label_map(label_map)
    expected = expected_label(parsed, groups, words=True)
    try:
        classes = [as_groups(value, groups) for value in values] if groups else as_classes(values, parsed)
    except ValueError as error:
        raise UserError(
            f"{where} holds {error}, which may or may not mean the same class; give the class of each name with "
            "--label_map, such as good=0,bad=1"
        ) from error
    if not any(label is not None for label in classes):
        empty = all(str(value).strip().lower() in NO_LABEL for value in values)
        if not values or labels == "optional" and empty:
            classes = [[UNLABELLED] * len(groups) if groups else UNLABELLED] * rows
    elif labels == "optional":
        expected += "; or no label in any row"
    return classes, expected


def _texts_of(frame: pd.DataFrame, layout: Layout, classes: Sequence[Any]) -> list[str | None]:
    """The text of each row; None for a cell that holds none."""
    texts = map(_as_text, frame[layout.text].astype(object))
    if layout.clean_text is None:
        return list(texts)
    clean = map(_as_text, frame[layout.clean_text].astype(object))
    return [
        other if label == 0 or (label != 1 and not text) else text for text, other, label in zip(texts, clean, classes)
    ]


def _usable_rows(
    frame: pd.DataFrame, texts: list[str | None], classes: list[Any], layout: Layout, bad_rows: BadRows
) -> pd.DataFrame:
    """The frame that `read_functions` returns, with the rows that are not in `bad_rows`."""
    import pandas as pd

    read = pd.DataFrame({"functionSource": texts, "label": pd.Series(classes, dtype=object)}).set_axis(frame.index)
    others = frame.drop(columns=list({layout.text, layout.label, *read.columns} & set(frame.columns)))
    good = frame.index.difference(list(bad_rows.reasons))
    if len(good) < len(frame):
        read, others = read.loc[good], others.loc[good]
    if not any(isinstance(label, list) for label in classes):
        read["label"] = read["label"].astype("int64")
    return read.join(others)


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
