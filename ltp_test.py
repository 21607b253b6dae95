"""Shows, layer by layer, which tokens of some functions a pruned model keeps: terminal, HTML page, figure, JSON."""

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import HfArgumentParser

from ltp_pipeline.data import read_functions
from ltp_pipeline.errors import UserError, run_main
from ltp_pipeline.extract import Encoding, Pruned, PrunedModelArguments, encode, load_pruned, prune
from ltp_pipeline.reports import write_json, write_text
from ltp_pipeline.visualise import FunctionTrace, TerminalView, html_page, save_figure


@dataclass
class VisualiseArguments(PrunedModelArguments):
    num_functions: int = field(
        default=4, metadata={"help": "Functions to show: the first of label 1 and of label 0, half each."}
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
    """Indices (from 0) of the functions to show; `rows` count from 1. Raises UserError for one that is not there."""
    if rows:
        wrong = [row for row in rows if not 1 <= row <= len(labels)]
        if wrong:
            raise UserError(f"--function_index {wrong[0]}: the file has rows 1 to {len(labels)}")
        return [row - 1 for row in rows]
    if num_functions < 1:
        raise UserError(f"--num_functions {num_functions}: expected 1 or more")
    positive, negative = (np.flatnonzero(labels == label).tolist() for label in (1, 0))
    wanted = max(-(-num_functions // 2), num_functions - len(negative))
    chosen = positive[:wanted]
    return chosen + negative[: num_functions - len(chosen)]


def thresholds(model) -> np.ndarray:
    """Threshold of each layer, `[L]`; NaN for one that has none (`topk`)."""
    values = [m.threshold for name, m in model.named_modules() if name.endswith(".pruner")]
    return np.array([np.nan if value is None else value.item() for value in values])


def name_of(file: str, row: pd.Series) -> str:
    """Such as `test.csv row 17 (zlib/inflate.c:123)`; the place only where the data set tells it."""
    place = "/".join(str(row[column]) for column in ("project", "path") if row.get(column))
    if place and row.get("first_line"):
        place += f":{row['first_line']}"
    return f"{Path(file).name} row {row.name + 1}" + (f" ({place})" if place else "")


def trace(name: str, row: pd.Series, encoding: Encoding, pruned: Pruned, model, tokenizer) -> FunctionTrace:
    num_lines = row["functionSource"].count("\n") + 1
    lines = (int(number) for number in re.findall(r"\d+", str(row.get("finding_lines", ""))))
    return FunctionTrace(
        name=name,
        source=row["functionSource"],
        tokens=tokenizer.convert_ids_to_tokens(encoding.input_ids.tolist()),
        offsets=encoding.offsets,
        is_text=encoding.is_text,
        kept=pruned.kept,
        scores=pruned.scores,
        thresholds=thresholds(model),
        label=int(row["label"]),
        probabilities=torch.from_numpy(pruned.logits).softmax(-1).tolist(),
        finding_lines=tuple(sorted({number for number in lines if 1 <= number <= num_lines})),
    )


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
    flag = "--validation_file" if args.validation_file else "--train_file"
    path = args.validation_file or args.train_file
    if path is None:
        raise UserError("give --validation_file (or --train_file): the functions to show")
    frame = read_functions(path, name=flag)
    chosen = choose(frame["label"], args.num_functions, args.function_index)
    model, tokenizer = load_pruned(args)

    sampled = np.linspace(0, len(frame) - 1, min(max(args.num_sampled, 0), len(frame))).round().astype(int)
    looked_at = sorted({*chosen, *sampled.tolist()})
    encodings = encode(frame["functionSource"].iloc[looked_at].tolist(), tokenizer, args.max_length)
    traces, alive = {}, []
    for i, pruned in prune(model, encodings, args.per_device_eval_batch_size, bf16=args.bf16, description="looking"):
        row = looked_at[i]
        alive.append([1.0, *pruned.kept.mean(axis=1)])
        if row in chosen:
            function = frame.iloc[row]
            traces[row] = trace(name_of(path, function), function, encodings[i], pruned, model, tokenizer)
    shown = [traces[row] for row in chosen]

    sys.stdout.reconfigure(errors="backslashreplace")
    color = sys.stdout.isatty() and not args.no_color and not os.environ.get("NO_COLOR")
    view = TerminalView(color, args.max_lines)
    for function in shown:
        print(view.function(function))
    output = Path(args.output_dir) / "visualisation"
    write_text(f"{output}.html", html_page(shown, args.model_name_or_path))
    write_json(f"{output}.json", {"model_name_or_path": args.model_name_or_path, "functions": [raw(t) for t in shown]})
    save_figure(f"{output}.png", np.array(alive), shown[0])
    print(f"written: {output}.html, {output}.png, {output}.json")


if __name__ == "__main__":
    run_main(main)
