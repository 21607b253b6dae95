"""Checks the training flags before any file is read: numbers, and flags that do not fit the task."""

import math
from importlib.util import find_spec

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.flags import check_positive
from ltp_pipeline.data.flags import DataArguments
from ltp_pipeline.task.breakdown import check_bootstrap
from ltp_pipeline.task.tasks import Task
from ltp_pipeline.training.arguments import FineTuningArguments, StageTrainingArguments, with_values

SHORT_NAMES = {
    "learning_rate": "lr",
    "num_train_epochs": "epoch",
    "per_device_train_batch_size": "bs",
    "weight_decay": "model_weight_decay",
}
# Metrics of every task by which the best step can be chosen; those of FLOPs are of LTP models
OF_EVERY_TASK = ("loss", "relative_flops", "full_relative_flops", "gflops_per_function")
# Flags, whether a value makes sense, and what is expected. A flag that was not given (None) passes. The numbers of
# pruning are checked where they are declared, in LTPTrainingArguments.
RANGES = (
    (
        (
            "learning_rate",
            "num_train_epochs",
            "per_device_train_batch_size",
            "per_device_eval_batch_size",
            "gradient_accumulation_steps",
            "lr_threshold",
            "early_stopping_patience",
            "max_tokens_per_batch",
            "logging_steps",
            "save_steps",
            "eval_steps",
            "save_total_limit",
            "lora_r",
            "lora_alpha",
        ),
        lambda value: value > 0,
        "a number above 0",
    ),
    (
        (
            "weight_decay",
            "early_stopping_threshold",
            "warmup_steps",
            "max_grad_norm",
            "dataloader_num_workers",
        ),
        lambda value: value >= 0,
        "0 or more",
    ),
    (
        ("label_smoothing_factor", "adam_beta1", "adam_beta2", "lora_dropout"),
        lambda value: 0 <= value < 1,
        "at least 0 and below 1",
    ),
    (("adam_epsilon",), lambda value: value > 0, "a number above 0"),
    (("seed", "data_seed"), lambda value: 0 <= value < 2**32, "0 to 4294967295"),
    (("max_steps",), lambda value: value > 0 or value == -1, "1 or more, or -1 for --num_train_epochs"),
)


def check_numbers(args: FineTuningArguments, data: DataArguments) -> None:
    """Raises UserError, naming the flag, for a number out of range, and for TensorBoard if it is not installed."""
    short_names = SHORT_NAMES if isinstance(args, StageTrainingArguments) else {}
    for names, is_possible, expected in RANGES:
        for name in names:
            value = getattr(args, name)
            if value is not None and not (math.isfinite(value) and is_possible(value)):
                flag = short_names.get(name, name).removesuffix("_factor")
                raise UserError(f"--{flag} {value}: expected {expected}")
    check_positive(data, "max_train_samples", "max_eval_samples", "max_test_samples")
    if "tensorboard" in args.report_to and find_spec("tensorboard") is None:
        raise UserError("--report_to tensorboard: the package is not installed; run `pip install tensorboard`")


def adapt_to_task(args: FineTuningArguments, task: Task) -> FineTuningArguments:
    """A copy of `args` in which the metric for the best step is the task's first one, unless a flag gave another.

    Raises UserError for a flag that `task` does not allow.
    """
    if args.metric_for_best_model is None:
        larger = True if args.greater_is_better is None else args.greater_is_better
        args = with_values(args, metric_for_best_model=task.metrics[0], greater_is_better=larger)
    measured = dict.fromkeys((*task.metrics, *OF_EVERY_TASK))
    if args.metric_for_best_model.removeprefix("eval_") not in measured:
        raise UserError(
            f"--metric_for_best_model {args.metric_for_best_model}: the metrics of {task.name} are "
            f"{', '.join(measured)}"
        )
    check_bootstrap(args.bootstrap, task)
    for_classes = {"--label_smoothing": args.label_smoothing_factor, "--class_weights": args.class_weights != "none"}
    for flag, given in for_classes.items():
        if task.is_regression and given:
            raise UserError(f"{flag}: {task.name} predicts a number; expected a task of classes")
        if task.multi_label and given:
            raise UserError(f"{flag}: {task.name} has several labels at once; expected a task with one class per item")
    return args
