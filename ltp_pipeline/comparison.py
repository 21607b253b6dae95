"""Checkpoints side by side on the same functions: quality, compute, and speed measured in one run.

    python -m ltp_pipeline.comparison --checkpoints fine-tuned=code_test hard=CKPT --test_file Data/test.csv

Speed is the forward pass alone (no tokenizing, no reading): batch by batch, all checkpoints in turn, in several
rounds. The rates are medians over rounds; the ratio to the first checkpoint is the median of each round's own.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_csv, write_json
from ltp_pipeline.data.batches import EVAL_HELP, sorted_batches
from ltp_pipeline.data.flags import TruncationArguments, add_flags
from ltp_pipeline.model.precision import AUTO, BF16_HELP, DTYPES, chosen_dtype, hold_in, name_of
from ltp_pipeline.model.precision import HELP as DTYPE_HELP
from ltp_pipeline.task.tasks import CODE, GLUE_NAMES, Task, find_task

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "checkpoint": "checkpoint",
    "accuracy": "accuracy",
    "f1": "F1",
    "auc": "AUC",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "matthews_correlation": "Matthews",
    "pearson": "Pearson",
    "spearmanr": "Spearman",
    "relative_flops": "rel. FLOPs",
    "full_relative_flops": "full rel. FLOPs",
    "functions_per_second": "functions/s",
    "speedup": "speedup",
    "tokens_kept_per_layer": "tokens kept per layer",
}


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None: the process's."""
    args = _parser().parse_args(argv)
    import pandas as pd

    from ltp_pipeline.data.readers import read_labelled
    from ltp_pipeline.model.checkpoints import check_checkpoint

    task = find_task(args.task_name, "--task_name")
    paths = _named_checkpoints(args.checkpoints)
    for path in paths.values():
        check_checkpoint(path, "--checkpoints")
    for flag in ("batch_size", "max_tokens_per_batch", "rounds"):
        if getattr(args, flag) is not None and getattr(args, flag) < 1:
            raise UserError(f"--{flag} {getattr(args, flag)}: expected 1 or more")
    frame = read_labelled(args.test_file, task, args, flag="--test_file")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = chosen_dtype(args.dtype, args.bf16, device)
    batches = {"max_tokens": args.max_tokens_per_batch, "size": args.batch_size}
    rows = compare(paths, frame, args.max_length, batches, args.rounds, dtype, device, task, args)
    write_json(Path(args.output_dir) / "comparison.json", {"test_file": args.test_file, "checkpoints": rows})
    write_csv(Path(args.output_dir) / "comparison.csv", pd.DataFrame(rows))
    shown = {name: heading for name, heading in COLUMNS.items() if any(name in row for row in rows)}
    print(format_table([{heading: row.get(name) for name, heading in shown.items()} for row in rows]))
    print(f"written: {args.output_dir}/comparison.json, {args.output_dir}/comparison.csv")


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
) -> list[dict]:
    """
    Args:
        paths: name to folder of each checkpoint; the first is what the others are compared with.
        frame: functions, or items of `task`, as `read_labelled` gives them.
        max_length: tokens after which functions are cut.
        sizes: of the batches; arguments of `sorted_batches`.
        dtype: of weights and products, on `device`.
        truncation: what is read of longer functions; None: what each checkpoint was trained with.

    Returns:
        For each checkpoint its name, path, metrics, compute (`FlopsMeter`), `functions_per_second` and `speedup`.

    Raises:
        UserError: a checkpoint that is no Longformer or LTP classifier, not for `task`, or too short for `max_length`.
    """
    from ltp_pipeline.data.tokenization import tokenize
    from ltp_pipeline.data.truncation import choose_truncation, sequence_length, truncation_report
    from ltp_pipeline.model.checkpoints import check_tokenizer_fits, load_pruning_model, load_tokenizer

    models, tokens, batches, orders = {}, {}, {}, {}
    for name, path in paths.items():
        models[name] = hold_in(_own_pruning(load_pruning_model, path).eval(), dtype).to(device)
        if models[name].config.num_labels != task.num_labels:
            raise UserError(
                f"--checkpoints {path}: has {models[name].config.num_labels} classes and --task_name {task.name} "
                f"{task.num_labels}; expected checkpoints of that task"
            )
        tokenizer = load_tokenizer(path, flag="--checkpoints")
        check_tokenizer_fits(tokenizer, models[name].config, flag=f"--checkpoints {path}")
        length = sequence_length(max_length, models[name].config, tokenizer)
        config = models[name].config
        cut = choose_truncation(truncation or TruncationArguments(), config, task, tokenizer, length)
        tokens[name] = tokenize(frame, tokenizer, length, task, config.type_vocab_size > 1, cut)
        batches[name], orders[name] = _batches(tokens[name], tokenizer, sizes, device)
    with torch.inference_mode():
        rows = [
            {
                "checkpoint": name,
                "path": str(path),
                "dtype": name_of(dtype),
                **_quality(models[name], batches[name], orders[name], tokens[name], task),
                **truncation_report(tokens[name]),
            }
            for name, path in paths.items()
        ]
        seconds = _interleaved_seconds(models, batches, rounds)
    first = next(iter(paths))
    for row in rows:
        own = seconds[row["checkpoint"]]
        row["functions_per_second"] = len(frame) / statistics.median(own)
        row["speedup"] = statistics.median(a / b for a, b in zip(seconds[first], own, strict=True))
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ltp_pipeline.comparison",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--checkpoints", nargs="+", required=True, metavar="NAME=FOLDER", help="the first is the one compared with"
    )
    parser.add_argument("--test_file", required=True, help="functions, with columns functionSource and label")
    add_flags(parser)
    add_flags(parser, TruncationArguments)
    parser.add_argument("--task_name", default="code", help=f"code, vdisc, or of GLUE {', '.join(GLUE_NAMES)}")
    parser.add_argument("--output_dir", default="comparison", help="folder for comparison.json and comparison.csv")
    parser.add_argument("--max_length", type=int, default=1024, help="cut functions after this many tokens")
    parser.add_argument("--batch_size", type=int, help="functions in a batch (default: see --max_tokens_per_batch)")
    parser.add_argument("--max_tokens_per_batch", type=int, help=EVAL_HELP)
    parser.add_argument("--rounds", type=int, default=3, help="timed passes over all functions")
    parser.add_argument("--dtype", choices=DTYPES, default=AUTO, help=f"what is computed in: {DTYPE_HELP}")
    parser.add_argument("--bf16", action="store_true", default=None, help=BF16_HELP)
    return parser


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


def _own_pruning(load, path: str):
    """The checkpoint as it is: a plain Longformer does not prune."""
    from ltp_pipeline.model.checkpoints import load_config

    overrides = {} if load_config(path, flag="--checkpoints").model_type == "ltp" else {"prune_mode": None}
    return load(path, flag="--checkpoints", **overrides)


def _batches(tokens, tokenizer, sizes: dict[str, int | None], device) -> tuple[list[dict], np.ndarray]:
    """Batches of the rows that `tokenize` gives by length, longest first, and the order `[W]` they are in."""
    chosen, batches = sorted_batches(tokens["length"], **sizes), []
    for indices in chosen:
        rows = tokens[indices]
        fields = {name: values for name, values in rows.items() if name in tokenizer.model_input_names}
        batches.append(tokenizer.pad(fields, return_tensors="pt").to(device))
    return batches, np.concatenate(chosen)


def _quality(model, batches: list[dict], order: np.ndarray, tokens, task: Task) -> dict:
    """Metrics and compute of one pass, which also warms the model up. `order` `[W]`: of the rows of `tokens`."""
    from ltp_pipeline.model.flops_meter import FlopsMeter, summary
    from ltp_pipeline.model.window_logits import best_windows, functions_of, summed_windows
    from ltp_pipeline.task.decision import stored_threshold

    meter, logits, counts = FlopsMeter(model), [], []
    for batch in batches:
        logits.append(model(**batch).logits.float().cpu().numpy())
        counts.append(meter.last)
    meter.close()
    back = np.argsort(order)
    logits, counts = np.concatenate(logits)[back], np.concatenate(counts)[back]
    labels, functions = np.array(tokens["labels"]), functions_of(tokens)
    if functions is not None:
        best = best_windows(logits, functions)
        logits, labels, counts = logits[best], labels[best], summed_windows(counts, functions)
    return {**task.measure(logits, labels, stored_threshold(model.config)), **summary(counts)}


def _interleaved_seconds(models: dict, batches: dict[str, list], rounds: int) -> dict[str, list[float]]:
    """Seconds that each model takes for all its batches, a number a round."""
    from tqdm.auto import tqdm

    seconds = {name: [0.0] * rounds for name in models}
    count = max(map(len, batches.values()))  # a checkpoint with its own tokenizer has its own batches
    interval = 0.2 if sys.stderr.isatty() else 30
    with tqdm(total=rounds * count, desc="timing", unit="batch", mininterval=interval) as bar:
        for r in range(rounds):
            for i in range(count):
                names = list(models)
                shift = (r + i) % len(names)  # none is always first
                for name in (name for name in names[shift:] + names[:shift] if i < len(batches[name])):
                    start = time.perf_counter()
                    models[name](**batches[name][i]).logits.cpu()  # waits for a GPU to finish
                    seconds[name][r] += time.perf_counter() - start
                bar.update()
    return seconds


if __name__ == "__main__":
    run_main(main)
