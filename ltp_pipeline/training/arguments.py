"""Flags of the two training scripts, as dataclasses on top of the library's TrainingArguments."""

import argparse
import copy
import math
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers.hf_argparser import HfArg

from ltp_pipeline.base.config_file import typed_flags
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.flags import FlagParser
from ltp_pipeline.base.threads import AUTO as AUTO_THREADS
from ltp_pipeline.base.threads import HELP as THREADS_HELP
from ltp_pipeline.data.batches import DEFAULT_MAX_TOKENS
from ltp_pipeline.model.precision import AUTO, BF16_HELP, DTYPES, chosen_dtype, dtype_name
from ltp_pipeline.model.precision import HELP as DTYPE_HELP
from ltp_pipeline.task.breakdown import BOOTSTRAP_HELP
from ltp_pipeline.task.tasks import GLUE_NAMES
from ltp_pipeline.training.predictions import ENDINGS
from ltp_pipeline.training.reports import LOWER_IS_BETTER
from ltp_pipeline.view.line_results import CHOICES
from ltp_pipeline.view.line_results import HELP as LINE_SCORES_HELP
from ltp_pipeline.view.token_scores import DEFAULT
from transformer_revised.training_args_ltp import LTPTrainingArguments

Arguments = TypeVar("Arguments")
# --rank_distillation of a stage that teaches a ranking by default, see `starts.chosen_ranks`
BUDGET_RANK_DISTILLATION = 1.0


@dataclass
class FineTuningArguments(LTPTrainingArguments):
    """The library's training arguments with defaults for short runs, and the arguments that this project adds.

    Fields that are not flags: `keep_checkpoints` (whether to keep intermediate checkpoints after the run), `command`
    (the command line, for the model card), `flags` (its flags, for run.json), `max_eval_tokens_per_batch` (None:
    evaluation batches have a fixed number of functions). After `__post_init__`, `dtype` is the name of the dtype in
    use: "auto" has been resolved.
    """

    _argument_group_name = "training (mostly the library's own flags)"

    overwrite_output_dir: bool = HfArg(
        default=False,
        help="Replace an earlier result in --output_dir, after the new result is complete. Checkpoints of an "
        "interrupted run are set aside in OUTPUT_DIR.unfinished.previous until then.",
    )
    eval_strategy: str = HfArg(
        default="no",
        aliases=["--evaluation_strategy"],
        help="When to evaluate during training: no, steps or epoch. The final model is always evaluated.",
    )
    logging_steps: float = HfArg(default=50, help="Log the loss every N steps.")
    save_strategy: str = HfArg(
        default="epoch",
        help="When to save intermediate checkpoints, from which an interrupted run can be resumed: no, steps "
        "or epoch. They are removed when the run is complete; see --save_total_limit.",
    )
    save_total_limit: int | None = HfArg(
        default=None,
        help="Keep at most N intermediate checkpoints, also after the run (default: the last one, removed when "
        "the run is complete).",
    )
    self_contained: bool = HfArg(
        default=False,
        help="Save an LTP model with its code, so that it can be loaded where this project is not installed, by "
        "trust_remote_code=True. A self-contained checkpoint stays so in later stages without this flag.",
    )
    keep_checkpoints: bool = field(init=False, default=False)
    command: str = field(init=False, default="")
    flags: dict = field(init=False, default_factory=dict)
    resume_from_checkpoint: str | None = HfArg(
        default=None,
        help="Continue training from this checkpoint-N folder. If the other flags are unchanged, the result is "
        "the same as without the interruption. last (or True): use the newest complete checkpoint of the "
        "interrupted run with the same output folder; if there is none, start from the beginning.",
    )
    restore_callback_states_from_checkpoint: bool = HfArg(
        default=True, help="When resuming, restore the counters of early stopping and other callbacks."
    )
    metric_for_best_model: str | None = HfArg(
        default=None,
        help="Metric by which --load_best_model_at_end chooses the best step: accuracy, f1, recall, precision, "
        "false_alarm_rate, mcc, auc, pr_auc, vd_s_0.5, loss or, for an LTP model, relative_flops (default: f1; for "
        "a GLUE task its official metric); docs/measures.md has all names.",
    )
    early_stopping_patience: int | None = HfArg(
        default=None,
        help="Stop training after N evaluations in a row without improvement; implies --load_best_model_at_end "
        "(default: never).",
    )
    early_stopping_threshold: float = HfArg(
        default=0.0, help="Smallest change of the metric that early stopping counts as an improvement."
    )
    class_weights: str = HfArg(
        default="none",
        metadata={"choices": ("none", "balanced")},
        help="balanced: weight the loss of each class by the inverse of its share of the training functions.",
    )
    label_smoothing_factor: float = HfArg(
        default=0.0,
        aliases=["--label_smoothing"],
        help="Share of each training label that is spread evenly over all classes; may be combined with "
        "--class_weights.",
    )
    max_false_alarm: float | None = HfArg(
        default=None,
        help="After training, choose the lowest decision threshold at which at most this share of the "
        "validation functions of class 0, such as 0.05, is predicted as class 1. It is stored in the checkpoint "
        "as decision_threshold, and predictions and metrics use it (default: predict the more probable class).",
    )
    predictions_format: str = HfArg(
        default="csv",
        metadata={"choices": tuple(ENDINGS)},
        help="Format of the predictions: predictions.csv, predictions.jsonl, or predictions.txt with PrimeVul's lines "
        "of id, predicted label and probability, separated by tabs.",
    )
    bootstrap: int = HfArg(default=0, help=BOOTSTRAP_HELP)
    line_scores: str = HfArg(default=DEFAULT, metadata={"choices": CHOICES}, help=LINE_SCORES_HELP)
    max_tokens_per_batch: int | None = HfArg(
        default=None,
        help="Form batches, in training and evaluation, from functions of similar length with at most N tokens "
        "in total, instead of a fixed number of functions. Padding counts only for models that compute it, unlike "
        f"LTP (default: --per_device_train_batch_size in training, {DEFAULT_MAX_TOKENS} tokens in evaluation)",
    )
    per_device_eval_batch_size: int | None = HfArg(
        default=None, help="Number of functions in an evaluation batch (default: see --max_tokens_per_batch)."
    )
    max_eval_tokens_per_batch: int | None = field(init=False, default=None)
    rank_distillation: float | None = HfArg(
        default=None,
        help="Weight, such as 1, of a loss by which early layers learn to order tokens as --rank_teacher does "
        "(ranking distillation; a quarter of the functions is taught, and at least 300). 0: none is (default: "
        f"{BUDGET_RANK_DISTILLATION:g} in run_code_metrics.py, in soft training with a budget and in hard training "
        "of a model that was taught; else 0).",
    )
    lora_r: int | None = HfArg(
        default=None,
        help="Train LoRA adapters of this rank, such as 8, instead of the weights of the encoder. They are merged "
        "into the weights wherever a model is saved. Thresholds and the classification head are trained as without "
        "adapters. Use a larger --learning_rate, such as 2e-4. Needs the package peft (default: no adapters).",
    )
    lora_alpha: float | None = HfArg(
        default=None, help="With --lora_r: adapters are multiplied by this number / r (default: 2 r)."
    )
    lora_dropout: float | None = HfArg(
        default=None, help="With --lora_r: dropout of what adapters read, at least 0 and below 1 (default: 0)."
    )
    lora_target_modules: list[str] | None = HfArg(
        default=None,
        help="With --lora_r: names of the linear layers that get adapters, such as query value dense (default: query "
        "key value query_global).",
    )
    dtype: str = HfArg(
        default=AUTO,
        metadata={"choices": DTYPES},
        help=f"Data type of matrix products: {DTYPE_HELP} Weights stay float32 during training.",
    )
    bf16: bool | None = HfArg(default=None, metadata={"nargs": "?", "const": True}, help=BF16_HELP)
    num_threads: str = HfArg(
        default=AUTO_THREADS,
        help=f"{THREADS_HELP} A resumed training goes on with as many as before. run.json has the number: the last "
        "digits of a training depend on it.",
    )
    disable_tqdm: bool | None = HfArg(
        default=None, help="Print lines instead of a progress bar (default: if the output is not a terminal)."
    )

    def __post_init__(self) -> None:
        self._check_steps()
        if not torch.accelerator.is_available():
            self.use_cpu = True  # Otherwise the library rejects bf16 on a machine without a GPU.
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
        if best[0] is None:  # The library's default is the loss. Here it is the task's own metric: see adapt_to_task.
            self.metric_for_best_model, self.greater_is_better = best

    def _check_steps(self) -> None:
        """The library computes with these numbers before `check_numbers` sees them."""
        for name in ("save_steps", "eval_steps", "logging_steps"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"--{name} {value}: expected a number above 0")

    def _choose_dtype(self) -> None:
        if self.fp16:
            if self.dtype != AUTO or self.bf16:
                raise UserError("--fp16: cannot be combined with --dtype or --bf16")
            self.dtype, self.bf16 = "float16", False
            return
        device = "cpu" if self.use_cpu else torch.accelerator.current_accelerator()
        dtype = chosen_dtype(self.dtype, self.bf16, device)
        self.dtype, self.bf16 = dtype_name(dtype), dtype == torch.bfloat16

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

    restore: str = HfArg(help="Checkpoint to start from: a fine-tuned Longformer, or the result of an earlier stage.")
    # The original commands use --arch. Its only effect is the name of the default result folder.
    arch: str = HfArg(default="ltp-base", metadata={"choices": ("ltp-base", "ltp-large")}, help=argparse.SUPPRESS)
    task: str = HfArg(
        default="CODE",
        help=f"Task that --restore was fine-tuned for: CODE, VDISC or a GLUE task: {', '.join(GLUE_NAMES)}.",
    )
    eval: bool = HfArg(
        default=False,
        help="Only evaluate --restore on --validation_file and predict --test_file; one of them is enough. No "
        "checkpoint is written or changed. --do_predict without --train_file means the same.",
    )
    prune_mode: str | None = HfArg(
        default=None, help="Rule for removing tokens (default: that of the checkpoint, or absolute_threshold)."
    )
    final_token_threshold: float | None = HfArg(
        default=None,
        help="Initial thresholds: layer l of L, counted from 0, starts at l / L of this value (default: that "
        "of the checkpoint, if it prunes, or 0.01; 0.6 with --target_flops). See also --prune_first_layer.",
    )
    prune_first_layer: bool = HfArg(
        default=False,
        help="The first layer removes tokens, too, between its attention and its feed-forward part, so that lower "
        "budgets can be met. Layer l then starts at (l + 1) / L of --final_token_threshold. A checkpoint that was "
        "trained with this flag keeps to it.",
    )
    token_keep_rate: float | None = HfArg(
        default=None,
        help="With --prune_mode topk: share of a function's tokens that the last layer keeps, above 0 and below 1 "
        "(default: that of the checkpoint). The first layers keep all tokens: 3, or 15 %% of the layers if that is "
        "more. From there the share falls linearly.",
    )
    token_threshold: float | None = HfArg(
        default=None,
        help="With --prune_mode threshold: the threshold of every layer, a share of the largest importance in the "
        "function, above 0 and at most 1 (default: that of the checkpoint).",
    )
    score_normalization: str | None = HfArg(
        default=None,
        metadata={"choices": ("max", "mean", "rel")},
        help="A token's score is its importance divided by: the largest importance in the function (max), the "
        "number of heads and queries (mean), or the number of heads, which makes uniform attention 1 (rel). "
        "(default: that of the checkpoint, if it prunes, or max; rel with --target_flops)",
    )


@dataclass
class StageTrainingArguments(FineTuningArguments):
    """The training arguments under the original's short names.

    As in the original, `--weight_decay` is the weight decay of the thresholds. `--model_weight_decay` is the model's
    and sets the library's field `weight_decay`, which is not a flag here.
    """

    output_dir: str | None = HfArg(
        default=None,
        help="Folder of the result (default: checkpoints/base/TASK/PRUNE_MODE/rate_R/temperature_T/lambda_L/"
        "lr_LR; for hard pruning RESTORE/hard/lr_LR; for --eval RESTORE/eval/VALIDATION_FILE). Settings that "
        "differ from those of the published commands are added to the name: lr_LR-seed_1.",
    )
    learning_rate: float = HfArg(default=2e-5, aliases=["--lr"], help="Peak learning rate.")
    per_device_train_batch_size: int = HfArg(
        default=8, aliases=["--bs"], help="Number of functions in a training batch."
    )
    num_train_epochs: float = HfArg(default=3.0, aliases=["--epoch"], help="Number of passes over the training data.")
    lambda_threshold: float = HfArg(
        default=0.0, aliases=["--lambda"], help="Weight of the regularizer of soft pruning."
    )
    weight_decay: float = field(init=False, default=0.0)
    model_weight_decay: float = HfArg(default=0.0, help="Weight decay of the model's weights.")
    weight_decay_threshold: float = HfArg(
        default=0.0, aliases=["--weight_decay", "--weight-decay"], help="Weight decay of the thresholds."
    )
    save_steps: float | None = HfArg(
        default=None,
        aliases=["--save_step"],
        help="Save, log and (without --no_load) evaluate every N steps (default: every epoch).",
    )
    eval_steps: float | None = HfArg(
        default=None, help="Evaluate every N steps (default: --save_step; with --no_load never)."
    )
    logging_steps: float | None = HfArg(
        default=None, help="Log the loss every N steps (default: --save_step, else 50)."
    )
    eval_strategy: str | None = HfArg(
        default=None,
        aliases=["--evaluation_strategy"],
        help="When to evaluate during training: no, steps or epoch (default: see --eval_steps).",
    )
    save_strategy: str | None = HfArg(
        default=None, help="When to save intermediate checkpoints: no, steps or epoch (default: see --save_step)."
    )
    no_load: bool = HfArg(
        default=False,
        help="Use the model of the last step as the result, not that of the best evaluated step. In soft "
        "pruning the best step may be an early one that prunes little.",
    )
    save_all: bool = HfArg(default=False, help="Keep every intermediate checkpoint beside the result.")
    cuda: str | None = HfArg(default=None, help="Numbers of the GPUs to use, such as 0 or 0,1 (default: all).")

    def __post_init__(self) -> None:
        if self.cuda is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.cuda
        self.weight_decay = self.model_weight_decay
        self._check_steps()
        output_dir = self.output_dir
        if self.no_load and self.early_stopping_patience is not None:
            raise ValueError("--early_stopping_patience: the best step becomes the result; expected no --no_load")
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
        self.output_dir = output_dir  # The library replaces None by its own default folder.


def with_values(arguments: Arguments, **values: Any) -> Arguments:
    """A copy of `arguments` with some values changed.

    `dataclasses.replace` would run `__post_init__` again, which would mistake values that it has chosen for values
    that the user gave.
    """
    changed = copy.copy(arguments)
    for name, value in values.items():
        setattr(changed, name, value)
    return changed


def parse_training_arguments(
    dataclasses: Sequence[type], argv: list[str] | None, description: str, command: str | None = None
) -> tuple[Any, ...]:
    """As `parse_arguments`; also stores the command line in the training arguments, for the model card."""
    parser = FlagParser(dataclasses, command, description)
    words = parser.expand(argv)
    parsed = parser.parse(words)
    for arguments in parsed:
        if isinstance(arguments, FineTuningArguments):
            arguments.flags = typed_flags(words, parser)
            arguments.command = _command([*parser.prog.split(), *_without_token(words)])
    return parsed


def _without_token(words: Sequence[str]) -> list[str]:
    """The words without --hub_token and its value: the command stands in the model card, which is uploaded."""
    kept, is_value = [], False
    for word in words:
        name, equals, _ = word.partition("=")
        if name in ("--hub_token", "--hub-token"):
            is_value = not equals
        elif is_value:
            is_value = False
        else:
            kept.append(word)
    return kept


def _command(words: Sequence[str]) -> str:
    """The words of a command line as text. Absolute paths are shortened to their last part."""
    return shlex.join(map(_without_place, words))


def _without_place(word: str) -> str:
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{flag}{equals}{Path(value).name}" if Path(value).is_absolute() else word
