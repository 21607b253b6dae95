"""The one pipeline of both training scripts: check, read, load, tokenize, train, evaluate, report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import transformers

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import write_json
from ltp_pipeline.base.folder_lock import locked
from ltp_pipeline.base.next_commands import show_next
from ltp_pipeline.base.processes import is_main
from ltp_pipeline.base.result_folder import (
    CHECKPOINTS,
    check_addable,
    check_overwrite,
    check_replaceable,
    finish_replacing,
    mark_complete,
    open_folder,
    place_of,
)
from ltp_pipeline.base.threads import use_threads_again
from ltp_pipeline.data.folders import CLASS_NAMES
from ltp_pipeline.data.readers import FLAGS, describe_splits, read_splits, split_place
from ltp_pipeline.data.tokenization import tokenize_splits
from ltp_pipeline.data.truncation import full_lengths, sequence_length, truncation_report
from ltp_pipeline.files.layouts import all_pairs_of
from ltp_pipeline.model.checkpoints import check_tokenizer_fits
from ltp_pipeline.model.precision import INT8
from ltp_pipeline.model.self_contained import make_self_contained
from ltp_pipeline.task.breakdown import breakdown, intervals, resampled
from ltp_pipeline.task.class_counts import check_class_counts
from ltp_pipeline.task.class_names import name_classes
from ltp_pipeline.task.decision import check_max_false_alarm, lowest_threshold, stored_threshold
from ltp_pipeline.task.metrics import positive_scores
from ltp_pipeline.task.tasks import Task, has_labels
from ltp_pipeline.training.arguments import FineTuningArguments, with_values
from ltp_pipeline.training.checks import adapt_to_task, check_numbers
from ltp_pipeline.training.kept import says_what_is_kept
from ltp_pipeline.training.lines import line_scoring, score_lines
from ltp_pipeline.training.lora import add_adapters, check_lora
from ltp_pipeline.training.model_card import write_model_card
from ltp_pipeline.training.model_card_origin import Origin, origin_of
from ltp_pipeline.training.next_stage import next_stage
from ltp_pipeline.training.predictions import check_format, predictions_table, write_predictions
from ltp_pipeline.training.reports import mean_loss, write_pruning_log
from ltp_pipeline.training.resume import checkpoint_to_resume, resumed_result, resumes, resumes_inside
from ltp_pipeline.training.run_record import RunRecord, checkpoint_digest, read_record, settings, tokenizer_digest
from ltp_pipeline.training.starts import Start
from ltp_pipeline.training.trainer import ClassifierTrainer, make_trainer
from ltp_pipeline.view.line_results import LineScoring, has_lines_to_find
from transformer_revised.models.ltp.pruning_budget import UnreachableTargetError

if TYPE_CHECKING:
    import pandas as pd

EVALUATED = tuple(split for split in FLAGS if split != "train")


def run(start: Start) -> dict[str, Any]:
    """Runs fine-tuning, a stage of pruning, or an evaluation, and prints the result.

    Flags, checkpoint and data are checked before the model is loaded. The folder of the result gets:
    predictions.csv, test_predictions.csv (see `write_predictions`), eval_results.json, test_results.json and
    all_results.json (for mismatched splits in the same way); after training also the model, the tokenizer,
    training_args.bin, train_results.json, trainer_state.json (with the log), pruning_log.csv and the model card,
    README.md.

    Returns all metrics, as in all_results.json.
    Raises UserError if a flag, a file or a checkpoint cannot be used, or the model no longer computes finite numbers.
    """
    check_numbers(start.args, start.data)
    args = adapt_to_task(start.args, start.task)
    check_max_false_alarm(args.max_false_alarm, start.task, trains=start.trains, evaluates="eval" in start.splits)
    check_format(args.predictions_format, start.task)
    check_lora(args)
    if start.trains and args.dtype == INT8:
        raise UserError("--dtype int8: is for evaluation; expected float32, bfloat16 or auto for a training")
    output_dir = start.check()
    args = with_values(args, **start.ranks)
    try:
        args.check_checkpoints()  # again: now it is known whether the ranking is taught
    except ValueError as error:
        raise UserError(f"--{error}") from error
    if start.trains:
        check_replaceable(output_dir, start.needed)
    else:
        check_addable(output_dir)
    output_dir = place_of(output_dir)
    with locked(output_dir, args.command, replaces=start.trains):
        results = _run_training(start, args, output_dir) if start.trains else _run(start, args, output_dir)
    if is_main():
        report = start.report(results)
        print(f"\n{report}\n\n{output_dir}" if report else output_dir)
        show_next(next_stage(start, output_dir))
    return results


def _run_training(start: Start, args: FineTuningArguments, output_dir: Path) -> dict[str, Any]:
    """Checks what is in `output_dir` and beside it, then runs `_run`."""
    if finish_replacing(output_dir) and resumes(args):
        print("the interrupted run was complete; its result has been moved into place")
        return json.loads((output_dir / "all_results.json").read_text(encoding="utf-8"))
    check_overwrite(output_dir, args.overwrite_output_dir, resumes_inside(args, output_dir))
    checkpoint = checkpoint_to_resume(args, output_dir)
    if checkpoint is not None:
        earlier = read_record(checkpoint.parent) or {}
        use_threads_again(args.num_threads, earlier.get("machine", {}).get("threads"))
    record = None
    if is_main():
        record = RunRecord(args, checkpoint, start.named_after)
        record.add("settings", settings((*start.arguments, args), start.task))
        record.add("start", {flag: checkpoint_digest(path, flag) for flag, path in start.origin.items()})
        record.add_environment(args)
    with says_what_is_kept(args, output_dir, start.model_flag):
        return _run(start, args, output_dir, checkpoint, record)


def _run(
    start: Start,
    args: FineTuningArguments,
    output_dir: Path,
    checkpoint: Path | None = None,
    record: RunRecord | None = None,
) -> dict[str, Any]:
    """What `run` does after the flags are checked. Returns the results.

    `checkpoint`: to resume from. `record`: what the main process records about a training.
    """
    data, task = start.data, start.task
    frames = read_splits(data, start.splits, task)
    check_class_counts(
        {split: (split_place(data, split, task), frame["label"]) for split, frame in frames.items()},
        task,
        max_false_alarm=args.max_false_alarm,
        metric_for_best_model=args.metric_for_best_model if start.trains else None,
    )
    if record is not None:
        record.add_data(frames, task, FLAGS, data)

    transformers.set_seed(args.seed)
    if args.disable_tqdm:
        datasets.disable_progress_bars()
        transformers.utils.logging.disable_progress_bar()
    held_in_bfloat16 = args.bf16 and not start.trains
    model, tokenizer = start.load(INT8 if args.dtype == INT8 else "bfloat16" if held_in_bfloat16 else "float32")
    check_tokenizer_fits(tokenizer, model.config, flag=start.flag)
    stored_threshold(model.config)  # an error, if it is no probability
    if start.trains and args.lora_r is not None:
        add_adapters(model, args)
    if names := frames["train"].attrs.get(CLASS_NAMES) if start.trains else None:
        name_classes(model.config, names)
    if args.self_contained:
        make_self_contained(model.config)
    if record is not None:
        record.add("tokenizer", {"the tokenizer": f"sha256 {tokenizer_digest(tokenizer)}"})
    # Saved with the tokenizer, so that later stages truncate functions to the same length.
    tokenizer.model_max_length = sequence_length(data.max_seq_length, model.config, tokenizer)
    scoring = line_scoring(args, model, tokenizer, frames, task, data)
    tokens = tokenize_splits(frames, tokenizer, model.config, task, data)
    if held_in_bfloat16:  # The weights are bfloat16 themselves: autocast has nothing to do.
        args = with_values(args, bf16=False, mixed_precision="no")
    # Training makes a new folder that replaces `output_dir` when it is complete. An evaluation adds files to it.
    with resumed_result(output_dir, checkpoint) if start.trains else open_folder(output_dir) as folder:
        if record is not None:
            record.write(folder)
        resumed = None if checkpoint is None else str(checkpoint)
        args = with_values(args, output_dir=str(folder), resume_from_checkpoint=resumed)
        trainer = make_trainer(model, tokenizer, args, tokens, task, data.overwrite_cache)
        described = describe_splits(data, frames, task)
        origin = origin_of(start.origin.get(start.model_flag)) if start.trains else Origin()
        return _train_and_evaluate(trainer, tokens, frames, task, described, output_dir, scoring, origin)


def _train_and_evaluate(
    trainer: ClassifierTrainer,
    data: dict[str, datasets.Dataset],
    frames: dict[str, pd.DataFrame],
    task: Task,
    described: list[dict[str, Any]],
    final: Path,
    scoring: LineScoring | None,
    origin: Origin,
) -> dict[str, Any]:
    """Trains if there is a "train" split, evaluates the other splits, and writes the files that `run` lists.

    They are written into the trainer's `output_dir`, which becomes `final` when the run is complete. `scoring`: how
    lines are scored; None: they are not. `origin`: the checkpoint that training starts from, for the card.
    """
    folder, writes, config = Path(trainer.args.output_dir), trainer.is_world_process_zero(), trainer.model.config
    by_split: dict[str, dict[str, Any]] = {}
    if "train" in data:
        by_split["train"] = _train(trainer)
        _save(trainer, folder, final)
    for split in EVALUATED:
        if split in data:
            by_split[split], predictions = evaluate_split(trainer, data[split], frames[split], split, task)
            if writes:
                write_predictions(folder, split, predictions, frames[split], trainer.args.predictions_format)
            if scoring is not None and has_lines_to_find(frames[split], task):
                lengths = full_lengths(data[split])
                by_split[split] |= score_lines(trainer, scoring, frames[split], split, predictions, lengths, folder)
    if writes and "train" in data and stored_threshold(config) is not None:
        config.save_pretrained(folder)
    _add_counts(by_split, data, described)
    results = {name: value for metrics in by_split.values() for name, value in metrics.items()}
    if warnings := trainer.warnings(results):
        results["warnings"] = next(iter(by_split.values()))["warnings"] = warnings
    if not writes:
        return results
    for split, metrics in by_split.items():
        write_json(folder / f"{split}_results.json", metrics)
    write_json(folder / "all_results.json", results)
    if "train" in data:
        write_model_card(folder, config, results, described, task, trainer.args.command, origin)
        mark_complete(folder)  # before the checkpoints go: a run that is killed from here on is not repeated
        if not trainer.args.keep_checkpoints:
            for checkpoint in folder.glob(CHECKPOINTS):
                shutil.rmtree(checkpoint)
    return results


def _train(trainer: ClassifierTrainer) -> dict[str, Any]:
    """Trains. Returns the library's metrics, with `train_loss` as the mean over all steps of the run.

    Its times are measured from the start, or from the last resumption.
    """
    try:
        metrics = trainer.train(resume_from_checkpoint=trainer.args.resume_from_checkpoint).metrics
    except UnreachableTargetError as error:
        raise UserError(f"--target_flops: {error}") from error
    history = trainer.state.log_history
    metrics["train_loss"] = history[-1]["train_loss"] = mean_loss(history)
    return metrics | {"train_samples": len(trainer.train_dataset), "train_dtype": trainer.args.dtype}


def _save(trainer: ClassifierTrainer, folder: Path, final: Path) -> None:
    """Saves the trained model in `folder`. Paths in its files are those after the folder is renamed to `final`."""
    trainer.args.output_dir = str(final)
    trainer.state.best_model_checkpoint = None
    trainer.save_model(str(folder))
    trainer.accelerator.wait_for_everyone()  # Other processes may still read the best checkpoint.
    if trainer.is_world_process_zero():
        trainer.state.save_to_json(str(folder / "trainer_state.json"))
        write_pruning_log(folder / "pruning_log.csv", trainer.state.log_history)


def evaluate_split(
    trainer: ClassifierTrainer, dataset: datasets.Dataset, frame: pd.DataFrame, split: str, task: Task
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Evaluates the rows of a split. For "eval" with `--max_false_alarm`, first chooses the decision threshold.

    `dataset`: the tokens of the rows in `frame`.
    Returns the metrics and the predictions. The name of a metric begins with `<split>_`. There are the metrics of
    `task`, the values of `breakdown` and the loss, if the rows have labels; with `--bootstrap` also the intervals; for
    an LTP model the values of `flops_meter.summary` and thresholds_per_layer; runtime, samples_per_second,
    seconds_per_sample and dtype. For the predictions see `predictions_table`.
    Raises NotFiniteError if the model computes infinite numbers or NaN.
    """
    output = trainer.predict(dataset, metric_key_prefix=split)
    logits, labels = output.predictions, output.label_ids
    metrics, config = dict(output.metrics), trainer.model.config
    if split == "eval" and trainer.args.max_false_alarm is not None:
        config.decision_threshold = lowest_threshold(positive_scores(logits), labels, trainer.args.max_false_alarm)
        measured = task.measure(logits, labels, config.decision_threshold)
        measured["decision_threshold"] = config.decision_threshold
        metrics.update({f"{split}_{name}": value for name, value in measured.items()})
    threshold, pairs = stored_threshold(config), all_pairs_of(frame)
    added = breakdown(task, logits, labels, threshold, full_lengths(dataset), pairs)
    added |= intervals(resampled(task, logits, labels, threshold, pairs, trainer.args.bootstrap, trainer.args.seed))
    metrics.update({f"{split}_{name}": value for name, value in added.items()})
    if not has_labels(labels):
        metrics.pop(f"{split}_loss", None)
    functions, seconds = len(logits), metrics[f"{split}_runtime"]
    if functions < len(dataset):  # The library counts windows, not functions.
        metrics[f"{split}_samples_per_second"] = round(functions / seconds, 3)
    metrics[f"{split}_seconds_per_sample"] = seconds / functions
    metrics[f"{split}_dtype"] = trainer.args.dtype
    return metrics, predictions_table(task, logits, labels, threshold, frame)


def _add_counts(
    by_split: dict[str, dict[str, Any]], data: dict[str, datasets.Dataset], described: list[dict[str, Any]]
) -> None:
    """Adds to each split's metrics how many functions were truncated, and how many rows of the file were skipped."""
    for split, metrics in by_split.items():
        metrics.update({f"{split}_{name}": value for name, value in truncation_report(data[split]).items()})
    for entry in described:
        if entry["skipped_rows"] and entry["split"] in by_split:
            by_split[entry["split"]][f"{entry['split']}_skipped_rows"] = entry["skipped_rows"]
