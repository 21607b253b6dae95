"""Measures what a taught ranking costs: the teacher's pass over the training data, and epochs with a teacher.

    python -m benchmarks.rank_teachers --restore demo_output/code_test --target_flops 0.4 \\
        --train_file demo_output/data/train_subset.csv --max_train_samples 200

The flags are those of `run_code_metrics.py`. Timed are an epoch of soft and one of hard training, each without a
teacher and with the column that the teacher's pass makes, a soft epoch with each teacher for each batch, and the pass
of each teacher over the same functions. With `--target_flops` the hard epochs prune to this budget. All take turns in
each of `--rounds` rounds. Prints medians. A share is a time over that without a teacher in the same round.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformers.hf_argparser import HfArg

from benchmarks.speed.timing import Limits, TimedRun, median_and_range, round_ratios, time_in_rounds
from ltp_pipeline.base.errors import run_main
from ltp_pipeline.base.files import format_table
from ltp_pipeline.base.threads import use_threads
from ltp_pipeline.data.flags import DataArguments
from ltp_pipeline.training.arguments import StageArguments, StageTrainingArguments, with_values

if TYPE_CHECKING:
    from ltp_pipeline.training.trainer import ClassifierTrainer

MODES = ("soft", "hard")


@dataclass
class BenchmarkArguments:
    """How often it is timed."""

    rounds: int = HfArg(default=7, help="Number of rounds.")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process."""
    from ltp_pipeline.training.arguments import parse_training_arguments

    classes = (BenchmarkArguments, StageArguments, DataArguments, StageTrainingArguments)
    benchmark, stage, data, args = parse_training_arguments(classes, argv, __doc__, "-m benchmarks.rank_teachers")
    use_threads(args.num_threads)
    runs, tokens, device = _runs(stage, data, args)
    times = time_in_rounds(runs, benchmark.rounds, Limits(benchmark.rounds, 0, warm_ups=1, short=0.0), device)
    rows = []
    for name, seconds in times.items():
        row = {"run": name, "seconds": f"{median_and_range(seconds)['median']:.2f}"}
        for mode in MODES:
            share = round_ratios(seconds, times[f"{mode} epoch, no teacher"])
            row[f"of a {mode} epoch"] = f"{share['median']:.2f} ({share['min']:.2f} to {share['max']:.2f})"
        rows.append({**row, "ms per 1,000 tokens": f"{median_and_range(seconds)['median'] * 1e6 / tokens:.0f}"})
    print(f"{tokens} tokens, {args.dtype} on {device}, {benchmark.rounds} rounds")
    print(format_table(rows, tuple(rows[0])))


def _runs(stage: StageArguments, data: DataArguments, args: StageTrainingArguments) -> tuple:
    """What is timed, the number of tokens of one epoch, and the device."""
    from ltp_pipeline.data.readers import read_splits
    from ltp_pipeline.data.tokenization import tokenize_splits
    from ltp_pipeline.data.truncation import sequence_length
    from ltp_pipeline.training.rank_column import compute_importance
    from ltp_pipeline.training.starts import PruningStage
    from ltp_pipeline.training.trainer import make_trainer
    from transformer_revised.models.ltp.pruning_ranks import TEACHERS, Teacher

    never = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False, "report_to": []}
    args = with_values(args, masking_mode="soft", rank_distillation=1.0, output_dir="unused", **never)
    start = PruningStage(stage, data, args)
    start.check()
    model, tokenizer = start.load("float32")
    tokenizer.model_max_length = sequence_length(data.max_seq_length, model.config, tokenizer)
    tokens = tokenize_splits(read_splits(data, ["train"], start.task), tokenizer, model.config, start.task, data)

    def trainer(**values: object) -> ClassifierTrainer:
        args_of_run = with_values(args, **values)
        made = make_trainer(copy.deepcopy(model), tokenizer, args_of_run, dict(tokens), start.task)
        if args_of_run.masking_mode == "hard" and args.target_flops is not None:
            made._meet_target()
        return made

    runs = []
    for mode in MODES:
        runs.append(TimedRun(f"{mode} epoch, no teacher", _epoch(trainer(masking_mode=mode, rank_distillation=0.0))))
        taught = trainer(masking_mode=mode)
        taught.train_dataset = taught._make_ranks(taught, "relevance")
        runs.append(TimedRun(f"{mode} epoch, column", _epoch(taught)))
    for name in TEACHERS:
        one = trainer(rank_teacher=name)
        one._teacher = Teacher(one.model, name)
        runs.append(TimedRun(f"soft epoch, {name} on the fly", _epoch(one)))
        runs.append(TimedRun(f"pass, {name}", [lambda one=one, name=name: compute_importance(one, name, "class_1")]))
    return runs, sum(tokens["train"]["length"]), taught.args.device


def _epoch(trainer: ClassifierTrainer) -> list[Callable[[], None]]:
    """One training step, with an update of the weights, for each batch of an epoch."""
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = 1  # which `train` sets otherwise
    model = trainer.accelerator.prepare_model(trainer.model)

    def step(batch: dict) -> None:
        trainer.training_step(model, dict(batch))
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()

    return [lambda batch=batch: step(batch) for batch in trainer.get_train_dataloader()]


if __name__ == "__main__":
    run_main(main)
