"""Shows, layer by layer, which tokens of some functions a pruned model keeps: terminal, HTML page, figure, JSON."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import HfArgumentParser

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import write_json, write_text
from ltp_pipeline.data.flags import reading_options
from ltp_pipeline.data.truncation import choose_single_reading
from ltp_pipeline.model import precision
from ltp_pipeline.task.decision import stored_threshold
from ltp_pipeline.task.tasks import find_task
from ltp_pipeline.view.extract import Encoding, Pruned, PrunedModelArguments, encode, joined, load_pruned, prune
from ltp_pipeline.view.visualise import FunctionTrace, TerminalView, html_page, save_figure

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class VisualiseArguments(PrunedModelArguments):
    num_functions: int = field(
        default=4,
        metadata={"help": "Functions to show: the first of label 1 and of label 0, half each (MNLI: of any label)."},
    )
    function_index: list[int] | None = field(
        default=None, metadata={"help": "Show these rows of the file instead; the first after the header is 1."}
    )
    num_sampled: int = field(
        default=200,
        metadata={"help": "Functions, evenly spread over the file, behind the figure's tokens alive per layer."},
    )
    max_lines: int = field(
        default=40, metadata={"help": "Source lines of a function printed for each layer; 0: all. HTML has all."}
    )
    output_dir: str = field(
        default="visualisation", metadata={"help": "Folder for visualisation.html, .png and .json."}
    )
    no_color: bool = field(
        default=False, metadata={"help": "Plain terminal text; also without a terminal or with NO_COLOR set."}
    )


def choose(labels: pd.Series, num_functions: int, rows: list[int] | None) -> list[int]:
    """Places in `labels` of the functions to show. `rows` count from 1; raises UserError for one that is not there."""
    if rows:
        wrong = [row for row in rows if row - 1 not in labels.index]
        if wrong:
            skipped = " without those that cannot be used" if len(labels) <= labels.index.max() else ""
            raise UserError(f"--function_index {wrong[0]}: the file has rows 1 to {labels.index.max() + 1}{skipped}")
        return labels.index.get_indexer([row - 1 for row in rows]).tolist()
    if num_functions < 1:
        raise UserError(f"--num_functions {num_functions}: expected 1 or more")
    if labels.max() > 1:
        return list(range(min(num_functions, len(labels))))
    positive, negative = (np.flatnonzero(labels == label).tolist() for label in (1, 0))
    wanted = max(-(-num_functions // 2), num_functions - len(negative))
    chosen = positive[:wanted]
    return chosen + negative[: num_functions - len(chosen)]


def name_of(file: str, row: pd.Series) -> str:
    """Such as `test.csv row 17 (zlib/inflate.c:123)`; the place only where the data set tells it."""
    place = "/".join(str(row[column]) for column in ("project", "path") if row.get(column))
    if place and row.get("first_line"):
        place += f":{row['first_line']}"
    return f"{Path(file).name} row {row.name + 1}" + (f" ({place})" if place else "")


def trace(
    name: str, source: str, row: pd.Series, encoding: Encoding, pruned: Pruned, model, tokenizer
) -> FunctionTrace:
    num_lines = source.count("\n") + 1
    lines = (int(number) for number in re.findall(r"\d+", str(row.get("finding_lines", ""))))
    return FunctionTrace(
        name=name,
        source=source,
        tokens=tokenizer.convert_ids_to_tokens(encoding.input_ids.tolist()),
        offsets=encoding.offsets,
        is_text=encoding.is_text,
        kept=pruned.kept,
        scores=pruned.scores,
        thresholds=model.thresholds().double().numpy(),
        label=int(row["label"]),
        probabilities=torch.from_numpy(pruned.logits).softmax(-1).tolist(),
        finding_lines=tuple(sorted({number for number in lines if 1 <= number <= num_lines})),
        decision_threshold=stored_threshold(model.config),
        unread=unread(encoding),
    )


def unread(encoding: Encoding) -> tuple[tuple[int, int], ...]:
    """Spans of characters that were cut out before a token."""
    gaps = () if encoding.after_gap is None else np.flatnonzero(encoding.after_gap & encoding.is_text)
    return tuple((int(encoding.offsets[i - 1, 1]), int(encoding.offsets[i, 0])) for i in gaps)


def raw(trace: FunctionTrace) -> dict:
    """A trace as JSON: `scores` layer by token, null where there is none; `alive_until` layers survived."""
    return {
        "name": trace.name,
        "source": trace.source,
        "label": trace.label,
        "prediction": trace.prediction,
        "probabilities": trace.probabilities,
        "finding_lines": trace.finding_lines,
        "tokens": trace.tokens,
        "offsets": trace.offsets.tolist(),
        "alive_until": trace.alive_until.tolist(),
        "thresholds": [None if np.isnan(t) else t for t in trace.thresholds.tolist()],
        "scores": [[None if np.isnan(s) else float(f"{s:.6g}") for s in layer] for layer in trace.scores],
    }


def main() -> None:
    (args,) = HfArgumentParser(VisualiseArguments, description=__doc__).parse_args_into_dataclasses()
    from ltp_pipeline.data.readers import read_labelled  # after parsing, as --help need not wait for pandas

    flag = "--validation_file" if args.validation_file else "--train_file"
    path = args.validation_file or args.train_file
    if path is None:
        raise UserError("give --validation_file (or --train_file): the functions to show")
    task = find_task(args.task_name, "--task_name")
    if task.is_regression:
        raise UserError(f"--task_name {task.name}: predicts a number, and classes are shown; expected another task")
    if task.multi_label:
        raise UserError(f"--task_name {task.name}: has several labels at once; here expected a task of one")
    frame = read_labelled(path, task, name=flag, **reading_options(args))
    texts = list(frame[list(task.columns)].itertuples(index=False, name=None))
    chosen = choose(frame["label"], args.num_functions, args.function_index)
    model, tokenizer = load_pruned(args)

    sampled = np.linspace(0, len(frame) - 1, min(max(args.num_sampled, 0), len(frame))).round().astype(int)
    looked_at = sorted({*chosen, *sampled.tolist()})
    truncation = choose_single_reading(args, model.config, task, tokenizer)
    encodings = encode([texts[row] for row in looked_at], tokenizer, args.max_length, truncation)
    traces, alive = {}, []
    sizes = {"batch_size": args.per_device_eval_batch_size, "max_tokens": args.max_tokens_per_batch}
    for i, pruned in prune(model, encodings, **sizes, description="looking"):
        row = looked_at[i]
        alive.append([1.0, *pruned.kept.mean(axis=1)])
        if row in chosen:
            function = frame.iloc[row]
            name, source = name_of(path, function), joined(texts[row])
            traces[row] = trace(name, source, function, encodings[i], pruned, model, tokenizer)
    shown = [traces[row] for row in chosen]

    sys.stdout.reconfigure(errors="backslashreplace")
    color = sys.stdout.isatty() and not args.no_color and not os.environ.get("NO_COLOR")
    view = TerminalView(color, args.max_lines)
    for function in shown:
        print(view.function(function))
    output = Path(args.output_dir) / "visualisation"
    write_text(f"{output}.html", html_page(shown, args.model_name_or_path))
    described = {"model_name_or_path": args.model_name_or_path, "dtype": precision.name_of(model.dtype)}
    write_json(f"{output}.json", {**described, "functions": [raw(t) for t in shown]})
    save_figure(f"{output}.png", np.array(alive), shown[0])
    print(f"written: {output}.html, {output}.png, {output}.json")


if __name__ == "__main__":
    run_main(main)
