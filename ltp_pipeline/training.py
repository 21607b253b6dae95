"""Training and evaluating a sequence classifier on functions, and what is written about it."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pandas as pd
import transformers
from transformers import DataCollatorWithPadding, EvalPrediction, PrinterCallback, TrainerCallback, set_seed

from ltp_pipeline.arguments import DataArguments
from ltp_pipeline.checkpoints import position_limit
from ltp_pipeline.compute import FlopsMeter
from ltp_pipeline.data import read_functions
from ltp_pipeline.errors import UserError
from ltp_pipeline.metrics import classification_metrics, positive_scores
from ltp_pipeline.reports import format_table, write_csv, write_json
from ltp_pipeline.result_folder import CHECKPOINTS
from transformer_revised import LTPTrainer, LTPTrainingArguments

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_MAX_SEQ_LENGTH = 1024
# metric: its heading in the table
TABLE = {
    "accuracy": "accuracy",
    "f1": "F1",
    "recall": "recall",
    "precision": "precision",
    "false_alarm_rate": "false alarms",
    "auc": "AUC",
    "loss": "loss",
    "relative_flops": "relative FLOPs",
    "samples_per_second": "functions/s",
    "seconds_per_sample": "s/function",
}


class ProgressLines(TrainerCallback):
    """Where no terminal shows a bar: a line at every log, with the rate and the end."""

    def on_train_begin(self, args, state, control, **kwargs):
        self.start = time.monotonic()
        self.first_step = state.global_step

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        rate = (state.global_step - self.first_step) / max(time.monotonic() - self.start, 1e-9)
        left = (state.max_steps - state.global_step) / rate if rate else float("inf")
        shown = [f"{name} {value:.4g}" for name, value in logs.items() if isinstance(value, float) and name != "epoch"]
        print(
            f"step {state.global_step}/{state.max_steps} ({rate:.2f} steps/s, {left:.0f} s left): {', '.join(shown)}",
            flush=True,
        )


def prepare_process(args: LTPTrainingArguments) -> None:
    """Seeds everything, and leaves the library's bars out where `args` does."""
    set_seed(args.seed)
    if args.disable_tqdm:
        datasets.disable_progress_bars()
        transformers.utils.logging.disable_progress_bar()


def read_splits(data: DataArguments, wanted: dict[str, str | None]) -> dict[str, pd.DataFrame]:
    """Reads the files of the splits wanted.

    Args:
        data: names the columns and how many functions are used.
        wanted: split ("train", "eval" or "test") to file; None where the flag was not given.

    Raises:
        UserError: a file that was not given or is bad; see `read_functions`.
    """
    flags = {"train": "--train_file", "eval": "--validation_file", "test": "--test_file"}
    splits = {}
    for split, path in wanted.items():
        if path is None:
            raise UserError(f"{flags[split]} is missing; expected a CSV or JSON lines file of labelled functions")
        frame = read_functions(
            path,
            name=flags[split],
            text_column=data.text_column,
            label_column=data.label_column,
            need_both_classes=split == "train",
        )
        limit = getattr(data, f"max_{split}_samples")
        splits[split] = frame if limit is None else frame.head(limit)
        if split == "train" and splits[split]["label"].nunique() == 1:
            raise UserError(
                f"--max_train_samples {limit}: the first {limit} functions of {path} are of one class only"
            )
    return splits


def sequence_length(given: int | None, config: "PreTrainedConfig", tokenizer: "PreTrainedTokenizerBase") -> int:
    """Tokens after which functions are cut: `--max_seq_length`, or the most that checkpoint and tokenizer are for.

    Raises UserError for a length that the model has no positions for.
    """
    limit = position_limit(config)
    if given is None:
        return min(limit or DEFAULT_MAX_SEQ_LENGTH, tokenizer.model_max_length, DEFAULT_MAX_SEQ_LENGTH)
    if given < 3:
        raise UserError(f"--max_seq_length {given}: expected 3 or more: <s>, a token and </s>")
    if limit is not None and given > limit:
        raise UserError(f"--max_seq_length {given}: expected at most {limit}, the positions that the model has")
    return given


def make_trainer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    args: LTPTrainingArguments,
    data: dict[str, "Dataset"],
) -> LTPTrainer:
    """A trainer that measures classification and, for an LTP model, compute at every evaluation."""
    trainer = LTPTrainer(
        model=model,
        args=args,
        train_dataset=data.get("train"),
        eval_dataset=data.get("eval"),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=_metrics_of(model),
        preprocess_logits_for_metrics=_logits_only,
    )
    if args.disable_tqdm:
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(ProgressLines)
    return trainer


def _metrics_of(model: "PreTrainedModel") -> Callable[[EvalPrediction], dict[str, Any]]:
    meter = FlopsMeter(model) if model.config.model_type == "ltp" else None

    def compute_metrics(evaluated: EvalPrediction) -> dict[str, Any]:
        metrics = classification_metrics(evaluated.predictions, evaluated.label_ids)
        if meter is None:
            return metrics
        thresholds = pruning_thresholds(model)
        return metrics | meter.pop() | ({"thresholds_per_layer": thresholds} if thresholds else {})

    return compute_metrics


def pruning_thresholds(model: "PreTrainedModel") -> list[float]:
    """The threshold of every layer of an LTP model, its learned part included; [] for one that has none."""
    thresholds = [getattr(module, "threshold", None) for module in model.modules()]
    return [threshold.item() for threshold in thresholds if threshold is not None]


def _logits_only(logits: Any, labels: Any) -> Any:
    """[B, 2] whatever else a model returns."""
    return logits[0] if isinstance(logits, tuple) else logits


def train(trainer: LTPTrainer) -> dict[str, Any]:
    """Trains and returns the library's metrics, `train_loss`, `train_runtime` and so on.

    Raises UserError for a checkpoint to resume from that is not there.
    """
    resume = trainer.args.resume_from_checkpoint
    if resume is not None and not (Path(resume) / "trainer_state.json").is_file():
        raise UserError(f"--resume_from_checkpoint {resume}: expected a checkpoint-N folder with trainer_state.json")
    metrics = trainer.train(resume_from_checkpoint=resume).metrics
    return metrics | {"train_samples": len(trainer.train_dataset)}


def evaluate(trainer: LTPTrainer, dataset: "Dataset", split: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """Evaluates on all of `dataset`.

    Returns:
        Metrics under `<split>_` names: those of `classification_metrics` and, for an LTP model, `FlopsMeter` and
        thresholds_per_layer; loss, runtime, samples_per_second, seconds_per_sample. And the predictions in order:
        label, prediction, score (the probability of class 1).

    Raises:
        UserError: the model no longer computes numbers.
    """
    output = trainer.predict(dataset, metric_key_prefix=split)
    if not np.isfinite(output.predictions).all():
        raise UserError("the model computes no finite numbers; expected a checkpoint, or a learning rate, that works")
    metrics = dict(output.metrics)
    metrics[f"{split}_seconds_per_sample"] = metrics[f"{split}_runtime"] / len(dataset)
    predictions = pd.DataFrame(
        {
            "label": output.label_ids,
            "prediction": np.asarray(output.predictions).argmax(axis=-1),
            "score": positive_scores(output.predictions),
        }
    )
    return metrics, predictions


def run(trainer: LTPTrainer, data: dict[str, "Dataset"], folder: Path, final: Path) -> dict[str, Any]:
    """Trains if there is a "train" data set, evaluates on "eval" and "test", and writes everything into `folder`.

    Written are `train_results.json`, `eval_results.json`, `test_results.json`, `all_results.json`,
    `predictions.csv`, `test_predictions.csv`; after training also model, tokenizer, `training_args.bin` and
    `trainer_state.json` with the log. Checkpoints of the way are removed unless they were asked for.

    Args:
        final: where `folder` will be in the end, for what is written about it.

    Returns:
        All metrics, as in `all_results.json`.
    """
    results: dict[str, Any] = {}
    writes = trainer.is_world_process_zero()
    if "train" in data:
        results["train"] = train(trainer)
        _save(trainer, folder, final)
    for split in ("eval", "test"):
        if split in data:
            results[split], predictions = evaluate(trainer, data[split], split)
            if writes:
                write_csv(folder / ("predictions.csv" if split == "eval" else "test_predictions.csv"), predictions)
    everything = {name: value for metrics in results.values() for name, value in metrics.items()}
    if writes:
        for split, metrics in results.items():
            write_json(folder / f"{split}_results.json", metrics)
        write_json(folder / "all_results.json", everything)
    return everything


def _save(trainer: LTPTrainer, folder: Path, final: Path) -> None:
    trainer.args.output_dir = str(final)
    trainer.state.best_model_checkpoint = None  # a path inside `folder`, which moves
    trainer.save_model(str(folder))
    if trainer.is_world_process_zero():
        trainer.state.save_to_json(str(folder / "trainer_state.json"))
        if not trainer.args.keep_checkpoints:
            for checkpoint in folder.glob(CHECKPOINTS):
                shutil.rmtree(checkpoint)


def metrics_table(results: dict[str, Any]) -> str:
    """The metrics of every evaluated split as a table, a line each."""
    rows = []
    for split in ("eval", "test"):
        if f"{split}_loss" in results:
            rows.append({"": split} | {heading: results.get(f"{split}_{name}") for name, heading in TABLE.items()})
    return format_table(rows)
