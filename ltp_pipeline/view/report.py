"""Reports which tokens of the functions in a file a pruned model keeps: some functions in detail, many in a figure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import as_text, write_json, write_text
from ltp_pipeline.data.readers import read_task_file
from ltp_pipeline.data.truncation import choose_single_reading
from ltp_pipeline.files.layouts import LAYOUT, Layout, flaw_lines_of
from ltp_pipeline.model.precision import name_of_computation
from ltp_pipeline.model.ranking_note import ranking_fields
from ltp_pipeline.task.tasks import Task, find_task, has_labels
from ltp_pipeline.view.encode import encode, joined
from ltp_pipeline.view.figures import save_figure
from ltp_pipeline.view.kept_tokens import PrunedModelArguments, load_pruned_model, prune_functions
from ltp_pipeline.view.line_results import NONE
from ltp_pipeline.view.line_scores import lines_of_function
from ltp_pipeline.view.token_scores import DEFAULT
from ltp_pipeline.view.trace import FunctionTrace, trace_function
from ltp_pipeline.view.trace_page import html_page

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Report:
    """The result of `report_kept_tokens`."""

    model_name_or_path: str
    dtype: str  # of the computation, such as "bfloat16"
    threads: int  # that have computed
    shown: list[FunctionTrace]  # the functions that are shown in detail
    alive: np.ndarray  # [functions, L + 1], the share of tokens alive before the first layer and after each layer
    taught: dict[str, Any]  # how the ranking was taught, see `ranking_fields`

    def write(self, folder: str | Path) -> list[Path]:
        """Writes visualisation.html, .png and .json to `folder`, and returns their paths."""
        page, figure, data = (Path(folder, f"visualisation.{ending}") for ending in ("html", "png", "json"))
        write_text(page, html_page(self.shown, self.model_name_or_path, self.taught["ranking"]))
        model = {"model_name_or_path": self.model_name_or_path, "dtype": self.dtype, "threads": self.threads}
        model |= self.taught
        write_json(data, {**model, "functions": [trace.as_json() for trace in self.shown]})
        save_figure(figure, self.alive, self.shown[0], self.taught["ranking"])
        return [page, figure, data]


def report_kept_tokens(
    args: PrunedModelArguments,
    num_functions: int,
    function_index: list[int] | None,
    num_sampled: int,
    line_method: str = DEFAULT,
) -> Report:
    """Runs the pruned model on functions of `--validation_file`, or of `--train_file` if that is not given.

    `Report.shown` has the functions that `choose_functions` chooses. `Report.alive` has these and `num_sampled`
    others, spread evenly over the file. `line_method`: how lines are scored, one of `line_results.CHOICES`.
    Raises UserError if a file, the checkpoint or a flag cannot be used.
    """
    flag = "--validation_file" if args.validation_file else "--train_file"
    path = args.validation_file or args.train_file
    if path is None:
        raise UserError("give --validation_file (or --train_file): the functions to show")
    task = _find_task_of_classes(args.task_name)
    frame = read_task_file(path, task, args, flag=flag, labels="optional")
    texts = list(frame[list(task.columns)].itertuples(index=False, name=None))
    chosen = choose_functions(frame["label"], num_functions, function_index)
    model, tokenizer = load_pruned_model(args)

    sampled = np.linspace(0, len(frame) - 1, min(max(num_sampled, 0), len(frame))).round().astype(int)
    places = sorted({*chosen, *sampled.tolist()})
    truncation = choose_single_reading(args, model.config, task, tokenizer)
    functions = encode([texts[place] for place in places], tokenizer, args.max_length, truncation)
    has_lines = len(task.columns) == 1 and task.num_labels == 2 and line_method != NONE
    flaws = flaw_lines_of(frame) or [()] * len(frame)
    traces, alive = {}, []
    for i, pruned in prune_functions(model, functions, args.per_device_eval_batch_size, args.max_tokens_per_batch):
        alive.append([1.0, *pruned.kept.mean(axis=1)])
        place = places[i]
        if place in chosen:
            row = frame.iloc[place]
            source, layout = joined(texts[place]), frame.attrs.get(LAYOUT)
            name = name_of_function(path, row, layout)
            trace = trace_function(name, source, row, functions[i], pruned, model, tokenizer)
            scores = lines_of_function(model, line_method, source, functions[i]) if has_lines else None
            known = sorted({line for line in flaws[place] if 1 <= line <= source.count("\n") + 1})
            traces[place] = replace(trace, origin=origin_of(row, layout), flaw_lines=tuple(known), line_scores=scores)
    shown = [traces[place] for place in chosen]
    taught = ranking_fields(model.config, task)
    dtype, threads = name_of_computation(model), torch.get_num_threads()
    return Report(args.model_name_or_path, dtype, threads, shown, np.array(alive), taught)


def choose_functions(labels: pd.Series, num_functions: int, rows: list[int] | None) -> list[int]:
    """Positions in `labels` of the given rows, or else of the first functions of label 1 and of label 0, half each.

    Args:
        labels: labels of the functions. The index is the row in the file, from 0, without skipped rows.
        num_functions: how many to choose without `rows`. If there are more than two labels, or none, the first ones.
        rows: rows, counted from 1. Raises UserError for a row that is not in `labels`.
    """
    if rows:
        wrong = [row for row in rows if row - 1 not in labels.index]
        if wrong:
            skipped = " without those that cannot be used" if len(labels) <= labels.index.max() else ""
            raise UserError(f"--function_index {wrong[0]}: the file has rows 1 to {labels.index.max() + 1}{skipped}")
        return [int(np.flatnonzero(labels.index == row - 1)[0]) for row in rows]
    if num_functions < 1:
        raise UserError(f"--num_functions {num_functions}: expected 1 or more")
    if labels.max() > 1 or not has_labels(labels):
        return list(range(min(num_functions, len(labels))))
    positive, negative = (np.flatnonzero(labels == label).tolist() for label in (1, 0))
    wanted = max(-(-num_functions // 2), num_functions - len(negative))
    chosen = positive[:wanted]
    return chosen + negative[: num_functions - len(chosen)]


def origin_of(row: pd.Series, layout: Layout | None) -> dict[str, str]:
    """What the file says of the id, CWE, project, path and first line of a function: the role, and its value as text.

    `layout`: that of the file; None: a file of a GLUE task.
    """
    kinds = {
        "id": (str, int, float),
        "cwe": (str, list, tuple),
        "project": str,
        "path": str,
        "first_line": (str, int, float),
    }
    columns = {role: layout and getattr(layout, role) for role in kinds}
    values = {role: _plain(row.get(column)) for role, column in columns.items() if column is not None}
    shown = {role: _value(value) for role, value in values.items() if isinstance(value, kinds[role])}
    return {role: value for role, value in shown.items() if value}


def name_of_function(file: str | Path, row: pd.Series, layout: Layout | None) -> str:
    """A name such as `test.csv row 17 (id 4711, zlib/inflate.c:123, CWE-787)`, with the parts that the file has."""
    origin = origin_of(row, layout)
    place = "/".join(origin[role] for role in ("project", "path") if role in origin)
    if place and "first_line" in origin:
        place += f":{origin['first_line']}"
    parts = [f"id {origin['id']}" if "id" in origin else "", place, origin.get("cwe", "")]
    known = ", ".join(filter(None, parts))
    return f"{Path(file).absolute().name} row {row.name + 1}" + (f" ({known})" if known else "")


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _value(value: Any) -> str:
    """A value of a table: the entries of a list with spaces between, "" for a missing value."""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else as_text(value).strip()


def _find_task_of_classes(name: str) -> Task:
    task = find_task(name, "--task_name")
    if task.is_regression:
        raise UserError(f"--task_name {task.name}: predicts a number; expected a task that predicts a class")
    if task.multi_label:
        raise UserError(f"--task_name {task.name}: has several labels at once; expected a task with one label")
    return task
