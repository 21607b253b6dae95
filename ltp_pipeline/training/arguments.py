"""Flags of the training scripts, as dataclasses; how they are parsed and checked."""

import math
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.flags import parse_arguments, read_flags
from ltp_pipeline.data.batches import DEFAULT_MAX_TOKENS
from ltp_pipeline.data.flags import DataArguments
from ltp_pipeline.model.precision import AUTO, BF16_HELP, DTYPES, chosen_dtype, name_of
from ltp_pipeline.model.precision import HELP as DTYPE_HELP
from ltp_pipeline.task.tasks import GLUE_NAMES
from transformer_revised.training_args_ltp import LTPTrainingArguments

LOWER_IS_BETTER = ("loss", "false_alarm_rate", "relative_flops", "full_relative_flops", "gflops_per_function")


@dataclass
class ModelArguments:
    """What is fine-tuned or evaluated."""

    _argument_group_name = "model"

    model_name_or_path: str | None = field(
        default=None, metadata={"help": "Checkpoint to start from: a folder or a hub name. Without: from scratch."}
    )
    config_name: str | None = field(
        default=None, metadata={"help": "Configuration, a JSON file or folder, of a model that starts from scratch."}
    )
    tokenizer_name: str | None = field(
        default=None, metadata={"help": "Folder or hub name of the tokenizer (default: the checkpoint's own)."}
    )
    window_size: int | None = field(
        default=None,
        metadata={
            "help": "Attention window of every layer, even: half to each side (default: the checkpoint's own; with "
            "--convert_to_ltp 512)."
        },
    )
    convert_to_ltp: bool = field(
        default=False,
        metadata={"help": "Turn the BERT or RoBERTa checkpoint, such as CodeBERT, into LTP, and fine-tune that."},
    )
    max_positions: int | None = field(
        default=None,
        metadata={"help": "With --convert_to_ltp: longest text of the result, in tokens (default: 4096)."},
    )
    task_name: str = field(
        default="code",
        metadata={
            "help": "code: functions from the files given; vdisc: the same, labelled by VDISC's five groups at once. "
            f"GLUE: {', '.join(GLUE_NAMES)}."
        },
    )


@dataclass
class FineTuningArguments(LTPTrainingArguments):
    """The library's training arguments with defaults for runs of minutes, and those that it has dropped."""

    _argument_group_name = "training (mostly the library's own flags)"

    overwrite_output_dir: bool = field(
        default=False,
        metadata={"help": "Replace the result that --output_dir holds, once the new one is complete."},
    )
    eval_strategy: str = field(
        default="no",
        metadata={
            "aliases": ["--evaluation_strategy"],
            "help": "Also evaluate during training: no, steps or epoch. At the end it is evaluated in any case.",
        },
    )
    logging_steps: float = field(default=50, metadata={"help": "Log the loss every so many steps."})
    save_strategy: str = field(
        default="epoch",
        metadata={"help": "When to save checkpoints to resume from (they are removed at the end): no, steps, epoch."},
    )
    save_total_limit: int | None = field(
        default=None,
        metadata={"help": "How many checkpoints of the way to keep (default: one, until the end)."},
    )
    keep_checkpoints: bool = field(init=False, default=False)
    command: str = field(init=False, default="")  # that gave these flags, for the model card
    resume_from_checkpoint: str | None = field(
        default=None,
        metadata={
            "help": "Go on from this checkpoint-N folder, to the same result as without the interruption; with the "
            "same flags otherwise. last (or True): the newest complete one that an interrupted run with the same "
            "output folder has left; from the start if there is none."
        },
    )
    restore_callback_states_from_checkpoint: bool = field(
        default=True, metadata={"help": "On resuming, early stopping and the like go on counting where they were."}
    )
    metric_for_best_model: str | None = field(
        default=None,
        metadata={
            "help": "What the best step is best in, with --load_best_model_at_end: accuracy, f1, recall, precision, "
            "false_alarm_rate, auc, loss or, for an LTP model, relative_flops (default: f1; for a GLUE task its "
            "official metric)."
        },
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata={
            "help": "Stop when so many evaluations in a row were no better than the best before; implies "
            "--load_best_model_at_end (default: never)."
        },
    )
    early_stopping_threshold: float = field(
        default=0.0, metadata={"help": "By how much an evaluation has to be better to count for early stopping."}
    )
    class_weights: str = field(
        default="none",
        metadata={
            "choices": ("none", "balanced"),
            "help": "balanced: the loss weighs each class by the inverse of its share of the training functions.",
        },
    )
    label_smoothing_factor: float = field(
        default=0.0,
        metadata={
            "aliases": ["--label_smoothing"],
            "help": "Train towards labels that give this much to all classes alike; also with --class_weights.",
        },
    )
    max_false_alarm: float | None = field(
        default=None,
        metadata={
            "help": "After training, choose the lowest decision threshold at which at most this share of the "
            "validation functions of class 0 is taken for class 1, such as 0.05, and store it in the checkpoint as "
            "decision_threshold: predictions and metrics use it (default: the more probable class)."
        },
    )
    max_tokens_per_batch: int | None = field(
        default=None,
        metadata={
            "help": "Batches of functions of like length with at most so many tokens each, in training and "
            "evaluation, instead of a fixed number of functions. Padding counts where it is computed: not for LTP. "
            f"(default: --per_device_train_batch_size in training, {DEFAULT_MAX_TOKENS} tokens in evaluation)"
        },
    )
    per_device_eval_batch_size: int | None = field(
        default=None, metadata={"help": "Functions in a batch of evaluation (default: see --max_tokens_per_batch)."}
    )
    max_eval_tokens_per_batch: int | None = field(init=False, default=None)  # None: a number of functions
    dtype: str = field(
        default=AUTO,
        metadata={
            "choices": DTYPES,
            "help": f"What matrix products are computed in: {DTYPE_HELP} Weights are float32 while they are trained.",
        },
    )
    bf16: bool | None = field(default=None, metadata={"help": BF16_HELP, "nargs": "?", "const": True})
    disable_tqdm: bool | None = field(
        default=None, metadata={"help": "Lines instead of a progress bar (default: where there is no terminal)."}
    )

    def __post_init__(self) -> None:
        if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
            self.use_cpu = True  # said outright, as the library takes bf16 without a GPU for a mistake otherwise
        self._choose_dtype()
        self._choose_eval_batches()
        if self.early_stopping_patience is not None:
            self.load_best_model_at_end = True
        if self.load_best_model_at_end and self.eval_strategy == "no":
            self.eval_strategy = self.save_strategy
        if self.greater_is_better is None and self.metric_for_best_model is not None:
            self.greater_is_better = self.metric_for_best_model.removeprefix("eval_") not in LOWER_IS_BETTER
        self.keep_checkpoints = self.save_total_limit is not None
        if not self.keep_checkpoints:
            self.save_total_limit = 1
        if self.disable_tqdm is None:
            self.disable_tqdm = not os.isatty(2)
        best = self.metric_for_best_model, self.greater_is_better
        super().__post_init__()
        if best[0] is None:  # the library's default is the loss, ours the task's own metric: see follow_task
            self.metric_for_best_model, self.greater_is_better = best

    def _choose_dtype(self) -> None:
        if self.fp16:
            if self.dtype != AUTO or self.bf16:
                raise UserError("--fp16: expected neither --dtype nor --bf16 with it")
            self.dtype, self.bf16 = "float16", False
            return
        device = "cpu" if self.use_cpu else "cuda" if torch.cuda.is_available() else "mps"
        dtype = chosen_dtype(self.dtype, self.bf16, device)
        self.dtype, self.bf16 = name_of(dtype), dtype == torch.bfloat16

    def _choose_eval_batches(self) -> None:
        self.max_eval_tokens_per_batch = self.max_tokens_per_batch
        if self.per_device_eval_batch_size is None:
            self.per_device_eval_batch_size = self.per_device_train_batch_size
            if self.max_tokens_per_batch is None:
                self.max_eval_tokens_per_batch = DEFAULT_MAX_TOKENS


@dataclass
class StageArguments:
    """One stage of pruning."""

    _argument_group_name = "stage"

    restore: str = field(
        metadata={"help": "Checkpoint to start from: a fine-tuned Longformer, or the result of an earlier stage."}
    )
    arch: str = field(
        default="ltp-base",
        metadata={"choices": ("ltp-base", "ltp-large"), "help": "Names the folder of the result: base or large."},
    )
    task: str = field(
        default="CODE",
        metadata={"help": f"What --restore was fine-tuned for: CODE, VDISC, or of GLUE {', '.join(GLUE_NAMES)}."},
    )
    eval: bool = field(
        default=False, metadata={"help": "Only evaluate --restore on --validation_file; changes no checkpoint."}
    )
    prune_mode: str | None = field(
        default=None, metadata={"help": "How tokens are chosen (default: as the checkpoint, else absolute_threshold)."}
    )
    final_token_threshold: float | None = field(
        default=None,
        metadata={
            "help": "Where the last layer's threshold starts (default: as the checkpoint, if it prunes, or 0.01; 0.6 "
            "with --target_flops)."
        },
    )
    score_normalization: str | None = field(
        default=None,
        metadata={
            "choices": ("max", "mean", "rel"),
            "help": "What a token's importance is measured in: the largest of its function, their mean over queries, "
            "or what uniform attention gives (default: as the checkpoint, if it prunes, or max; rel with "
            "--target_flops).",
        },
    )


@dataclass
class StageTrainingArguments(FineTuningArguments):
    """The training arguments under the original's short names. `--weight_decay` is the thresholds', as there."""

    output_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder of the result (default: checkpoints/base/TASK/PRUNE_MODE/rate_R/temperature_T/lambda_L/"
            "lr_LR, for hard pruning RESTORE/hard/lr_LR, for --eval RESTORE/eval/VALIDATION_FILE)."
        },
    )
    learning_rate: float = field(default=2e-5, metadata={"aliases": ["--lr"], "help": "Peak learning rate."})
    per_device_train_batch_size: int = field(
        default=8, metadata={"aliases": ["--bs"], "help": "Functions in a batch of training."}
    )
    num_train_epochs: float = field(default=3.0, metadata={"aliases": ["--epoch"], "help": "Passes over the data."})
    lambda_threshold: float = field(
        default=0.0, metadata={"aliases": ["--lambda"], "help": "Weight of the regularizer that soft pruning adds."}
    )
    weight_decay: float = field(
        default=0.0, metadata={"aliases": ["--model_weight_decay"], "help": "Weight decay of the model."}
    )
    weight_decay_threshold: float = field(
        default=0.0,
        metadata={"aliases": ["--weight_decay", "--weight-decay"], "help": "Weight decay of the thresholds."},
    )
    save_steps: float | None = field(
        default=None,
        metadata={
            "aliases": ["--save_step"],
            "help": "Save, log and (without --no_load) evaluate every so many steps (default: every epoch).",
        },
    )
    eval_steps: float | None = field(
        default=None, metadata={"help": "Evaluate every so many steps (default: --save_step; with --no_load: never)."}
    )
    logging_steps: float | None = field(
        default=None, metadata={"help": "Log the loss every so many steps (default: --save_step, else 50)."}
    )
    eval_strategy: str | None = field(
        default=None,
        metadata={"aliases": ["--evaluation_strategy"], "help": "no, steps or epoch (default: see --eval_steps)."},
    )
    save_strategy: str | None = field(
        default=None, metadata={"help": "no, steps or epoch (default: see --save_step)."}
    )
    no_load: bool = field(
        default=False,
        metadata={
            "help": "Keep the last step, not the best of those evaluated. In soft pruning the best may be an early "
            "one that prunes little."
        },
    )
    save_all: bool = field(default=False, metadata={"help": "Keep every checkpoint of the way beside the result."})
    cuda: str | None = field(default=None, metadata={"help": "Which GPUs to use, such as 0 or 0,1 (default: all)."})

    def __post_init__(self) -> None:
        if self.cuda is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.cuda
        for name in ("save_steps", "eval_steps", "logging_steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"--{name} {value}: expected a number above 0")
        output_dir = self.output_dir
        if self.no_load and self.early_stopping_patience is not None:
            raise ValueError("--early_stopping_patience: ends with the best step; expected no --no_load with it")
        self.load_best_model_at_end = self.load_best_model_at_end or not self.no_load
        if self.save_strategy is None:
            self.save_strategy = "epoch" if self.save_steps is None else "steps"
        if self.eval_strategy is None:
            when_last = "no" if self.eval_steps is None else "steps"
            self.eval_strategy = self.save_strategy if self.load_best_model_at_end else when_last
        self.logging_steps = self.logging_steps or self.save_steps or 50
        self.save_steps = self.save_steps or 500
        self.eval_steps = self.eval_steps or self.save_steps
        super().__post_init__()
        if self.save_all:
            self.keep_checkpoints, self.save_total_limit = True, None
        self.output_dir = output_dir  # None: the library's default is not ours


def parse_training_arguments(dataclasses: Sequence[type], argv: list[str] | None, description: str) -> tuple[Any, ...]:
    """`parse_arguments` that also records the command line in the training arguments, for the model card."""
    argv = read_flags(argv)
    parsed = parse_arguments(dataclasses, argv, description)
    for arguments in parsed:
        if isinstance(arguments, FineTuningArguments):
            arguments.command = _command(argv)
    return parsed


def _command(argv: Sequence[str]) -> str:
    """The command line, with files and folders that were given in full by their names alone."""
    words = ["python", Path(sys.argv[0]).name, *argv]
    return shlex.join(Path(word).name if Path(word).is_absolute() else word for word in words)


def check_numbers(training: LTPTrainingArguments, data: DataArguments) -> None:
    """Raises UserError, naming the flag, for a number that no run can be made with."""
    short = isinstance(training, StageTrainingArguments)
    above_0 = {
        "learning_rate": "--lr" if short else "--learning_rate",
        "num_train_epochs": "--epoch" if short else "--num_train_epochs",
        "per_device_train_batch_size": "--bs" if short else "--per_device_train_batch_size",
        "per_device_eval_batch_size": "--per_device_eval_batch_size",
        "gradient_accumulation_steps": "--gradient_accumulation_steps",
        "lr_threshold": "--lr_threshold",
        "early_stopping_patience": "--early_stopping_patience",
        "max_tokens_per_batch": "--max_tokens_per_batch",
    }
    for name, flag in above_0.items():
        value = getattr(training, name)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise UserError(f"{flag} {value}: expected a number above 0")
    for name in ("max_train_samples", "max_eval_samples", "max_test_samples"):
        value = getattr(data, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} {value}: expected 1 or more")
    if "tensorboard" in training.report_to and find_spec("tensorboard") is None:
        raise UserError("--report_to tensorboard: that package is not installed; expected `pip install tensorboard`")
    if not 0 <= training.label_smoothing_factor < 1:
        raise UserError(f"--label_smoothing {training.label_smoothing_factor}: expected at least 0 and below 1")
    if training.early_stopping_threshold < 0:
        raise UserError(f"--early_stopping_threshold {training.early_stopping_threshold}: expected 0 or more")
