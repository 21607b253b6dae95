"""Compares checkpoints on the same functions: metrics, compute, and speed measured in one run.

    python -m ltp_pipeline.comparison --checkpoints fine-tuned=code_test hard=CKPT --test_file Data/test.csv

Speed is measured for the forward pass only, without reading and tokenizing. In each of several rounds, the checkpoints
take turns after each batch. A rate is the median over the rounds. A speedup over the first checkpoint is the median of
the rounds' ratios.
"""

from __future__ import annotations

import ltp_pipeline.base.before_torch  # noqa: F401  # isort: skip

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers.hf_argparser import HfArg

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_csv, write_json
from ltp_pipeline.base.flags import check_positive, parse_arguments
from ltp_pipeline.base.next_commands import SCAN, command, free_folder, show_next
from ltp_pipeline.base.out_of_memory import out_of_memory_names
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.base.result_folder import check_addable
from ltp_pipeline.base.threads import AUTO as AUTO_THREADS
from ltp_pipeline.base.threads import HELP as THREADS_HELP
from ltp_pipeline.base.threads import use_threads
from ltp_pipeline.data.batches import EVAL_HELP, sorted_batches
from ltp_pipeline.data.flags import ReadingArguments, TruncationArguments
from ltp_pipeline.model.precision import AUTO, BF16_HELP, DTYPES, chosen_dtype, default_device, dtype_name
from ltp_pipeline.model.precision import HELP as DTYPE_HELP
from ltp_pipeline.model.ranking_note import ranking_fields
from ltp_pipeline.task.breakdown import BOOTSTRAP_HELP, breakdown, check_bootstrap, intervals, resampled
from ltp_pipeline.task.metrics import positive_scores
from ltp_pipeline.task.tasks import CODE, GLUE_NAMES, Task, find_task, has_labels
from ltp_pipeline.view.line_results import CHOICES, NONE, LineScoring, check_method, has_lines_to_find, measures_of
from ltp_pipeline.view.line_results import HELP as LINE_SCORES_HELP
from ltp_pipeline.view.token_scores import DEFAULT

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset
    from transformers import BatchEncoding, PreTrainedTokenizerBase

    from transformer_revised import LTPForSequenceClassification

# Columns of the second printed table: the field of comparison.json, and its heading
COST_COLUMNS = {
    "checkpoint": "",
    "relative_flops": "rel. FLOPs",
    "full_relative_flops": "full rel. FLOPs",
    "functions_per_second": "functions/s",
    "speedup": "speedup",
    "tokens_kept_per_layer": "tokens kept per layer",
}

SEED = 42  # of the draws for intervals
BATCH_FLAGS = ("--batch_size", "--max_tokens_per_batch", "--max_length")  # what limits the memory of a batch


@dataclass
class ComparisonArguments(ReadingArguments, TruncationArguments):
    """Which checkpoints are compared, and on which functions."""

    checkpoints: list[str] = HfArg(
        metadata={"metavar": "NAME=FOLDER"}, help="Checkpoints; the others are compared with the first."
    )
    test_file: str = HfArg(help="Functions, with columns functionSource and, for metrics, label.")
    task_name: str = HfArg(default="code", help=f"code, vdisc, or a GLUE task: {', '.join(GLUE_NAMES)}.")
    output_dir: str = HfArg(default="comparison", help="Folder for comparison.json and comparison.csv.")
    max_length: int = HfArg(default=1024, help="Cut functions to this many tokens.")
    batch_size: int | None = HfArg(default=None, help="Functions in a batch (default: see --max_tokens_per_batch).")
    max_tokens_per_batch: int | None = HfArg(default=None, help=EVAL_HELP)
    bootstrap: int = HfArg(
        default=0, help=f"{BOOTSTRAP_HELP} The others also get those of the difference to the first."
    )
    line_scores: str = HfArg(default=DEFAULT, metadata={"choices": CHOICES}, help=LINE_SCORES_HELP)
    rounds: int = HfArg(default=3, help="Number of timed passes over all functions.")
    dtype: str = HfArg(default=AUTO, metadata={"choices": DTYPES}, help=f"Data type of the computation: {DTYPE_HELP}")
    bf16: bool | None = HfArg(default=None, metadata={"nargs": "?", "const": True}, help=BF16_HELP)
    num_threads: str = HfArg(default=AUTO_THREADS, help=THREADS_HELP)


@dataclass
class Candidate:
    """A loaded checkpoint, and the functions tokenized for it."""

    model: LTPForSequenceClassification
    tokens: Dataset  # the rows of `tokenize`: functions, or windows of them
    batches: list[BatchEncoding]  # these rows in batches, the longest first
    order: np.ndarray  # `[W]`, for each row of the batches its row in `tokens`
    scoring: LineScoring | None = None  # how lines are scored; None: they are not


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    (args,) = parse_arguments((ComparisonArguments,), argv, __doc__, command="-m ltp_pipeline.comparison")
    import pandas as pd

    from ltp_pipeline.data.readers import read_task_file
    from ltp_pipeline.model.checkpoints import check_checkpoint
    from ltp_pipeline.task.class_counts import check_class_counts
    from ltp_pipeline.training.reports import tables_of

    task = find_task(args.task_name, "--task_name")
    paths = _named_checkpoints(args.checkpoints)
    for path in paths.values():
        check_checkpoint(path, "--checkpoints")
    check_positive(args, "batch_size", "max_tokens_per_batch", "rounds")
    check_bootstrap(args.bootstrap, task)
    check_addable(Path(args.output_dir))
    use_threads(args.num_threads)
    frame = read_task_file(args.test_file, task, args, flag="--test_file", labels="optional")
    check_class_counts({"test": (f"--test_file {args.test_file}", frame["label"])}, task)
    device = default_device()
    dtype = chosen_dtype(args.dtype, args.bf16, device)
    batches = {"max_tokens": args.max_tokens_per_batch, "size": args.batch_size}
    with out_of_memory_names(*BATCH_FLAGS):
        options = (dtype, device, task, args, args.bootstrap, args.line_scores)
        rows = compare(paths, frame, args.max_length, batches, args.rounds, *options)
    write_json(Path(args.output_dir) / "comparison.json", {"test_file": args.test_file, "checkpoints": rows})
    flat = [{name: value for name, value in row.items() if _is_in_table(name)} for row in rows]
    write_csv(Path(args.output_dir) / "comparison.csv", pd.DataFrame(flat))
    shown = {name: heading for name, heading in COST_COLUMNS.items() if any(name in row for row in rows)}
    print(tables_of({row["checkpoint"]: row for row in rows}), end="\n\n")
    print(format_table([{heading: row.get(name) for name, heading in shown.items()} for row in rows]))
    for note in dict.fromkeys(row["ranking"] for row in rows if row["ranking"]):
        print(f"{', '.join(row['checkpoint'] for row in rows if row['ranking'] == note)}: {note}")
    print(f"written: {args.output_dir}/comparison.json, {args.output_dir}/comparison.csv")
    if task is CODE:
        last = list(paths.values())[-1]
        show_next([command(SCAN, ".", model_name_or_path=last, html=free_folder("scan", ".html"))])


def compare(
    paths: dict[str, str],
    frame: pd.DataFrame,
    max_length: int,
    sizes: dict[str, int | None],
    rounds: int,
    dtype: torch.dtype,
    device: torch.device,
    task: Task = CODE,
    truncation: TruncationArguments | None = None,
    resamples: int = 0,
    line_scores: str = NONE,
) -> list[dict[str, Any]]:
    """Measures each checkpoint.

    Args:
        paths: name and folder of each checkpoint. The others are compared with the first.
        frame: functions, or items of `task`, see `read_task_file`.
        sizes: `max_tokens` and `size` of the batches; see `sorted_batches`.
        truncation: which tokens of longer functions are read; None: as each checkpoint was trained.
        resamples: from how many draws of the functions intervals are computed; 0: there are none.
        line_scores: how lines are scored, if functions have flaw lines; see `LineScoring`.

    Returns for each checkpoint: name (`checkpoint`), path, dtype, number of threads, metrics, the values of
    `breakdown`, `line_measures`, `flops_meter.summary`, `ranking_fields` and `truncation_report`,
    `functions_per_second` and `speedup`; with `resamples` `<name>_interval` and, for the others than the first,
    `<name>_difference_interval`. Without labels, `agreement` takes the place of the metrics: the share of functions
    with the same prediction as by the first checkpoint.
    Raises UserError if a checkpoint is not a Longformer or LTP classifier, is not for `task` or has too few positions.
    """
    from ltp_pipeline.data.truncation import truncation_report

    options = (frame, max_length, sizes, dtype, device, task, truncation or TruncationArguments(), line_scores)
    candidates = {name: load_candidate(path, *options) for name, path in paths.items()}
    with torch.inference_mode():
        measured = {name: _measure(candidate, frame, task, resamples) for name, candidate in candidates.items()}
        seconds = interleaved_seconds(candidates, rounds)
    first, unlabelled, rows = next(iter(paths)), not has_labels(frame["label"].tolist()), []
    for name, (values, predictions, draws) in measured.items():
        if unlabelled and not task.is_regression:
            same = predictions == measured[first][1]
            values = {"agreement": float(same.reshape(len(frame), -1).all(axis=1).mean()), **values}
        if name != first:
            values |= intervals({m: own - measured[first][2][m] for m, own in draws.items()}, "difference_interval")
        facts = {"dtype": dtype_name(dtype), "threads": torch.get_num_threads()}
        row = {"checkpoint": name, "path": str(paths[name]), **facts, **values}
        row |= ranking_fields(candidates[name].model.config, task)
        rows.append(row | truncation_report(candidates[name].tokens))
    for row in rows:
        own = seconds[row["checkpoint"]]
        row["functions_per_second"] = len(frame) / statistics.median(own)
        row["speedup"] = statistics.median(a / b for a, b in zip(seconds[first], own, strict=True))
    return rows


def load_candidate(
    path: str,
    frame: pd.DataFrame,
    max_length: int,
    sizes: dict[str, int | None],
    dtype: torch.dtype,
    device: torch.device,
    task: Task,
    truncation: TruncationArguments,
    line_scores: str = NONE,
) -> Candidate:
    """Loads one checkpoint and tokenizes the functions for it. For arguments and errors see `compare`."""
    from ltp_pipeline.data.tokenization import tokenize
    from ltp_pipeline.data.truncation import choose_truncation, sequence_length
    from ltp_pipeline.model.checkpoints import load_classifier

    model, tokenizer = load_classifier(path, task, dtype, device, flag="--checkpoints")
    config = model.config
    length = sequence_length(max_length, config, tokenizer)
    cut = choose_truncation(truncation, config, task, tokenizer, length)
    tokens = tokenize(frame, tokenizer, length, task, config.type_vocab_size > 1, cut)
    chosen = sorted_batches(tokens["length"], **sizes)
    batches = [_batch(tokens[indices], tokenizer).to(device) for indices in chosen]
    scoring = None
    if line_scores != NONE and has_lines_to_find(frame, task):
        method = check_method(line_scores, model, tokenizer)
        if method != NONE:
            scoring = LineScoring(
                method, tokenizer, length, cut, sizes.get("size"), sizes.get("max_tokens"), BATCH_FLAGS
            )
    return Candidate(model, tokens, batches, np.concatenate(chosen), scoring)


def _is_in_table(name: str) -> bool:
    """Whether comparison.csv has this field of comparison.json."""
    return not name.endswith("by_length") and name not in ("rank_teacher", "ranking")


def _batch(rows: dict[str, list], tokenizer: PreTrainedTokenizerBase) -> BatchEncoding:
    fields = {name: values for name, values in rows.items() if name in tokenizer.model_input_names}
    return tokenizer.pad(fields, return_tensors="pt")


def _named_checkpoints(named: list[str]) -> dict[str, str]:
    paths = {}
    for item in named:
        name, separator, path = item.partition("=")
        if not (name and separator and path):
            raise UserError(f"--checkpoints {item}: expected NAME=FOLDER, such as hard=checkpoints/.../hard/lr_2e-05")
        if name in paths:
            raise UserError(f"--checkpoints {item}: the name {name} is given twice")
        paths[name] = path
    return paths


def evaluate(candidate: Candidate) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs the model once on all functions: logits `[N, C]`, labels `[N]` (or `[N, C]`) and counts `[N, 4 + L]`.

    The counts are those of `FlopsMeter.last`. Of a function in several windows the logits are those of the window with
    the highest probability of class 1, and the counts are summed.
    """
    from ltp_pipeline.model.flops_meter import FlopsMeter
    from ltp_pipeline.model.window_logits import best_windows, functions_of, summed_windows

    tokens = candidate.tokens
    logits, counts = [], []
    with FlopsMeter(candidate.model) as meter, torch.inference_mode():
        for batch in candidate.batches:
            logits.append(candidate.model(**batch).logits.float().cpu().numpy())
            counts.append(meter.last)
    back = np.argsort(candidate.order)
    logits, counts = np.concatenate(logits)[back], np.concatenate(counts)[back]
    labels, functions = np.array(tokens["labels"]), functions_of(tokens)
    if functions is not None:
        best = best_windows(logits, functions)
        logits, labels, counts = logits[best], labels[best], summed_windows(counts, functions)
    return logits, labels, counts


def _measure(
    candidate: Candidate, frame: pd.DataFrame, task: Task, resamples: int
) -> tuple[dict[str, Any], np.ndarray, dict[str, np.ndarray]]:
    """Metrics and compute of one pass over all batches, which also warms the model up; what is predicted; `resampled`.

    Args:
        frame: the functions.
        resamples: from how many draws of the functions intervals are computed; 0: there are none.
    """
    from ltp_pipeline.data.truncation import full_lengths
    from ltp_pipeline.files.layouts import all_pairs_of
    from ltp_pipeline.model.flops_meter import summary
    from ltp_pipeline.task.decision import predictions_of, stored_threshold

    model, tokens = candidate.model, candidate.tokens
    logits, labels, counts = evaluate(candidate)
    threshold, pairs = stored_threshold(model.config), all_pairs_of(frame)
    predicted = predictions_of(task, logits, threshold)
    draws = resampled(task, logits, labels, threshold, pairs, resamples, SEED)
    values = {
        **task.measure(logits, labels, threshold),
        **breakdown(task, logits, labels, threshold, full_lengths(tokens), pairs),
        **intervals(draws),
        **summary(counts),
    }
    if candidate.scoring is not None:
        scores = candidate.scoring.scores(model, frame)
        values |= measures_of(scores, frame, positive_scores(logits), predicted, full_lengths(tokens))
    return values, predicted, draws


def interleaved_seconds(candidates: dict[str, Candidate], rounds: int) -> dict[str, list[float]]:
    """The seconds that each model takes for all its batches, in each round."""
    seconds = {name: [0.0] * rounds for name in candidates}
    # Checkpoints with different tokenizers may have different numbers of batches.
    count = max(len(candidate.batches) for candidate in candidates.values())
    with progress_bar(total=rounds * count, desc="timing", unit="batch") as bar:
        for r in range(rounds):
            for i in range(count):
                names = list(candidates)
                shift = (r + i) % len(names)  # no checkpoint is always the first
                for name in names[shift:] + names[:shift]:
                    model, batches = candidates[name].model, candidates[name].batches
                    if i < len(batches):
                        start = time.perf_counter()
                        model(**batches[i]).logits.cpu()  # waits until a GPU is done
                        seconds[name][r] += time.perf_counter() - start
                bar.update()
    return seconds


if __name__ == "__main__":
    run_main(main)
