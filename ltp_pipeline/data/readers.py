"""Reading labelled functions, and turning texts into tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.file_formats import NOT_UTF8, SKIPPED, BadRows, decode, read_table
from ltp_pipeline.data.token_cache import cached, content_key
from ltp_pipeline.data.truncation import Truncation
from ltp_pipeline.task.labels import as_class, as_groups, expected, parse_label_map, shown
from ltp_pipeline.task.tasks import CODE, Task

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

TEXT_COLUMNS = ("functionSource", "code", "text")


def read_functions(
    path: str | Path,
    *,
    name: str = "--train_file",
    text_column: str | None = None,
    label_column: str = "label",
    label_map: str | None = None,
    on_bad_rows: str = "error",
    need_both_classes: bool = False,
    groups: Sequence[str] = (),
) -> pd.DataFrame:
    """Reads a file of labelled functions: CSV, TSV, JSON, JSON lines, each also gzipped, or Parquet.

    Args:
        path: the file; its name tells the format.
        name: the flag that named it, for messages.
        text_column: column that holds the code; None: the first of functionSource, code, text that there is.
        label_column: column of labels, each 0/1, true/false, a list of these (any), or a name of `label_map`.
        label_map: `good=0,bad=1` or a JSON file; see `parse_label_map`.
        on_bad_rows: "error" at the first row without code or with another label, or "skip": they are left out, told,
            and their numbers (from 1) are in the frame's `attrs["skipped_rows"]`.
        need_both_classes: also refuse a file where only one of the two labels occurs, as training on it is void.
        groups: of a task whose labels are lists, their names; see `as_groups`.

    Returns:
        The rows in order, with `functionSource` (str) and `label` (int64, or lists) first, the other columns after.
        The index is the rows' place in the file, from 0.

    Raises:
        UserError: anything is wrong with the file; the message names the flag, the file and the row.
    """
    bad_rows = BadRows(f"{name} {path}", skip=on_bad_rows == "skip")
    if groups and label_map is not None:
        raise UserError(f"--label_map: the labels are {', '.join(groups)}; expected no such flag")
    frame = read_rows(path, bad_rows, text_column, label_column, parse_label_map(label_map), groups)
    bad_rows.tell(len(frame) + len(bad_rows.reasons))
    if need_both_classes and groups and not any(map(any, frame["label"])):
        raise UserError(f"{bad_rows.where}: no function has any of {', '.join(groups)}; training needs some")
    if need_both_classes and not groups and frame["label"].nunique() == 1:
        raise UserError(
            f"{bad_rows.where}: all {len(frame)} functions have the label {frame['label'].iloc[0]}; "
            "training needs functions of both classes, 0 and 1"
        )
    frame.attrs[SKIPPED] = bad_rows.numbers
    return frame


def read_rows(
    path: str | Path,
    bad_rows: BadRows,
    text_column: str | None = None,
    label_column: str = "label",
    label_map: dict[str, int] | None = None,
    groups: Sequence[str] = (),
) -> pd.DataFrame:
    """As `read_functions`, for whoever wants the bad rows: those that it does not raise for are in `bad_rows`."""
    import pandas as pd

    where = bad_rows.where
    given = () if text_column is None else (text_column,)
    as_text = (*TEXT_COLUMNS, "label", label_column, *given)
    frame = read_table(Path(path), where, as_text=as_text, bad_rows=bad_rows)
    if not len(frame.columns):  # of JSON none of whose lines are objects
        bad_rows.tell(len(bad_rows.reasons))
    text_column = _columns_there(frame, where, text_column, label_column)
    if frame.empty and not bad_rows.reasons:
        raise UserError(f"{where}: the file has a header but no functions; expected a row for each function")

    texts = frame[text_column].map(_as_text)
    labels = pd.Series(
        [as_groups(value, groups) if groups else as_class(value, label_map) for value in frame[label_column]],
        index=frame.index,
        dtype=object,
    )
    for row, text, label in zip(frame.index, texts, labels):
        if label is None:
            value = shown(frame.at[row, label_column])
            bad_rows.add(row, f"the {label_column!r} is {value}; {expected(label_map, groups)}")
        elif pd.isna(text) or not text.strip():
            bad_rows.add(row, f"{text_column!r} is empty; expected the code of a function")
        elif NOT_UTF8 in text:
            bad_rows.add(row, f"{text_column!r} holds a byte or an escape that is no UTF-8; expected UTF-8 text")
    good = frame.index.difference(list(bad_rows.reasons))
    if len(good) < len(frame):
        frame, texts, labels = frame.loc[good], texts[good], labels[good]
    others = frame.drop(columns=list({text_column, label_column, "functionSource", "label"} & set(frame.columns)))
    return pd.DataFrame({"functionSource": texts, "label": labels if groups else labels.astype("int64")}).join(others)


def _columns_there(frame: pd.DataFrame, where: str, text_column: str | None, label_column: str) -> str:
    """The column of the code. Raises UserError where there is none, or no column of labels."""
    if text_column is None:
        text_column = next((column for column in TEXT_COLUMNS if column in frame.columns), None)
    found = ", ".join(map(str, frame.columns)) or "none"
    if text_column is None:
        raise UserError(
            f"{where}: no column with the code; expected {', '.join(TEXT_COLUMNS[:-1])} or {TEXT_COLUMNS[-1]} "
            f"(or name one with --text_column); columns found: {found}"
        )
    for flag, column in (("--text_column", text_column), ("--label_column", label_column)):
        if column not in frame.columns:
            raise UserError(f"{where}: no column {column!r} (name another with {flag}); columns found: {found}")
    if text_column == label_column:
        raise UserError(f"{where}: --text_column and --label_column are both {label_column!r}; expected two columns")
    return text_column


def _as_text(value: Any) -> str | None:
    """Text as it is, and bytes (as a Parquet file may hold them) as UTF-8; None for anything else."""
    if isinstance(value, bytes):
        return decode(value)
    return value if isinstance(value, str) else None


def tokenize(
    frame: pd.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    task: Task = CODE,
    segments: bool = False,
    truncation: Truncation | None = None,
    overwrite_cache: bool = False,
) -> Dataset:
    """Tokenizes the texts of `frame`, one column or two as a pair, cut to `max_length` tokens as `truncation` says.

    Of a pair the longer text is cut first. Text that reads like a special token, such as `</s>` in a string, stays
    text. Tokens are kept in, and taken from, the cache of [`ltp_pipeline.data.token_cache`].

    Args:
        frame: the columns of `task`, and `label`; its index is the rows' place in their file.
        segments: whether to add `token_type_ids`, where the tokenizer has them: which text of a pair a token is of.
        truncation: None: the head is read.
        truncation: None: the head is read.
        overwrite_cache: tokenize in any case.

    Returns:
        Dataset of the same order, not padded, with a row for each function, or each window of one: input_ids and
        attention_mask (lists of n tokens), labels (a class, or floats), length (n), full_length (before it was cut),
        function (which of `frame` it is of) and row (its place in the file), both from 0.
    """
    from datasets import List, Value

    truncation = truncation or Truncation()
    truncation = truncation or Truncation()
    texts = [frame[column].tolist() for column in task.columns]
    segments = segments and len(task.columns) == 2 and "token_type_ids" in tokenizer.model_input_names

    def build() -> Dataset:
        return _tokens(texts, tokenizer, max_length, segments, truncation)

    if tokenizer.is_fast:
        settings = {"max_length": max_length, "segments": segments, "truncation": [truncation.mode, truncation.stride]}
        tokens = cached(content_key(texts, tokenizer, settings), build, overwrite_cache)
    else:
        tokens = build()
    functions = np.asarray(tokens["function"])
    kind = List(Value("float32")) if task.multi_label else Value("float32" if task.is_regression else "int64")
    labels = frame["label"].tolist()
    tokens = tokens.add_column("labels", [labels[function] for function in functions], feature=kind)
    return tokens.add_column("row", frame.index.to_numpy()[functions].astype("int64"), feature=Value("int64"))


def _tokens(
    texts: list[list[str]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    segments: bool,
    truncation: Truncation,
) -> Dataset:
    """What `tokenize` gives, but for what is not in the texts: labels and rows."""
    from datasets import Dataset, Features, List, Value

    names = ["input_ids", "attention_mask", *(["token_type_ids"] if segments else [])]
    counts = ("length", "full_length", "function")
    features = Features(
        {
            "input_ids": List(Value("int32")),
            **{name: List(Value("int8")) for name in names[1:]},
            **{name: Value("int32") for name in counts},
        }
    )
    columns = [f"text{number}" for number in range(len(texts))]
    options = {"split_special_tokens": True, "return_special_tokens_mask": True, "verbose": False}

    def encode(batch: dict[str, list], indices: list[int]) -> dict[str, list]:
        pairs = [batch[column] for column in columns]
        encoded = tokenizer(*pairs, **options)
        made: dict[str, list] = {name: [] for name in (*names, *counts)}
        for i, special in enumerate(encoded["special_tokens_mask"]):
            values = {name: encoded[name][i] for name in names}
            readings = [slice(None)]
            if len(special) > max_length and len(pairs) > 1:
                values = tokenizer(pairs[0][i], pairs[1][i], truncation=True, max_length=max_length, **options)
            elif len(special) > max_length:
                readings = truncation.readings(np.array(special, dtype=bool), max_length)
            for reading in readings:
                for name in names:
                    made[name].append(np.asarray(values[name])[reading])
                made["length"].append(len(made["input_ids"][-1]))
                made["full_length"].append(len(special))
                made["function"].append(indices[i])
        return made

    rows = Dataset.from_dict(dict(zip(columns, texts)))
    return rows.map(
        encode, batched=True, with_indices=True, remove_columns=columns, features=features, desc="tokenizing"
    )
