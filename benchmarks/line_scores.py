"""Compares scores of tokens and lines on functions with known flaw lines: do they lead a reader to the flaw?

    python -m benchmarks.line_scores --model_name_or_path CKPT --test_file Data/test.csv --unpruned BASE

A token's score is judged by the area under the ROC curve (AUC) for lying in a flaw line, the mean over the defective
functions of which the model reads a flaw line and another line. A line's score is the maximum, the sum or the mean of
its tokens'. It is judged by the measures of docs/measures.md, as if every function were predicted defective. Controls
are random scores, the length of the line and the attention of an unpruned model. Intervals are 95 % bootstrap
intervals over functions. Differences are to `--reference` (the maximum of its tokens), on the same draws of functions.
All methods take turns after each batch, so that their times can be compared.

Writes line_scores.json, line_scores.csv and line_scores.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers.hf_argparser import HfArg

from benchmarks.line_judging import MEANS, POOLED, Functions, judge
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_csv, write_json, write_text
from ltp_pipeline.base.flags import check_positive, parse_arguments
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.data.batches import EVAL_HELP, sorted_batches
from ltp_pipeline.data.flags import ReadingArguments, TruncationArguments
from ltp_pipeline.model.precision import AUTO, DTYPES, chosen_dtype, default_device, dtype_name
from ltp_pipeline.view.token_scores import DEFAULT

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

    from transformer_revised import LTPForSequenceClassification

    Scorer = Callable[[dict[str, torch.Tensor]], torch.Tensor]

UNPRUNED = "unpruned: "  # begins the names of methods on the model `--unpruned`
ON_UNPRUNED = ("gradient_x_input", "attention", "attention_sum")  # methods that also run on the model `--unpruned`
EVALUATION = "evaluation"  # a pass without scores, for the times
SHOWN = (*MEANS, *POOLED, "line_detection_alignment")


@dataclass
class BenchmarkArguments(ReadingArguments, TruncationArguments):
    """Which checkpoint and functions, and how scores are compared."""

    model_name_or_path: str = HfArg(help="Folder of a classifier of code, pruned or not.")
    test_file: str = HfArg(help="Functions with flaw lines.")
    unpruned: str | None = HfArg(default=None, help="Folder of the model before pruning, for controls and times.")
    output_dir: str = HfArg(default="line_scores", help="Folder of the tables.")
    methods: list[str] | None = HfArg(default=None, help="Only these methods and the controls (default: all).")
    reference: str = HfArg(default=DEFAULT, help="The method to which the others are compared.")
    max_length: int | None = HfArg(
        default=None, aliases=["--max_seq_length"], help="Cut functions to this many tokens (default: as trained)."
    )
    max_tokens_per_batch: int | None = HfArg(default=None, help=EVAL_HELP)
    rounds: int = HfArg(default=1, help="Number of timed passes over all functions.")
    bootstrap: int = HfArg(default=1000, help="Number of bootstrap samples.")
    seed: int = HfArg(default=0, help="Seed of the random scores and of the bootstrap.")
    dtype: str = HfArg(default=AUTO, metadata={"choices": DTYPES}, help="Data type of the computation.")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process."""
    (args,) = parse_arguments((BenchmarkArguments,), argv, __doc__, command="-m benchmarks.line_scores")
    import pandas as pd

    from ltp_pipeline.data.readers import read_task_file
    from ltp_pipeline.files.layouts import flaw_lines_of
    from ltp_pipeline.task.tasks import CODE

    check_positive(args, "max_length", "max_tokens_per_batch", "rounds", "bootstrap")
    frame = read_task_file(args.test_file, CODE, args, flag="--test_file")
    flaws = flaw_lines_of(frame)
    if flaws is None or not any(lines and label == 1 for lines, label in zip(flaws, frame["label"])):
        raise UserError(
            f"--test_file {args.test_file}: no function with label 1 has flaw lines; expected some, such as the lines "
            "3 and 7 as `3 7` in a column flaw_lines"
        )
    device = default_device()
    dtype = chosen_dtype(args.dtype, None, device)
    model, tokenizer = _load(args.model_name_or_path, "--model_name_or_path", dtype, device)
    unpruned = None
    if args.unpruned is not None:
        unpruned, other = _load(args.unpruned, "--unpruned", dtype, device)
        if other.get_vocab() != tokenizer.get_vocab():
            raise UserError(f"--unpruned {args.unpruned}: its tokenizer is not that of {args.model_name_or_path}")
    functions = encode_functions(frame, flaws, model, tokenizer, args)
    scorers = find_scorers(model, unpruned, args.methods, args.reference)
    scores, seconds, probabilities = score_functions(scorers, functions, model, args)
    scores |= _controls(functions, args.seed)
    rows = judge(functions, scores, probabilities, args.bootstrap, args.seed, args.reference)
    plain = seconds[EVALUATION]
    for row in rows:
        if row["method"] in seconds:
            row["seconds"] = float(np.median(seconds[row["method"]]))
            row["times_evaluation"] = float(np.median(np.divide(seconds[row["method"]], plain)))
    about = {
        "model_name_or_path": args.model_name_or_path, "unpruned": args.unpruned, "test_file": args.test_file,
        "dtype": dtype_name(dtype), "functions": len(frame), "with_flaw_lines": int(sum(map(bool, flaws))),
        "evaluation_seconds": float(np.median(plain)),
    }  # fmt: skip
    folder = Path(args.output_dir)
    table = [_shown(row) for row in rows]
    write_json(folder / "line_scores.json", {**about, "scores": rows})
    write_csv(folder / "line_scores.csv", pd.DataFrame(rows))
    write_text(folder / "line_scores.md", format_table(table, markdown=True) + "\n")
    print(format_table(table))
    print(f"written: {folder}/line_scores.json, {folder}/line_scores.csv, {folder}/line_scores.md")


def _load(
    path: str, flag: str, dtype: torch.dtype, device: torch.device
) -> tuple[LTPForSequenceClassification, PreTrainedTokenizerBase]:
    from ltp_pipeline.model.checkpoints import check_checkpoint, load_classifier
    from ltp_pipeline.task.tasks import CODE

    check_checkpoint(path, flag)
    model, tokenizer = load_classifier(path, CODE, dtype, device, flag=flag)
    if not tokenizer.is_fast:
        raise UserError(f"{flag} {path}: its tokenizer gives no character offsets; expected a fast one")
    return model, tokenizer


def encode_functions(
    frame: pd.DataFrame, flaws: list, model: Any, tokenizer: Any, args: BenchmarkArguments
) -> Functions:
    from ltp_pipeline.data.truncation import choose_truncation, sequence_length
    from ltp_pipeline.task.tasks import CODE
    from ltp_pipeline.view.encode import encode_windows
    from ltp_pipeline.view.line_scores import lines_of_tokens

    length = sequence_length(args.max_length, model.config, tokenizer)
    texts = frame["functionSource"].tolist()
    windows = encode_windows(texts, tokenizer, length, choose_truncation(args, model.config, CODE, tokenizer, length))
    function_of = np.repeat(np.arange(len(texts)), [len(own) for own in windows])
    flat = [window for own in windows for window in own]
    pairs = [lines_of_tokens(texts[number], window) for number, window in zip(function_of, flat)]
    return Functions(texts, flaws, frame["label"].to_numpy(), flat, function_of, pairs)


def find_scorers(model: Any, unpruned: Any, chosen: list[str] | None, reference: str) -> dict[str, Scorer]:
    """The methods that can be computed, by name; a pass without scores of each model is one of them."""
    from ltp_pipeline.view import token_scores as methods

    found: dict[str, Scorer] = {}
    for prefix, one in (("", model), (UNPRUNED, unpruned)):
        if one is None:
            continue
        prunes, layers = one.config.prune_mode is not None, range(one.config.num_hidden_layers)
        found[prefix + EVALUATION] = lambda batch, one=one: _evaluate(one, batch)
        for name in methods.METHODS:
            if (prunes or name not in methods.NEED_PRUNING) and (not prefix or name in ON_UNPRUNED):
                found[prefix + name] = lambda batch, one=one, name=name: methods.token_scores(one, batch, name)
        if not prefix:
            found |= {
                name: lambda batch, make=make: methods.shares(make(model, batch), batch)
                for name, make in _variants().items()
            }
        for layer in layers:
            found[f"{prefix}attention, layer {layer + 1}"] = lambda batch, one=one, layer=layer: (
                methods.attention_by_layer(one, batch)[layer]
            )
            if prunes:
                found[f"{prefix}importance, layer {layer + 1}"] = lambda batch, one=one, layer=layer: (
                    methods.importance_by_layer(one, batch)[layer]
                )
    for flag, names in (("--methods", chosen or []), ("--reference", [reference])):
        for name in names:
            if name not in found:
                raise UserError(f"{flag} {name}: expected some of {', '.join(found)}")
    if chosen is None:
        return found
    wanted = {*chosen, reference}
    return {name: scorer for name, scorer in found.items() if name in wanted or name.endswith(EVALUATION)}


def _variants() -> dict[str, Callable[[Any, dict[str, torch.Tensor]], torch.Tensor]]:
    """What tells which part of the method `relevance` matters: its number of steps, and the mean over neighbours."""
    from ltp_pipeline.view.token_scores import averaged, gradient_x_input, integrated_gradients

    return {
        "gradient_x_input, mean of 9": lambda model, batch: averaged(gradient_x_input(model, batch), batch),
        "integrated_gradients, 1 step": lambda model, batch: integrated_gradients(model, batch, 1),
        "integrated_gradients, 1 step, mean of 9": lambda model, batch: averaged(
            integrated_gradients(model, batch, 1), batch
        ),
        "integrated_gradients, 2 steps": lambda model, batch: integrated_gradients(model, batch, 2),
    }


@torch.inference_mode()
def _evaluate(model: LTPForSequenceClassification, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**batch).logits.float().softmax(-1)[:, 1]


def score_functions(
    scorers: dict[str, Scorer], functions: Functions, model: Any, args: BenchmarkArguments
) -> tuple[dict[str, list[np.ndarray]], dict[str, list[float]], np.ndarray]:
    """The scores of each method for the tokens of each window, its seconds in each round, and the probability of
    class 1 of each function.
    """
    from ltp_pipeline.view.token_batches import padded

    batches = sorted_batches([len(window) for window in functions.windows], max_tokens=args.max_tokens_per_batch)
    scores = {name: [np.empty(0)] * len(functions.windows) for name in scorers if not name.endswith(EVALUATION)}
    seconds = {name: [0.0] * args.rounds for name in scorers}
    probabilities = np.zeros(len(functions.texts))
    names = list(scorers)
    for turn in progress_bar(range(args.rounds * len(batches)), desc="scoring", unit="batch"):
        number, indices = turn // len(batches), batches[turn % len(batches)]
        batch = padded([functions.windows[i] for i in indices], model)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:  # no method is always the first
            start = time.perf_counter()
            values = scorers[name](batch).cpu().numpy()  # waits until a GPU is done
            seconds[name][number] += time.perf_counter() - start
            if name == EVALUATION:
                np.maximum.at(probabilities, functions.function_of[indices], values)
            elif name in scores:
                for i, row in zip(indices, values, strict=True):
                    scores[name][i] = row[: len(functions.windows[i])]
    return scores, seconds, probabilities


def _controls(functions: Functions, seed: int) -> dict[str, list[np.ndarray]]:
    """Random scores, and for each token the number of characters in its line."""
    random = np.random.default_rng(seed)
    lengths = []
    for number, window, (tokens, lines) in zip(functions.function_of, functions.windows, functions.pairs):
        values = np.zeros(len(window))
        values[tokens] = np.array([len(line.strip()) for line in functions.texts[number].split("\n")])[lines]
        lengths.append(values)
    return {"random": [random.random(len(window)) for window in functions.windows], "line length": lengths}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the printed table."""
    cells = {"method": row["method"], "line": row["lines"]}
    for name in SHOWN:
        cells[name.removeprefix("line_")] = (
            f"{row[name]:.3g} [{row[f'{name}_low']:.3g}, {row[f'{name}_high']:.3g}]"
            if f"{name}_low" in row
            else row.get(name)
        )
    return cells | {"times_evaluation": row.get("times_evaluation")}


if __name__ == "__main__":
    run_main(main)
