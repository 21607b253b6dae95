"""What a model predicts for each function of a file, as a table, and the formats in which it is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import as_text, write_rows, write_text
from ltp_pipeline.files.layouts import LAYOUT, Layout, flaw_lines_of, pairs_of
from ltp_pipeline.task.decision import predictions_of
from ltp_pipeline.task.metrics import positive_scores, probabilities, sigmoid
from ltp_pipeline.task.tasks import CODE, Task, has_labels

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 120  # characters of the values of a column that the predictions repeat; longer ones are texts
OWN = ("row", "label", "prediction", "score")
ENDINGS = {"csv": ".csv", "jsonl": ".jsonl", "primevul": ".txt"}  # format -> ending of the file


def check_format(name: str, task: Task) -> None:
    """Raises UserError if the predictions of `task` cannot be written in the format `name`."""
    if name == "primevul" and task is not CODE:
        raise UserError(f"--predictions_format primevul: is for the task code, not {task.name}; expected csv or jsonl")


def predictions_table(
    task: Task, logits: np.ndarray, labels: np.ndarray, threshold: float | None, source: pd.DataFrame
) -> pd.DataFrame:
    """The table of predictions, one line for each of N functions or items.

    Columns: `row`, the row in the file, from 1, if rows were skipped or added; the columns of `source_columns`;
    `label` (if the data has labels) and `prediction`, then the probabilities: with two classes `score` (of class 1),
    with more classes `score_<name>` of each class. A task that predicts numbers has no probabilities. If an item has
    several labels at once, `label` and `prediction` are their names, separated by spaces.

    Args:
        logits: `[N, C]`; `[N, 1]` if a number is predicted.
        labels: `[N]`, or `[N, C]` if an item has several labels at once.
        threshold: for functions, the probability above which class 1 is predicted; None: the more probable class.
        source: the N rows, as they were read.
    """
    import pandas as pd

    def shown(values: np.ndarray) -> np.ndarray | list[str]:
        if not task.multi_label:
            return values
        return [" ".join(name for name, positive in zip(task.labels, row) if positive) for row in values > 0]

    found = {"label": shown(labels)} if has_labels(labels) else {}
    found["prediction"] = shown(predictions_of(task, logits, threshold))
    if task.num_labels == 2:
        found["score"] = positive_scores(logits)
    elif not task.is_regression:
        scores = sigmoid(logits) if task.multi_label else probabilities(logits)
        found |= {f"score_{name}": scores[:, i] for i, name in enumerate(task.labels)}
    rows = np.asarray(source.index) + 1
    first = {"row": rows} if (rows != np.arange(1, len(rows) + 1)).any() else {}
    known = source_columns(source, task, {*OWN, *found}) if task.reads_functions else {}
    return pd.DataFrame({**first, **known, **found})


def source_columns(source: pd.DataFrame, task: Task, taken: set[str]) -> dict[str, list[Any]]:
    """The columns of a file that say which function a row is, and what is known of it.

    These are the id, the CWEs, the project, the path and the first line of the file's layout, then the flaw lines and
    the pairs (as columns `flaw_lines` and `pair`, whatever the file has), then all other columns whose values are
    short: at most LONGEST characters, on one line. A name in `taken` becomes `source_NAME`.
    """
    layout = source.attrs.get(LAYOUT) or Layout("", "")
    known = [getattr(layout, role) for role in ("id", "cwe", "project", "path", "first_line")]
    columns = {name: source[name].tolist() for name in known if name is not None}
    if (lines := flaw_lines_of(source)) is not None:
        columns["flaw_lines"] = [" ".join(map(str, numbers)) for numbers in lines]
    if (pairs := pairs_of(source)) is not None and any(pairs):
        columns["pair"] = pairs.tolist()
    texts = {*task.columns, "label", layout.text, layout.label, layout.partner, layout.clean_text, layout.flaw_lines}
    for name in source.columns:
        if name not in texts and name not in columns and all(map(_is_short, values := source[name].tolist())):
            columns[name] = values
    renamed: dict[str, list[Any]] = {}
    for name, values in columns.items():
        name = name or "index"  # pandas writes its index without a name
        while name in taken or name in renamed:
            name = f"source_{name}"
        renamed[name] = values
    return renamed


def _is_short(value: Any) -> bool:
    text = as_text(value)
    return len(text) <= LONGEST and text.splitlines() in ([], [text])


def write_predictions(folder: Path, split: str, table: pd.DataFrame, source: pd.DataFrame, form: str) -> None:
    """Writes the predictions for a split, in the format `form`: `predictions.csv`, `test_predictions.txt`, ...

    csv: lists and objects are JSON. jsonl: an object for each row. primevul: the lines `idx<TAB>label<TAB>probability`
    that PrimeVul's script calc_vd_score.py reads, without a header. The label is the predicted one, the probability is
    that of class 1. For idx see `prediction_ids`.

    `source`: the rows, as they were read.
    """
    path = folder / f"{split}_predictions{ENDINGS[form]}".removeprefix("eval_")
    if form != "primevul":
        write_rows(path, table)
    else:
        rows = zip(prediction_ids(source), table["prediction"], table["score"], strict=True)
        write_text(path, "".join(f"{name}\t{prediction}\t{score!r}\n" for name, prediction, score in rows))


def prediction_ids(source: pd.DataFrame) -> Sequence[Any]:
    """The id of each row, for PrimeVul's format: the column of ids of the file's layout, or the row, from 1.

    Ids are not used, which a line says, if two are the same, or one is empty or has white space in it.
    """
    layout, rows = source.attrs.get(LAYOUT), [int(row) + 1 for row in source.index]
    if layout is None or layout.id is None:
        return rows
    ids = [as_text(value) for value in source[layout.id]]
    if len({*ids}) == len(ids) and all(len(name.split()) == 1 and name == name.strip() for name in ids):
        return ids
    print(f"note: the column {layout.id!r} has no different id for each row; the predictions are named by row, from 1")
    return rows
