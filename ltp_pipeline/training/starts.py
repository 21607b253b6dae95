"""The two ways to start a run, fine-tuning and a stage of pruning: which model, which splits, which result folder.

Everything else is the same for both and is in run.py.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.program import name_of
from ltp_pipeline.data.flags import DataArguments
from ltp_pipeline.model.checkpoints import (
    PRUNABLE,
    check_checkpoint,
    check_classes,
    load_config,
    load_pruning_model,
    load_tokenizer,
)
from ltp_pipeline.model.starting_model import ModelArguments, check_conversion, load_classifier
from ltp_pipeline.task.tasks import Task, find_task
from ltp_pipeline.training.arguments import (
    BUDGET_RANK_DISTILLATION,
    FineTuningArguments,
    StageArguments,
    StageTrainingArguments,
    with_values,
)
from ltp_pipeline.training.default_folders import evaluation_folder, stage_folder
from ltp_pipeline.training.fixed_pruning import fixed_pruning
from ltp_pipeline.training.reports import evaluated_splits, layers_table, metrics_tables, warnings_text
from transformer_revised.training_args_ltp import DEFAULT_RANK_TEACHER

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_PRUNE_MODE = "absolute_threshold"
RISING_MODES = ("absolute_threshold", "rising_threshold")  # their thresholds rise from layer to layer
DEFAULT_FINAL_TOKEN_THRESHOLD = 0.01
# With a budget: scores that can be compared at every length, and a soft mask as wide as the spread of the scores.
BUDGET_DEFAULTS = {"score_normalization": "rel", "final_token_threshold": 0.6, "temperature": 0.1}

NO_RANKS = {"rank_distillation": 0.0, "rank_teacher": None}


class Start(ABC):
    """How a run starts."""

    task: Task
    data: DataArguments
    args: FineTuningArguments
    trains: bool  # otherwise the run only evaluates
    splits: list[str]  # splits to read, in order: some of "train", "eval" and "test"
    flag: str  # the flag that named the tokenizer, for messages
    model_flag: str  # the flag that takes a checkpoint to start from
    needed: dict[str, str | None]  # flag -> path that the run reads, which the result must not replace
    origin: dict[str, str]  # flag -> checkpoint or configuration that training starts from
    arguments: tuple[Any, ...]  # the other dataclasses of flags, without `args`
    ranks: dict[str, Any]  # see `chosen_ranks`; set by `check`
    # flags that a default folder is named after; None: --output_dir is given
    named_after: dict[str, Any] | None = None

    def __init__(self, data: DataArguments, args: FineTuningArguments):
        self.data, self.args = data, args

    @abstractmethod
    def check(self) -> Path:
        """Checks the flags about the model, before any data is read. Returns the folder of the result.

        Raises UserError if there is no such checkpoint, or if flags contradict each other or the checkpoint.
        """

    @abstractmethod
    def load(self, dtype: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Loads the model, with weights of `dtype` ("float32", ...), and its tokenizer.

        Raises UserError if one of them cannot be loaded.
        """

    @abstractmethod
    def report(self, results: dict[str, Any]) -> str:
        """The text to print at the end, "" for none. `results` are those of all_results.json."""

    def _data_files(self) -> dict[str, str | None]:
        return {
            "--resume_from_checkpoint": self.args.resume_from_checkpoint,
            "--train_file": self.data.train_file,
            "--validation_file": self.data.validation_file,
            "--validation_mismatched_file": self.data.validation_mismatched_file,
            "--test_file": self.data.test_file,
        }


class FineTuning(Start):
    """Fine-tuning or evaluating a classifier that starts from any checkpoint, or from random weights."""

    model_flag = "--model_name_or_path"

    def __init__(self, model: ModelArguments, data: DataArguments, args: FineTuningArguments):
        super().__init__(data, args)
        self.model = model
        self.task = find_task(model.task_name, "--task_name")
        self.trains = args.do_train
        wanted = {"train": args.do_train, "eval": args.do_eval, "test": args.do_predict}
        self.splits = [split for split in wanted if wanted[split]]
        self.flag = "--tokenizer_name" if model.tokenizer_name else "--model_name_or_path"
        given = {"--model_name_or_path": model.model_name_or_path, "--config_name": model.config_name}
        self.origin = {flag: path for flag, path in given.items() if path is not None}
        self.needed = {**given, **self._data_files()}
        self.arguments = (model, data)

    def check(self) -> Path:
        self.ranks = chosen_ranks(self.args)
        check_conversion(self.model)
        if not self.splits:
            raise UserError("nothing to do; expected --do_train, --do_eval or --do_predict")
        if self.model.model_name_or_path is not None:
            check_checkpoint(self.model.model_name_or_path, "--model_name_or_path")
        elif self.model.config_name is None or self.model.tokenizer_name is None:
            raise UserError(
                "--model_name_or_path is missing; expected a checkpoint, or --config_name and --tokenizer_name to "
                "start from random weights"
            )
        elif not self.trains:
            raise UserError("--model_name_or_path is missing; only --do_train can start from random weights")
        return Path(self.args.output_dir)

    def load(self, dtype: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        tokenizer = load_tokenizer(self.model.tokenizer_name or self.model.model_name_or_path, flag=self.flag)
        model = load_classifier(self.model, tokenizer, new_head=self.trains, task=self.task, dtype=dtype)
        _check_prunes(model.config, {"target_flops": self.args.target_flops, **self.ranks})
        return model, tokenizer

    def report(self, results: dict[str, Any]) -> str:
        table = metrics_tables(results) if evaluated_splits(results) else ""
        return f"{table}{warnings_text(results)}".lstrip()


class PruningStage(Start):
    """One stage of pruning, soft, mixed or hard, or the evaluation of its result."""

    model_flag = "--restore"

    def __init__(self, stage: StageArguments, data: DataArguments, args: StageTrainingArguments):
        super().__init__(data, args)
        self.task = find_task(stage.task, "--task")
        functions_only = self.task.reads_functions  # a GLUE split without a file is read from the hub
        if args.do_predict and data.train_file is None and functions_only:
            stage = with_values(stage, eval=True)
        self.stage = stage
        self.trains = not stage.eval
        predicts = data.test_file is not None or args.do_predict
        only_predicts = stage.eval and predicts and data.validation_file is None and functions_only
        wanted = {"train": self.trains, "eval": not only_predicts, "test": predicts}
        self.splits = [split for split in wanted if wanted[split]]
        self.flag = "--restore"
        self.origin = {"--restore": stage.restore}
        self.needed = {**self.origin, **self._data_files()}
        self.arguments = (stage, data)
        self.pruning: dict[str, Any] = {}  # see `pruning_settings`; set by `check`

    def check(self) -> Path:
        check_checkpoint(self.stage.restore)
        config = load_config(self.stage.restore, flag="--restore")
        self.pruning = pruning_settings(self.stage, self.args, config, self.task)
        self.ranks = chosen_ranks(self.args, config) if self.trains else dict(NO_RANKS)
        return self._result_dir(config)

    def load(self, dtype: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        restore = self.stage.restore
        tokenizer = load_tokenizer(restore, flag="--restore")
        model = load_pruning_model(restore, flag="--restore", dtype=dtype, task=self.task, **self.pruning)
        return model, tokenizer

    def report(self, results: dict[str, Any]) -> str:
        return f"{layers_table(results)}\n\n{metrics_tables(results)}{warnings_text(results)}"

    def _result_dir(self, config: PreTrainedConfig) -> Path:
        """`--output_dir`, or the folder that is named after the settings of the stage."""
        if self.args.output_dir is not None:
            return Path(self.args.output_dir)
        if self.stage.eval:
            return evaluation_folder(self.stage, self.data, self.args, self.task)
        # A folder is named after a weight and a teacher only if they are not this project's choices.
        usual = usual_ranks(self.args, config)
        unusual = {name: None if value == usual[name] else value for name, value in self.ranks.items()}
        args = with_values(self.args, **unusual)
        folder, self.named_after = stage_folder(self.stage, self.data, args, self.task, self.pruning)
        return folder


def chosen_ranks(args: FineTuningArguments, config: PreTrainedConfig | None = None) -> dict[str, Any]:
    """The values of --rank_distillation and --rank_teacher. Those that are not given are those of `usual_ranks`.

    Raises UserError for a teacher without a weight.
    """
    usual = usual_ranks(args, config)
    weight = usual["rank_distillation"] if args.rank_distillation is None else args.rank_distillation
    if args.rank_teacher is not None and not weight:
        raise UserError(f"--rank_teacher {args.rank_teacher}: expected a weight --rank_distillation above 0")
    return {
        "rank_distillation": weight,
        "rank_teacher": args.rank_teacher or usual["rank_teacher"] if weight else None,
    }


def usual_ranks(args: FineTuningArguments, config: PreTrainedConfig | None) -> dict[str, Any]:
    """This project's choice of --rank_distillation and --rank_teacher, whatever the flags are.

    Soft training with a budget teaches the ranking. Hard training of a model that was taught goes on with its teacher:
    without the loss it would forget the order.

    `config`: that of the checkpoint to prune; None: a fine-tuning, which teaches nothing unless a weight is given.
    """
    before = getattr(config, "rank_teacher", None) if args.masking_mode == "hard" else None
    budget = None if config is None else args.target_flops or getattr(config, "target_flops", None)
    taught = before is not None if args.masking_mode == "hard" else budget is not None
    weight = BUDGET_RANK_DISTILLATION if taught else 0.0
    return {"rank_distillation": weight, "rank_teacher": before or DEFAULT_RANK_TEACHER}


def _check_prunes(config: PreTrainedConfig, values: dict[str, Any]) -> None:
    """Raises UserError for a flag of learned pruning, if the model with this configuration removes no token."""
    for name in ("target_flops", "rank_distillation"):
        if values[name] and getattr(config, "prune_mode", None) is None:
            raise UserError(
                f"--{name} {values[name]}: this model (type {config.model_type}) does not prune; expected an LTP "
                f"checkpoint with a prune_mode such as absolute_threshold, or {name_of('ltp-prune')}, which makes one"
            )


def _check_budget_mode(
    stage: StageArguments, args: StageTrainingArguments, config: PreTrainedConfig, mode: str | None
) -> None:
    """Raises UserError if a budget, that of the flag or that of the checkpoint, cannot be met in this prune mode."""
    if mode == DEFAULT_PRUNE_MODE:
        return
    if args.target_flops is not None:
        raise UserError(f"--target_flops {args.target_flops}: expected --prune_mode {DEFAULT_PRUNE_MODE}, not {mode}")
    budget = getattr(config, "target_flops", None)
    if budget is not None and not stage.eval:
        raise UserError(
            f"--prune_mode {mode}: --restore {stage.restore} has a budget (target_flops {budget} in its config.json); "
            f"expected --prune_mode {DEFAULT_PRUNE_MODE}, or a checkpoint without a budget"
        )


def pruning_settings(
    stage: StageArguments, args: StageTrainingArguments, config: PreTrainedConfig, task: Task
) -> dict[str, Any]:
    """The values of the model's configuration that decide how it prunes.

    A value without a flag is the checkpoint's. A checkpoint that does not prune yet gets the defaults of this project,
    except in evaluation, where it is not pruned.

    `config`: that of the checkpoint to start from.
    Returns prune_mode, final_token_threshold, temperature and, unless it is the default, score_normalization and
    prune_first_layer; for some modes also the value of `fixed_pruning`; for training mask_global_tokens.
    Raises UserError if the model cannot prune, is not a model of `task`, or would remove nothing.
    """
    if config.model_type not in PRUNABLE:
        raise UserError(
            f"--restore {stage.restore}: model type {config.model_type!r}; expected one of {', '.join(PRUNABLE)}"
        )
    check_classes(config, task, f"--restore {stage.restore}", "--task")
    threshold = stage.final_token_threshold
    if threshold is not None and not (math.isfinite(threshold) and threshold >= 0):
        raise UserError(f"--final_token_threshold {threshold}: expected 0 or more")
    own_mode = config.prune_mode if config.model_type == "ltp" else None
    default_mode = own_mode if stage.eval else own_mode or DEFAULT_PRUNE_MODE
    mode = default_mode if stage.prune_mode is None else stage.prune_mode
    _check_budget_mode(stage, args, config, mode)
    if own_mode is not None:
        defaults = {name: getattr(config, name) for name in BUDGET_DEFAULTS}
    elif args.target_flops is not None:
        defaults = BUDGET_DEFAULTS
    else:
        temperature = getattr(config, "temperature", 1e-5)
        defaults = {"final_token_threshold": DEFAULT_FINAL_TOKEN_THRESHOLD, "temperature": temperature}
    if stage.prune_first_layer and mode not in RISING_MODES:
        raise UserError(f"--prune_first_layer: expected --prune_mode {' or '.join(RISING_MODES)}, not {mode}")
    given = {name: getattr(stage, name) for name in ("score_normalization", "final_token_threshold")}
    given |= {"temperature": args.temperature, "prune_first_layer": stage.prune_first_layer or None}
    given |= fixed_pruning(mode, stage, args, config)
    values = {"prune_mode": mode, **defaults, **{name: value for name, value in given.items() if value is not None}}
    # Soft training as hard pruning will be: a global token is never removed. See docs/model.md for the comparison.
    return values if stage.eval else {**values, "mask_global_tokens": False}
