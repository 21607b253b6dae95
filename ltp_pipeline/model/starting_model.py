"""Makes the classifier that fine-tuning starts from: a checkpoint, a converted checkpoint, or random weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformers.hf_argparser import HfArg

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.hub import as_user_error
from ltp_pipeline.model import conversion
from ltp_pipeline.model.checkpoints import PRUNABLE, as_ltp_config, load_config, random_weights
from ltp_pipeline.model.precision import dtype_of_weights, prepare_evaluation
from ltp_pipeline.model.weights import load_weights
from ltp_pipeline.task.class_names import set_task
from ltp_pipeline.task.tasks import GLUE_NAMES, Task

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


@dataclass
class ModelArguments:
    """The model that is fine-tuned or evaluated."""

    _argument_group_name = "model"

    model_name_or_path: str | None = HfArg(
        default=None, help="Checkpoint to start from: a folder or a hub name (default: random weights, --config_name)."
    )
    config_name: str | None = HfArg(
        default=None, help="Configuration of a model with random weights: a JSON file or a folder."
    )
    tokenizer_name: str | None = HfArg(
        default=None, help="Folder or hub name of the tokenizer (default: that of the checkpoint)."
    )
    window_size: int | None = HfArg(
        default=None,
        help="Attention window of every layer, an even number of tokens: each token attends to half of it on "
        "each side (default: that of the checkpoint; with --convert_to_ltp 512).",
    )
    convert_to_ltp: bool = HfArg(
        default=False, help="Convert a BERT or RoBERTa checkpoint, such as CodeBERT, to LTP and fine-tune the result."
    )
    max_positions: int | None = HfArg(
        default=None, help="With --convert_to_ltp: maximum length of an input, in tokens (default: 4096)."
    )
    task_name: str = HfArg(
        default="code",
        help="code: whether a function is defective. vdisc: which of VDISC's five groups of defects a function "
        f"has. Or a GLUE task: {', '.join(GLUE_NAMES)}.",
    )


def load_classifier(
    args: ModelArguments,
    tokenizer: "PreTrainedTokenizerBase",
    new_head: bool,
    task: Task,
    dtype: "torch.dtype | str" = "float32",
) -> "PreTrainedModel":
    """Returns a classifier, or a regressor, for `task`.

    A Longformer, or with `--convert_to_ltp` a BERT or RoBERTa, becomes an LTP model that prunes nothing. An LTP model
    keeps its pruning settings. Models of other types are not changed.

    Args:
        tokenizer: the model's tokenizer. A conversion increases its maximum length.
        new_head: whether the classification head may start at random.
        dtype: of the weights of a checkpoint: float32, or bfloat16 or int8 for evaluation.

    Raises UserError if there is no such checkpoint or configuration, it does not fit, or `--window_size` is wrong.
    """
    from transformers import AutoModelForSequenceClassification

    if args.convert_to_ltp:
        return _convert(args, tokenizer, new_head, task, dtype)
    flag, path = "--model_name_or_path", args.model_name_or_path
    config = classifier_config(args, task)
    if path is None:
        return random_weights(config, path=args.config_name, flag="--config_name")
    return load_weights(AutoModelForSequenceClassification, path, config, flag=flag, new_head=new_head, dtype=dtype)


def classifier_config(args: ModelArguments, task: Task) -> "PreTrainedConfig":
    """Loads the configuration for `load_classifier`, from `--config_name` or the checkpoint.

    Raises UserError if there is none, if it is wrong, or if `--window_size` is wrong.
    """
    flag = "--config_name" if args.config_name is not None else "--model_name_or_path"
    path = args.config_name or args.model_name_or_path
    config = load_config(path, flag=flag)
    if config.model_type == "longformer":
        with as_user_error(path, flag, "config.json"):
            config = as_ltp_config(config, prune_mode=None)
    set_task(config, task, f"{flag} {path}")
    if args.window_size is not None:
        if config.model_type not in PRUNABLE:
            raise UserError(f"--window_size: model type {config.model_type!r} has no attention window")
        conversion.check_window(args.window_size, "--window_size")
        config.attention_window = [args.window_size] * config.num_hidden_layers
    return config


def check_conversion(args: ModelArguments) -> None:
    """Raises UserError if flags about a conversion contradict each other, or if a size is out of range."""
    if not args.convert_to_ltp:
        if args.max_positions is not None:
            raise UserError("--max_positions: is for a conversion; expected --convert_to_ltp with it")
        return
    if args.model_name_or_path is None or args.config_name is not None:
        raise UserError(
            "--convert_to_ltp: expected --model_name_or_path, the checkpoint to convert, and no --config_name"
        )
    conversion.check_sizes(*_sizes(args), window_flag="--window_size")


def _sizes(args: ModelArguments) -> tuple[int, int]:
    """Maximum number of positions and attention window of a converted model."""
    positions = conversion.MAX_POSITIONS if args.max_positions is None else args.max_positions
    return positions, conversion.ATTENTION_WINDOW if args.window_size is None else args.window_size


def _convert(
    args: ModelArguments, tokenizer: "PreTrainedTokenizerBase", new_head: bool, task: Task, dtype: "torch.dtype | str"
) -> "PreTrainedModel":
    flag, path = "--model_name_or_path", args.model_name_or_path
    config = load_config(path, flag=flag)
    if new_head and config.num_labels != task.num_labels:
        config.architectures = None  # Then the source is loaded without its head.
    set_task(config, task, f"{flag} {path}")
    max_positions, attention_window = _sizes(args)
    source = conversion.load_source(path, config, flag=flag, dtype=dtype_of_weights(dtype))
    model, missing = conversion.convert(
        source,
        tokenizer,
        max_positions=max_positions,
        attention_window=attention_window,
        head="SequenceClassification",
    )
    if missing and not new_head:
        raise UserError(f"{flag} {path}: has no classification head; expected one, because nothing is trained")
    prepare_evaluation(model, dtype, f"{flag} {path}")
    conversion.set_max_length(tokenizer, max_positions)
    print(
        f"converted {path} to LTP: maximum length {max_positions} tokens, the same outputs up to "
        f"{conversion.exact_length(attention_window)} tokens, {'a new' if missing else 'its own'} classification head"
    )
    return model
