"""One stage of pruning, or the evaluation of its result: what run_code_metrics.py does."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import format_table
from ltp_pipeline.base.processes import is_main
from ltp_pipeline.base.result_folder import check_replaceable, open_folder
from ltp_pipeline.data.flags import DataArguments
from ltp_pipeline.data.readers import describe_splits, read_splits
from ltp_pipeline.data.tokenization import tokenize_splits
from ltp_pipeline.data.truncation import sequence_length
from ltp_pipeline.model.checkpoints import (
    PRUNABLE,
    check_checkpoint,
    check_tokenizer_fits,
    hard_dir,
    load_config,
    load_pruning_model,
    load_tokenizer,
    stage_dir,
)
from ltp_pipeline.task.decision import check_max_false_alarm
from ltp_pipeline.task.tasks import Task, find_task
from ltp_pipeline.training.arguments import StageArguments, StageTrainingArguments, check_numbers
from ltp_pipeline.training.resume import checkpoint_to_resume, resumed_result
from ltp_pipeline.training.run import (
    follow_task,
    hold_for_evaluation,
    make_trainer,
    metrics_table,
    prepare_process,
    run,
)

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

DEFAULT_PRUNE_MODE = "absolute_threshold"
DEFAULT_FINAL_TOKEN_THRESHOLD = 0.01
# What a budget starts from: scores that mean the same at every length, and a mask as wide as they vary.
BUDGET_DEFAULTS = {"score_normalization": "rel", "final_token_threshold": 0.6, "temperature": 0.1}


def run_stage(stage: StageArguments, data_args: DataArguments, args: StageTrainingArguments) -> None:
    """Checks all that can be checked first, then prunes by `--masking_mode` or evaluates (`--eval`), and reports."""
    task = find_task(stage.task, "--task")
    check_numbers(args, data_args)
    follow_task(args, task)
    check_max_false_alarm(args.max_false_alarm, task, trains=not stage.eval, evaluates=True)
    check_checkpoint(stage.restore)
    pruning = pruning_settings(stage, args, load_config(stage.restore, flag="--restore"), task)
    output_dir = result_dir(stage, data_args, args, pruning, task)
    checkpoint = None if stage.eval else checkpoint_to_resume(args, output_dir)
    if not stage.eval:
        check_replaceable(
            output_dir,
            {
                "--restore": stage.restore,
                "--train_file": data_args.train_file,
                "--validation_file": data_args.validation_file,
                "--validation_mismatched_file": data_args.validation_mismatched_file,
                "--test_file": data_args.test_file,
                "--resume_from_checkpoint": args.resume_from_checkpoint,
            },
        )
    asked = {"train": not stage.eval, "eval": True, "test": data_args.test_file is not None}
    frames = read_splits(data_args, [split for split in asked if asked[split]], task)

    prepare_process(args)
    model = load_pruning_model(stage.restore, flag="--restore", problem_type=task.problem_type, **pruning)
    tokenizer = load_tokenizer(stage.restore, flag="--restore")
    check_tokenizer_fits(tokenizer, model.config, flag="--restore")
    tokenizer.model_max_length = sequence_length(data_args.max_seq_length, model.config, tokenizer)
    datasets = tokenize_splits(frames, tokenizer, model.config, task, data_args)
    if stage.eval:
        hold_for_evaluation(model, args)
    with open_folder(output_dir) if stage.eval else resumed_result(output_dir, checkpoint) as folder:
        args.output_dir = str(folder)
        trainer = make_trainer(model, tokenizer, args, datasets, task)
        results = run(trainer, datasets, folder, output_dir, task, describe_splits(data_args, frames, task))
    if is_main():
        print(f"\n{layers_table(results)}\n\n{metrics_table(results)}\n\n{output_dir}")


def pruning_settings(
    stage: StageArguments, args: StageTrainingArguments, config: "PreTrainedConfig", task: Task
) -> dict[str, Any]:
    """How the model will prune: prune_mode, final_token_threshold, temperature and, unless the default, normalization.

    What was not given is as in the checkpoint's configuration; a checkpoint that does not prune yet starts to, except
    in evaluation. Raises UserError for a model that cannot prune, or is not one of `task`.
    """
    if config.model_type not in PRUNABLE:
        raise UserError(
            f"--restore {stage.restore}: model type {config.model_type!r}; expected one of {', '.join(PRUNABLE)}"
        )
    if config.num_labels != task.num_labels:
        raise UserError(
            f"--restore {stage.restore}: tells {config.num_labels} classes apart; expected a model of "
            f"{task.num_labels}, for --task {task.name}"
        )
    own_mode = config.prune_mode if config.model_type == "ltp" else None
    default_mode = own_mode if stage.eval else own_mode or DEFAULT_PRUNE_MODE
    mode = default_mode if stage.prune_mode is None else stage.prune_mode
    if args.target_flops is not None and mode != DEFAULT_PRUNE_MODE:
        raise UserError(f"--target_flops {args.target_flops}: expected --prune_mode {DEFAULT_PRUNE_MODE}, not {mode}")
    if own_mode is not None:
        defaults = {name: getattr(config, name) for name in BUDGET_DEFAULTS}
    elif args.target_flops is not None:
        defaults = BUDGET_DEFAULTS
    else:
        temperature = getattr(config, "temperature", 1e-5)
        defaults = {"final_token_threshold": DEFAULT_FINAL_TOKEN_THRESHOLD, "temperature": temperature}
    given = {name: getattr(stage, name) for name in ("score_normalization", "final_token_threshold")}
    given["temperature"] = args.temperature
    return {"prune_mode": mode, **defaults, **{name: value for name, value in given.items() if value is not None}}


def result_dir(
    stage: StageArguments,
    data_args: DataArguments,
    args: StageTrainingArguments,
    pruning: dict[str, Any],
    task: Task,
) -> Path:
    """`--output_dir`, or the folder that the stage's settings name."""
    if args.output_dir is not None:
        return Path(args.output_dir)
    if stage.eval:
        return Path(stage.restore, "eval", Path(data_args.validation_file or task.hub_splits["eval"]).stem)
    if args.masking_mode == "hard":
        return hard_dir(stage.restore, args.learning_rate)
    soft = stage_dir(
        "checkpoints",
        stage.arch,
        task.name,
        pruning["prune_mode"],
        float(pruning["final_token_threshold"]),
        float(pruning["temperature"]),
        args.lambda_threshold,
        args.learning_rate,
        args.target_flops,
    )
    return soft if args.masking_mode == "soft" else soft.parent / "mixed" / soft.name


def layers_table(results: dict[str, Any]) -> str:
    """A line a layer: its threshold, and how many tokens of a function its feed-forward part computed on average."""
    kept = results["eval_tokens_kept_per_layer"]
    thresholds = results.get("eval_thresholds_per_layer", [None] * len(kept))
    return format_table(
        [
            {"layer": layer, "threshold": threshold, "tokens kept": tokens}
            for layer, (threshold, tokens) in enumerate(zip(thresholds, kept, strict=True), start=1)
        ]
    )
