"""Training and evaluating a sequence classifier on functions, or on a task of GLUE, and what is written about it."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pandas as pd
import torch
import transformers
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import format_table, write_csv, write_json
from ltp_pipeline.base.result_folder import CHECKPOINTS
from ltp_pipeline.data.readers import FLAGS
from ltp_pipeline.data.truncation import truncation_report
from ltp_pipeline.model.precision import hold_in
from ltp_pipeline.task.decision import drop_threshold, lowest_threshold, predicted_classes, stored_threshold
from ltp_pipeline.task.metrics import positive_scores, probabilities
from ltp_pipeline.task.tasks import CODE, Task, has_labels
from ltp_pipeline.training.arguments import LOWER_IS_BETTER
from ltp_pipeline.training.model_card import write_model_card
from ltp_pipeline.training.pruning_log import layers_line, pruning_thresholds, write_pruning_log
from ltp_pipeline.training.trainer import StageTrainer, check_tokens, mean_loss
from transformer_revised import LTPTrainer, LTPTrainingArguments
from transformer_revised.models.ltp.pruning_budget import UnreachableTargetError

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EVALUATED = tuple(split for split in FLAGS if split != "train")
# metric: its heading in the table
TABLE = {
    "accuracy": "accuracy",
    "f1": "F1",
    "recall": "recall",
    "precision": "precision",
    "false_alarm_rate": "false alarms",
    "auc": "AUC",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "macro_auc": "macro AUC",
    "matthews_correlation": "Matthews",
    "pearson": "Pearson",
    "spearmanr": "Spearman",
    "loss": "loss",
    "relative_flops": "relative FLOPs",
    "samples_per_second": "functions/s",
    "seconds_per_sample": "s/function",
    "dtype": "dtype",
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
        if layers_line(logs):
            print(f"  {layers_line(logs)}", flush=True)


def prepare_process(args: LTPTrainingArguments) -> None:
    """Seeds everything, and leaves the library's bars out where `args` does."""
    set_seed(args.seed)
    if args.disable_tqdm:
        datasets.disable_progress_bars()
        transformers.utils.logging.disable_progress_bar()


def follow_task(args: LTPTrainingArguments, task: Task) -> None:
    """Sets what the best step is best in, where no flag did. Raises UserError for flags that `task` cannot have."""
    if args.metric_for_best_model is None:
        args.metric_for_best_model = task.metrics[0]
        args.greater_is_better = True if args.greater_is_better is None else args.greater_is_better
    measured = dict.fromkeys((*task.metrics, *LOWER_IS_BETTER))
    if task is not CODE:
        del measured["false_alarm_rate"]
    if args.metric_for_best_model.removeprefix("eval_") not in measured:
        raise UserError(
            f"--metric_for_best_model {args.metric_for_best_model}: {task.name} is measured in {', '.join(measured)}"
        )
    of_classes = {"--label_smoothing": args.label_smoothing_factor, "--class_weights": args.class_weights != "none"}
    for flag, given in of_classes.items():
        if task.is_regression and given:
            raise UserError(f"{flag}: {task.name} predicts a number; expected a task of classes")
        if task.multi_label and given:
            raise UserError(f"{flag}: {task.name} has several labels at once; expected a task of one class an item")


def hold_for_evaluation(model: "PreTrainedModel", args: LTPTrainingArguments) -> None:
    """Where nothing is trained bfloat16 is the dtype of the weights themselves, and the trainer casts nothing."""
    if args.bf16:
        hold_in(model, torch.bfloat16)
        args.bf16, args.mixed_precision = False, "no"


def make_trainer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    args: LTPTrainingArguments,
    data: dict[str, "Dataset"],
    task: Task,
) -> LTPTrainer:
    """A trainer that measures what `task` does and, for an LTP model, compute at every evaluation."""
    check_tokens(args.max_tokens_per_batch, data)
    if args.target_flops is not None and model.config.model_type != "ltp":
        raise UserError(
            f"--target_flops {args.target_flops}: a {model.config.model_type} does not prune; expected an LTP "
            "checkpoint, or run_code_metrics.py, which makes one"
        )
    if "train" in data:
        drop_threshold(model.config, chosen_again=args.max_false_alarm is not None)
    weighs = "train" in data and args.class_weights == "balanced"
    trainer = StageTrainer(
        model=model,
        args=args,
        train_dataset=data.get("train"),
        eval_dataset=data.get("eval"),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=_metrics_of(model, task),
        class_weights=balanced_weights(data["train"]["labels"], task) if weighs else None,
    )
    if args.early_stopping_patience is not None:
        trainer.add_callback(EarlyStoppingCallback(args.early_stopping_patience, args.early_stopping_threshold))
    if args.disable_tqdm:
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(ProgressLines)
    return trainer


def balanced_weights(labels: list[int], task: Task) -> list[float]:
    """Weight of each class: so that all that occur have the same share of the loss; their mean over items is 1."""
    counts = np.bincount(labels, minlength=task.num_labels)
    shares = counts / len(labels) * np.count_nonzero(counts)
    return np.divide(1.0, shares, out=np.zeros(len(counts)), where=counts > 0).tolist()


def _metrics_of(model: "PreTrainedModel", task: Task) -> Callable[[EvalPrediction], dict[str, Any]]:
    def compute_metrics(evaluated: EvalPrediction) -> dict[str, Any]:
        decision, thresholds = stored_threshold(model.config), pruning_thresholds(model)
        metrics = task.measure(evaluated.predictions, evaluated.label_ids, decision)
        if decision is not None:
            metrics["decision_threshold"] = decision
        return metrics | ({"thresholds_per_layer": thresholds} if thresholds else {})

    return compute_metrics


def train(trainer: LTPTrainer) -> dict[str, Any]:
    """Trains and returns the library's metrics, `train_loss`, `train_runtime` and so on.

    `train_loss` is the mean over all steps; the times are those since the start, or since it was last resumed.
    """
    try:
        metrics = trainer.train(resume_from_checkpoint=trainer.args.resume_from_checkpoint).metrics
    except UnreachableTargetError as error:
        raise UserError(f"--target_flops: {error}") from error
    history = trainer.state.log_history
    metrics["train_loss"] = history[-1]["train_loss"] = mean_loss(history)
    return metrics | {"train_samples": len(trainer.train_dataset), "train_dtype": trainer.args.dtype}


def evaluate(trainer: LTPTrainer, dataset: "Dataset", split: str, task: Task) -> tuple[dict[str, Any], pd.DataFrame]:
    """Evaluates on all of `dataset`. With `--max_false_alarm`, "eval" chooses the model's decision threshold first.

    Returns:
        Metrics under `<split>_` names: those of `task`, and the loss, if the rows have labels; for an LTP model
        `FlopsMeter` and thresholds_per_layer; runtime, samples_per_second, seconds_per_sample. And the predictions in
        order, see `predictions_table`; with each one's row in the file where rows of that were left out.

    Raises:
        UserError: the model no longer computes numbers.
    """
    output = trainer.predict(dataset, metric_key_prefix=split)
    if not np.isfinite(output.predictions).all():
        raise UserError("the model computes no finite numbers; expected a checkpoint, or a learning rate, that works")
    metrics, config = dict(output.metrics), trainer.model.config
    if split == "eval" and trainer.args.max_false_alarm is not None:
        scores = positive_scores(output.predictions)
        config.decision_threshold = lowest_threshold(scores, output.label_ids, trainer.args.max_false_alarm)
        measured = task.measure(output.predictions, output.label_ids, config.decision_threshold)
        measured["decision_threshold"] = config.decision_threshold
        metrics.update({f"{split}_{name}": value for name, value in measured.items()})
    if not has_labels(output.label_ids):
        metrics.pop(f"{split}_loss", None)
    functions, seconds = len(output.predictions), metrics[f"{split}_runtime"]
    if functions < len(dataset):  # those read in windows
        metrics[f"{split}_samples_per_second"] = round(functions / seconds, 3)
    metrics[f"{split}_seconds_per_sample"] = seconds / functions
    metrics[f"{split}_dtype"] = trainer.args.dtype
    predictions = predictions_table(task, output.predictions, output.label_ids, stored_threshold(config))
    rows = np.unique(dataset["row"])
    if rows[-1] >= len(rows):  # some were left out
        predictions.insert(0, "row", rows + 1)
    return metrics, predictions


def predictions_table(
    task: Task, logits: np.ndarray, labels: np.ndarray, threshold: float | None = None
) -> pd.DataFrame:
    """A line a row: label, if there are any, prediction, and the probability of class 1, `score`.

    With a threshold, class 1 is predicted where its probability is above that.
    Of more than two classes it is a `score_<name>` each, of a task that predicts numbers none. Where an item has
    several labels at once, label and prediction are their names.
    """
    if task.multi_label:
        return _groups_table(task, logits, labels)
    table = pd.DataFrame({"label": labels} if has_labels(labels) else {})
    if task.is_regression:
        return table.assign(prediction=logits[:, 0].astype(float))
    table["prediction"] = predicted_classes(logits, threshold if task is CODE else None)
    if task.num_labels == 2:
        return table.assign(score=positive_scores(logits))
    scores = probabilities(logits)
    return table.assign(**{f"score_{name}": scores[:, i] for i, name in enumerate(task.labels)})


def _groups_table(task: Task, logits: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    def names(rows: np.ndarray) -> list[str]:
        return [" ".join(name for name, positive in zip(task.labels, row) if positive) for row in rows]

    table = pd.DataFrame({"label": names(labels > 0)} if has_labels(labels) else {}, index=range(len(logits)))
    scores = 1 / (1 + np.exp(-np.clip(np.asarray(logits, dtype=np.float64), -700, 700)))
    scored = {f"score_{name}": scores[:, i] for i, name in enumerate(task.labels)}
    return table.assign(prediction=names(logits > 0), **scored)


def run(
    trainer: LTPTrainer,
    data: dict[str, "Dataset"],
    folder: Path,
    final: Path,
    task: Task,
    described: list[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Trains if there is a "train" data set, evaluates on the others, and writes everything into `folder`.

    Written are `train_results.json`, `eval_results.json`, `test_results.json`, `all_results.json`,
    `predictions.csv`, `test_predictions.csv`, for mismatched splits in the same way; after training also model,
    tokenizer, `training_args.bin`, `trainer_state.json` with the log, `pruning_log.csv` and the model card,
    `README.md`. Checkpoints of the way are removed unless
    they were asked for.

    Args:
        final: where `folder` will be in the end, for what is written about it.
        described: what the splits are, for the model card; see `describe_splits`.

    Returns:
        All metrics, as in `all_results.json`.
    """
    results: dict[str, Any] = {}
    writes = trainer.is_world_process_zero()
    if "train" in data:
        results["train"] = train(trainer)
        _save(trainer, folder, final)
    for split in EVALUATED:
        if split in data:
            results[split], predictions = evaluate(trainer, data[split], split, task)
            if writes:
                write_csv(folder / f"{split}_predictions.csv".removeprefix("eval_"), predictions)
    if writes and "train" in data and stored_threshold(trainer.model.config) is not None:
        trainer.model.config.save_pretrained(folder)
    for split, metrics in results.items():
        metrics.update({f"{split}_{name}": value for name, value in truncation_report(data[split]).items()})
    for entry in described:
        if entry["skipped_rows"] and entry["split"] in results:
            results[entry["split"]][f"{entry['split']}_skipped_rows"] = entry["skipped_rows"]
    everything = {name: value for metrics in results.values() for name, value in metrics.items()}
    if writes:
        for split, metrics in results.items():
            write_json(folder / f"{split}_results.json", metrics)
        write_json(folder / "all_results.json", everything)
        if "train" in data:
            write_model_card(folder, trainer.model.config, everything, described, task, trainer.args.command)
        if "train" in data and not trainer.args.keep_checkpoints:
            for checkpoint in folder.glob(CHECKPOINTS):
                shutil.rmtree(checkpoint)
    return everything


def _save(trainer: LTPTrainer, folder: Path, final: Path) -> None:
    trainer.args.output_dir = str(final)
    trainer.state.best_model_checkpoint = None  # a path inside `folder`, which moves
    trainer.save_model(str(folder))
    trainer.accelerator.wait_for_everyone()  # others may still read the best checkpoint
    if trainer.is_world_process_zero():
        trainer.state.save_to_json(str(folder / "trainer_state.json"))
        write_pruning_log(folder / "pruning_log.csv", trainer.state.log_history)


def metrics_table(results: dict[str, Any]) -> str:
    """The metrics of every evaluated split as a table, a line each."""
    splits = [split for split in EVALUATED if f"{split}_runtime" in results]
    shown = {name: heading for name, heading in TABLE.items() if any(f"{split}_{name}" in results for split in splits)}
    return format_table(
        [
            {"": split} | {heading: results.get(f"{split}_{name}") for name, heading in shown.items()}
            for split in splits
        ]
    )
