"""Reading labelled functions, and turning texts into tokens."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ltp_pipeline.errors import UserError
from ltp_pipeline.tasks import CODE, Task

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

TEXT_COLUMNS = ("functionSource", "code", "text")
LABELS = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}


def read_functions(
    path: str | Path,
    *,
    name: str = "--train_file",
    text_column: str | None = None,
    label_column: str = "label",
    need_both_classes: bool = False,
) -> pd.DataFrame:
    """Reads a .csv or .json/.jsonl file (an object per line, or one array of objects) of labelled functions.

    Args:
        path: the file.
        name: the flag that named it, for messages.
        text_column: column that holds the code; None: the first of functionSource, code, text that there is.
        label_column: column of labels, each 0/1 or true/false.
        need_both_classes: also refuse a file where only one of the two labels occurs, as training on it is void.

    Returns:
        The file's rows in order, with `functionSource` (str) and `label` (int64) first, the other columns after.

    Raises:
        UserError: anything is wrong with the file; the message names the flag, the file and the row.
    """
    path = Path(path)
    where = f"{name} {path}"
    frame = read_table(path, where, as_text=(*TEXT_COLUMNS, "label"))
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
    if frame.empty:
        raise UserError(f"{where}: the file has a header but no functions; expected a row for each function")

    texts, labels = frame[text_column], _labels(frame[label_column], where, label_column)
    empty = ~texts.map(lambda text: isinstance(text, str) and bool(text.strip())).to_numpy(dtype=bool)
    if empty.any():
        raise UserError(f"{row_of(where, empty.argmax())}: {text_column!r} is empty; expected the code of a function")
    if need_both_classes and labels.nunique() == 1:
        raise UserError(
            f"{where}: all {len(frame)} functions have the label {labels.iloc[0]}; "
            "training needs functions of both classes, 0 and 1"
        )
    others = frame.drop(columns=list({text_column, label_column, "functionSource", "label"} & set(frame.columns)))
    return pd.concat([texts.rename("functionSource"), labels.rename("label"), others], axis=1)


def tokenize(
    frame: pd.DataFrame,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    task: Task = CODE,
    segments: bool = False,
) -> "Dataset":
    """Tokenizes the texts of `frame`, one column or two as a pair, cut after `max_length` tokens.

    Of a pair the longer text is cut first. Text that reads like a special token, such as `</s>` in a string, stays
    text.

    Args:
        frame: the columns of `task`, and `label`.
        segments: whether to add `token_type_ids`, where the tokenizer has them: which text of a pair a token is of.

    Returns:
        Dataset of the same order, not padded: input_ids and attention_mask (lists of n tokens), labels (a class, or a
        float), length (n).
    """
    from datasets import Dataset, Features, List, Value

    names = ["input_ids", "attention_mask"]
    if segments and len(task.columns) == 2 and "token_type_ids" in tokenizer.model_input_names:
        names.append("token_type_ids")
    features = Features(
        {
            "input_ids": List(Value("int32")),
            **{name: List(Value("int8")) for name in names[1:]},
            "labels": Value("float32" if task.is_regression else "int64"),
            "length": Value("int32"),
        }
    )

    def encode(batch: dict[str, list]) -> dict[str, list]:
        texts = [batch[column] for column in task.columns]
        encoded = tokenizer(*texts, truncation=True, max_length=max_length, split_special_tokens=True)
        return {
            **{name: encoded[name] for name in names},
            "labels": batch["label"],
            "length": [len(ids) for ids in encoded["input_ids"]],
        }

    rows = Dataset.from_dict({column: frame[column].tolist() for column in (*task.columns, "label")})
    return rows.map(encode, batched=True, remove_columns=rows.column_names, features=features, desc="tokenizing")


def read_table(path: Path, where: str, as_text: Sequence[str] | None = None) -> pd.DataFrame:
    """A .csv, .json or .jsonl file as it is; "" where nothing stands in a CSV.

    Args:
        where: flag and file, for messages.
        as_text: columns of a CSV that are text even where all their values are numbers; None: all are.

    Raises:
        UserError: there is no such file, or it is of another kind, empty or malformed.
    """
    if path.suffix.lower() not in (".csv", ".json", ".jsonl"):
        raise UserError(f"{where}: expected a file that ends in .csv, .json or .jsonl")
    text = read_text(path, where)
    if path.suffix.lower() != ".csv":
        return pd.DataFrame(_read_json(text, where))
    try:
        header = pd.read_csv(io.StringIO(text, newline=""), nrows=0).columns
        dtype = {column: str for column in header if as_text is None or column in as_text}
        return pd.read_csv(io.StringIO(text, newline=""), dtype=dtype, keep_default_na=False, low_memory=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{where}: not a well-formed CSV file: {str(error).strip()}") from error


def read_text(path: Path, where: str) -> str:
    """What a UTF-8 file holds. Raises UserError if there is none, or nothing or something else in it."""
    if path.is_dir():
        raise UserError(f"{where}: this is a folder; expected a file")
    if not path.exists():
        raise UserError(f"{where}: no such file")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{where}: cannot be read: {error.strerror}") from error
    if not raw.strip():
        raise UserError(f"{where}: the file is empty; expected columns of text and of labels")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(
            f"{where}: line {line} holds a byte that is not UTF-8 (0x{raw[error.start]:02x}); "
            "expected UTF-8 text: convert the file first"
        ) from error


def _read_json(text: str, where: str) -> list[dict[str, Any]]:
    if text.lstrip().startswith("["):
        numbered = [(None, text)]
    else:
        # Only "\n" ends a line: code may hold the rarer separators that str.splitlines() knows.
        numbered = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    rows = []
    for number, line in numbered:
        place = where if number is None else f"{where}: line {number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{place}: not well-formed JSON: {error}") from error
        values = value if number is None else [value]
        if not all(isinstance(row, dict) for row in values):
            raise UserError(f"{place}: expected JSON objects, each with a text and its label")
        rows.extend(values)
    return rows


def _labels(column: pd.Series, where: str, name: str) -> pd.Series:
    labels = column.map(lambda value: LABELS.get(str(value).strip().lower()))
    wrong = labels.isna().to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(
            f"{row_of(where, row)}: the {name!r} is {str(column.iloc[row])!r}; expected 0 or 1 (or true, false)"
        )
    return labels.astype("int64")


def row_of(where: str, row: int) -> str:
    """Where data row `row` (from 0) is, in words; rows are counted from 1 and the header is not one."""
    return f"{where}: row {int(row) + 1} (the first after the header is row 1)"
