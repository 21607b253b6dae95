"""Measures whether resident memory stays flat in long runs: fine-tuning, soft pruning, hard pruning and evaluation.

    python -m benchmarks.memory --steps 2000 --output_dir memory

Each run trains or evaluates a new model on random functions of mixed lengths, in a process of its own. The resident
memory of that process is read after every step. `growth` compares the median of the last tenth of the readings with
the median of the second tenth, because the first tenth still fills buffers. Writes memory.json, memory.csv (all
readings) and memory.png.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, machine_facts, make_output_folder, make_parser, save_figure, software_versions
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_csv, write_json
from ltp_pipeline.base.flags import check_positive

RUNS = ("fine-tuning", "soft", "hard", "evaluation")
MIB = 2**20
WARM_UP = 20  # steps for which `growth` has no number: a tenth of the readings must be 2 at least


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process."""
    parser = make_parser("benchmarks.memory", __doc__)
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), help="what to run")
    parser.add_argument("--steps", type=int, default=2000, help="steps of a training; batches of an evaluation")
    parser.add_argument("--minutes", type=float, help="end each run after this time, even if steps are left")
    parser.add_argument("--layers", type=int, default=6, help="layers of the model")
    parser.add_argument("--hidden_size", type=int, default=256, help="width of the model, a multiple of 64")
    parser.add_argument("--batch_size", type=int, default=16, help="functions in a batch")
    parser.add_argument("--max_length", type=int, default=512, help="tokens of the longest function")
    parser.add_argument("--seed", type=int, default=1, help="seed of weights and functions")
    parser.add_argument("--output_dir", type=Path, default=Path("memory"), help="folder for the files")
    parser.add_argument("--readings", type=Path, help=argparse.SUPPRESS)  # the process of one run writes here
    args = parser.parse_args(argv)
    check_positive(args, "steps", "layers", "batch_size", "max_length")
    if args.steps < WARM_UP:
        raise UserError(f"--steps {args.steps}: too few to compare early and late steps; expected {WARM_UP} or more")
    if args.hidden_size < 64 or args.hidden_size % 64:
        raise UserError(f"--hidden_size {args.hidden_size}: expected a multiple of 64")
    if args.readings is not None:
        write_json(args.readings, read_memory(args, args.runs[0]))
        return
    make_output_folder(args.output_dir)
    _measure_all(args, sys.argv[1:] if argv is None else argv)


def _measure_all(args: argparse.Namespace, argv: list[str]) -> None:
    """Starts one process for each run, and writes the three files."""
    import pandas as pd

    readings: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.runs:
            file = Path(folder, f"{name}.json")
            command = [sys.executable, "-m", "benchmarks.memory", *argv, "--runs", name, "--readings", str(file)]
            if subprocess.run(command, cwd=ROOT).returncode:
                raise UserError(f"the run {name} failed; its message is above")
            readings[name] = json.loads(file.read_text())
            rows = [{"run": name, **growth(values)} for name, values in readings.items()]
            print(format_table(rows), flush=True)
            settings = {name: value for name, value in vars(args).items() if name not in ("output_dir", "readings")}
            facts = {**software_versions(), **machine_facts("cpu")}
            write_json(args.output_dir / "memory.json", {**facts, "settings": settings, "runs": rows})
            table = [{"run": name, **reading} for name, values in readings.items() for reading in values]
            write_csv(args.output_dir / "memory.csv", pd.DataFrame(table))
    _draw(args.output_dir / "memory.png", readings)
    print(f"written: {args.output_dir}/memory.json, memory.csv, memory.png")


def growth(readings: list[dict[str, float]]) -> dict[str, float]:
    """Compares the end of a run with its beginning.

    `readings`: one row per step, with `step`, `seconds` since the first step, and `mib`, the resident memory.

    Returns the number of steps and minutes; the median MiB of the second and of the last tenth of the readings; their
    ratio minus 1, `growth`; and the largest reading, `peak_mib`.
    """
    sizes = [reading["mib"] for reading in readings]
    tenth = len(sizes) // 10
    early, late = statistics.median(sizes[tenth : 2 * tenth]), statistics.median(sizes[-tenth:])
    return {
        "steps": len(sizes),
        "minutes": readings[-1]["seconds"] / 60,
        "early_mib": early,
        "late_mib": late,
        "growth": late / early - 1,
        "peak_mib": max(sizes),
    }


def read_memory(args: argparse.Namespace, run: str) -> list[dict[str, float]]:
    """Runs one of `RUNS` in this process. Returns the readings that `growth` describes."""
    import psutil
    import torch
    from transformers import TrainerCallback

    process, began = psutil.Process(), time.monotonic()
    readings = array("d")  # seconds and MiB in turn: compact, because the readings themselves use memory

    class Reader(TrainerCallback):
        def read(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seconds = time.monotonic() - began
            readings.extend((seconds, process.memory_info().rss / MIB))
            if seconds > limit:
                control.should_training_stop = True

        on_step_end = on_prediction_step = read

    limit = math.inf if args.minutes is None else 60 * args.minutes
    torch.manual_seed(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = _make_trainer(args, run, folder)
        trainer.add_callback(Reader())
        if run != "evaluation":
            trainer.train()
        while run == "evaluation" and len(readings) < 2 * args.steps and time.monotonic() - began < limit:
            trainer.predict(trainer.train_dataset)
    pairs = zip(readings[::2], readings[1::2])
    return [{"step": step, "seconds": seconds, "mib": mib} for step, (seconds, mib) in enumerate(pairs, start=1)]


def _make_trainer(args: argparse.Namespace, run: str, folder: str) -> Any:
    """A trainer of a new model on random functions, in the way that the scripts train and evaluate."""
    from ltp_pipeline.training.trainer import ClassifierTrainer
    from transformer_revised import LTPConfig, LTPForSequenceClassification, LTPTrainingArguments

    config = LTPConfig(
        vocab_size=4000,
        hidden_size=args.hidden_size,
        num_hidden_layers=args.layers,
        num_attention_heads=args.hidden_size // 64,
        intermediate_size=4 * args.hidden_size,
        attention_window=64,
        max_position_embeddings=args.max_length + 2,
        prune_mode=None if run == "fine-tuning" else "absolute_threshold",
        score_normalization="rel",
        final_token_threshold=0.8,
        num_labels=2,
    )
    settings = LTPTrainingArguments(
        output_dir=folder,
        max_steps=args.steps,
        per_device_train_batch_size=args.batch_size,
        per_device_eval_batch_size=args.batch_size,
        masking_mode="soft" if run == "soft" else "hard",
        temperature=0.1,
        lambda_threshold=0.1,
        lr_threshold=1e-4,
        learning_rate=1e-5,
        logging_steps=100,
        save_strategy="no",
        report_to="none",
        seed=args.seed,
        use_cpu=True,
        disable_tqdm=not sys.stderr.isatty(),
    )
    # An evaluation runs over all functions again and again: 100 batches each time.
    number = args.batch_size * (100 if run == "evaluation" else args.steps)
    return ClassifierTrainer(
        LTPForSequenceClassification(config),
        settings,
        train_dataset=_random_functions(number, args),
        data_collator=_pad,
        compute_metrics=lambda evaluated: {"mean": float(evaluated.predictions.mean())},
    )


def _random_functions(number: int, args: argparse.Namespace) -> Any:
    """Functions of random tokens; the logarithm of the length is uniform from 8 to `--max_length` tokens."""
    import numpy as np
    from datasets import Dataset

    random = np.random.default_rng(args.seed)
    lengths = np.exp(random.uniform(np.log(min(8, args.max_length)), np.log(args.max_length), number)).astype(int)
    return Dataset.from_dict(
        {
            "input_ids": [[0, *random.integers(3, 4000, length - 1)] for length in lengths],
            "labels": random.integers(0, 2, number).tolist(),
        }
    )


def _pad(functions: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch, padded on the right to its longest function."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    ids = [torch.tensor(function["input_ids"]) for function in functions]
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=1),
        "attention_mask": pad_sequence([torch.ones_like(tokens) for tokens in ids], batch_first=True),
        "labels": torch.tensor([function["labels"] for function in functions]),
    }


def _draw(path: Path, readings: dict[str, list[dict[str, float]]]) -> None:
    """Resident memory over steps, one line for each run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in readings.items():
        axes.plot([value["step"] for value in values], [value["mib"] for value in values], label=name)
    axes.set(xlabel="step", ylabel="resident memory (MiB)", ylim=(0, None))
    axes.legend()
    save_figure(path, figure)


if __name__ == "__main__":
    run_main(main)
