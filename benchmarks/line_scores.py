"""Compares scores of tokens and lines on functions with known flaw lines: do they lead a reader to the flaw?

    python -m benchmarks.line_scores --model_name_or_path CKPT --test_file Data/test.csv --unpruned BASE

A token's score is judged by the area under the ROC curve (AUC) for lying in a flaw line, the mean over the defective
functions of which the model reads a flaw line and another line. A line's score is the maximum, the sum or the mean of
its tokens'. It is judged by the measures of docs/measures.md, as if every function were predicted defective. Controls
are random scores, the length of the line and the attention of an unpruned model. Intervals are 95 % bootstrap
intervals over functions. All methods take turns after each batch, so that their times can be compared.

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

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_csv, write_json, write_text
from ltp_pipeline.base.flags import check_positive, parse_arguments
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.data.batches import EVAL_HELP, sorted_batches
from ltp_pipeline.data.flags import ReadingArguments, TruncationArguments
from ltp_pipeline.model.precision import AUTO, DTYPES, chosen_dtype, default_device, dtype_name

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

    from ltp_pipeline.view.encode import FunctionTokens
    from transformer_revised import LTPForSequenceClassification

    Scorer = Callable[[dict[str, torch.Tensor]], torch.Tensor]

UNPRUNED = "unpruned: "  # begins the names of methods on the model `--unpruned`
ON_UNPRUNED = ("gradient_x_input", "attention", "attention_sum")  # methods that also run on the model `--unpruned`
EVALUATION = "evaluation"  # a pass without scores, for the times
AGGREGATES = ("max", "sum", "mean")
# Means over functions, which have a bootstrap interval
INTERVALS = ("token_auc", "line_top_10_any", "line_top_10_first", "line_ifa_mean")
SHOWN = (*INTERVALS, "line_effort_at_20_recall", "line_recall_at_1_loc", "line_detection_alignment")


@dataclass
class BenchmarkArguments(ReadingArguments, TruncationArguments):
    """Which checkpoint and functions, and how scores are compared."""

    model_name_or_path: str = HfArg(help="Folder of a classifier of code, pruned or not.")
    test_file: str = HfArg(help="Functions with flaw lines.")
    unpruned: str | None = HfArg(default=None, help="Folder of the model before pruning, for controls and times.")
    output_dir: str = HfArg(default="line_scores", help="Folder of the tables.")
    methods: list[str] | None = HfArg(default=None, help="Only these methods and the controls (default: all).")
    max_length: int | None = HfArg(
        default=None, aliases=["--max_seq_length"], help="Cut functions to this many tokens (default: as trained)."
    )
    max_tokens_per_batch: int | None = HfArg(default=None, help=EVAL_HELP)
    rounds: int = HfArg(default=1, help="Number of timed passes over all functions.")
    bootstrap: int = HfArg(default=1000, help="Number of bootstrap samples.")
    seed: int = HfArg(default=0, help="Seed of the random scores and of the bootstrap.")
    dtype: str = HfArg(default=AUTO, metadata={"choices": DTYPES}, help="Data type of the computation.")


@dataclass
class Functions:
    """The functions of a file, as one model reads them: `W` windows of `N` functions."""

    texts: list[str]  # [N]
    flaw_lines: list[tuple[int, ...]]  # [N]
    labels: np.ndarray  # [N]
    windows: list[FunctionTokens]  # [W]
    function_of: np.ndarray  # [W], ascending
    pairs: list[tuple[np.ndarray, np.ndarray]]  # [W], of each window `lines_of_tokens`

    def token_truth(self, window: int) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of a window that are in a line, and whether that is a flaw line."""
        tokens, lines = self.pairs[window]
        return tokens, np.isin(lines + 1, self.flaw_lines[self.function_of[window]])


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process."""
    (args,) = parse_arguments((BenchmarkArguments,), argv, __doc__, prog="python -m benchmarks.line_scores")
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
    scorers = find_scorers(model, unpruned, args.methods)
    scores, seconds, probabilities = score_functions(scorers, functions, model, args)
    scores |= _controls(functions, args.seed)
    rows = judge(functions, scores, probabilities, args.bootstrap, args.seed)
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


def find_scorers(model: Any, unpruned: Any, chosen: list[str] | None) -> dict[str, Scorer]:
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
        for layer in layers:
            found[f"{prefix}attention, layer {layer + 1}"] = lambda batch, one=one, layer=layer: (
                methods.attention_by_layer(one, batch)[layer]
            )
            if prunes:
                found[f"{prefix}importance, layer {layer + 1}"] = lambda batch, one=one, layer=layer: (
                    methods.importance_by_layer(one, batch)[layer]
                )
    if chosen is None:
        return found
    wrong = [name for name in chosen if name not in found]
    if wrong:
        raise UserError(f"--methods {wrong[0]}: expected some of {', '.join(found)}")
    return {name: scorer for name, scorer in found.items() if name in chosen or name.endswith(EVALUATION)}


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


def judge(
    functions: Functions, scores: dict[str, list[np.ndarray]], probabilities: np.ndarray, samples: int, seed: int
) -> list[dict[str, Any]]:
    """A row for each method and aggregate: `method`, `lines`, the token AUC and the line measures.

    The interval of each of `INTERVALS` is in `<name>_low` and `<name>_high`.
    """
    everything = np.arange(len(functions.texts))
    defective = [i for i in everything if functions.labels[i] == 1 and functions.flaw_lines[i]]
    rows = []
    for method, values in progress_bar(scores.items(), desc="judging", unit="method"):
        aucs = _token_aucs(functions, values)
        for how in AGGREGATES if method != "line length" else ("mean",):
            lines = aggregated(functions, values, how)
            row = {"method": method, "lines": how, "token_auc_functions": int(np.isfinite(aucs).sum())}
            row |= {"token_auc": float(np.nanmean(aucs)) if np.isfinite(aucs).any() else None}
            row |= _measure(lines, functions, probabilities, everything)
            single = [_measure(lines, functions, probabilities, np.array([i])) for i in defective]
            for name in INTERVALS:
                own = aucs if name == "token_auc" else np.array([measures[name] for measures in single if measures])
                row |= _interval(name, own[np.isfinite(own)], samples, seed)
            rows.append(row)
    return rows


def _interval(name: str, values: np.ndarray, samples: int, seed: int) -> dict[str, float]:
    """The 95 % bootstrap interval of the mean of `values`; {} without values."""
    from ltp_pipeline.measures.intervals import interval

    if not len(values):
        return {}
    random = np.random.default_rng(seed)  # the same samples for every method
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(samples)]
    low, high = interval(np.array(means))
    return {f"{name}_low": low, f"{name}_high": high}


def _measure(
    lines: list[np.ndarray], functions: Functions, probabilities: np.ndarray, chosen: np.ndarray
) -> dict[str, float]:
    """The line measures of the functions `chosen`, as if every one were predicted defective."""
    from ltp_pipeline.measures.lines import TRUE_POSITIVES, line_measures

    measures = line_measures(
        [lines[i] for i in chosen],
        [functions.flaw_lines[i] for i in chosen],
        probabilities[chosen],
        np.ones(len(chosen), dtype=int),
        functions.labels[chosen],
    )
    return {name: value for name, value in measures.items() if not name.endswith(TRUE_POSITIVES)}


def _token_aucs(functions: Functions, scores: list[np.ndarray]) -> np.ndarray:
    """The AUC of each function's tokens for lying in a flaw line, `[N]`; NaN without both kinds of tokens."""
    from sklearn.metrics import roc_auc_score

    aucs = np.full(len(functions.texts), np.nan)
    begins = np.searchsorted(functions.function_of, np.arange(len(aucs) + 1))
    for number, (begin, end) in enumerate(zip(begins, begins[1:])):
        if functions.labels[number] != 1:
            continue
        parts = [(functions.token_truth(window), scores[window]) for window in range(begin, end)]
        truth = np.concatenate([own for (_, own), _ in parts])
        if 0 < truth.sum() < len(truth):
            values = np.concatenate([own[tokens] for (tokens, _), own in parts])
            aucs[number] = roc_auc_score(truth, values)
    return aucs


def aggregated(functions: Functions, scores: list[np.ndarray], how: str) -> list[np.ndarray]:
    """The score of each line of each function: the maximum, the sum or the mean of its tokens'; of several windows
    the highest; minus infinity without tokens.
    """
    lines = [np.full(text.count("\n") + 1, -np.inf) for text in functions.texts]
    for number, (tokens, line), values in zip(functions.function_of, functions.pairs, scores, strict=True):
        own = np.full(len(lines[number]), -np.inf)
        if how == "max":
            np.maximum.at(own, line, values[tokens])
        else:
            counts, sums = (np.bincount(line, weights, len(own)) for weights in (None, values[tokens]))
            own[counts > 0] = sums[counts > 0] / (counts[counts > 0] if how == "mean" else 1)
        np.maximum(lines[number], own, out=lines[number])
    return lines


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
