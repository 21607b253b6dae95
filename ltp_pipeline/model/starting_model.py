"""The model that fine-tuning starts from: a checkpoint or random weights, a Longformer always in LTP's form."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model import conversion
from ltp_pipeline.model.checkpoints import PRUNABLE, as_ltp_config, load_config, load_weights, random_weights
from ltp_pipeline.model.precision import prepack_bfloat16
from ltp_pipeline.task.tasks import CODE, GLUE_NAMES, Task

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


@dataclass
class ModelArguments:
    """The model that is fine-tuned or evaluated."""

    _argument_group_name = "model"

    model_name_or_path: str | None = field(
        default=None,
        metadata={
            "help": "Checkpoint to start from: a folder or a hub name (default: random weights, --config_name)."
        },
    )
    config_name: str | None = field(
        default=None, metadata={"help": "Configuration of a model with random weights: a JSON file or a folder."}
    )
    tokenizer_name: str | None = field(
        default=None, metadata={"help": "Folder or hub name of the tokenizer (default: that of the checkpoint)."}
    )
    window_size: int | None = field(
        default=None,
        metadata={
            "help": "Attention window of every layer, an even number of tokens: each token attends to half of it on "
            "each side (default: that of the checkpoint; with --convert_to_ltp 512)."
        },
    )
    convert_to_ltp: bool = field(
        default=False,
        metadata={"help": "Convert a BERT or RoBERTa checkpoint, such as CodeBERT, to LTP and fine-tune the result."},
    )
    max_positions: int | None = field(
        default=None,
        metadata={"help": "With --convert_to_ltp: maximum length of an input, in tokens (default: 4096)."},
    )
    task_name: str = field(
        default="code",
        metadata={
            "help": "code: is a function defective, yes or no. vdisc: which of VDISC's five groups of defects a "
            f"function has, several at once. Tasks of GLUE: {', '.join(GLUE_NAMES)}."
        },
    )


def load_classifier(
    args: ModelArguments, tokenizer: "PreTrainedTokenizerBase", new_head: bool, task: Task, dtype: str = "float32"
) -> "PreTrainedModel":
    """Sequence classifier, or regressor, of `task` for `args`.

    A Longformer becomes an LTP model that prunes nothing, and so does a BERT or RoBERTa with `--convert_to_ltp`; an
    LTP model keeps its own pruning; any other is what the Auto class makes of it.

    Args:
        tokenizer: that of the model; a conversion makes it one for longer texts.
        new_head: whether the classification head may start at random.
        dtype: of the weights of a checkpoint: "float32", or "bfloat16" for evaluation.

    Raises:
        UserError: no such checkpoint or configuration, one that does not fit, or a bad `--window_size`.
    """
    from transformers import AutoModelForSequenceClassification

    if args.convert_to_ltp:
        return _converted(args, tokenizer, new_head, task, dtype)
    config = classifier_config(args, task)
    if args.model_name_or_path is None:
        return random_weights(config, path=args.config_name, flag="--config_name")
    return load_weights(
        AutoModelForSequenceClassification,
        args.model_name_or_path,
        flag="--model_name_or_path",
        new_head=new_head,
        dtype=dtype,
        config=config,
    )


def classifier_config(args: ModelArguments, task: Task) -> "PreTrainedConfig":
    """Configuration for `load_classifier`, from `--config_name` or the checkpoint. Raises UserError as that does."""
    flag = "--config_name" if args.config_name is not None else "--model_name_or_path"
    config = load_config(args.config_name or args.model_name_or_path, flag=flag)
    if config.model_type == "longformer":
        config = as_ltp_config(config, prune_mode=None)
    _set_task(config, task)
    if args.window_size is not None:
        if config.model_type not in PRUNABLE:
            raise UserError(f"--window_size: model type {config.model_type!r} has no attention window")
        conversion.check_window(args.window_size, "--window_size")
        config.attention_window = [args.window_size] * config.num_hidden_layers
    return config


def check_conversion(args: ModelArguments) -> None:
    """Raises UserError for flags about a conversion that do not go together, or that no model can be made with."""
    if not args.convert_to_ltp:
        if args.max_positions is not None:
            raise UserError("--max_positions: only a conversion sets it; expected --convert_to_ltp with it")
        return
    if args.model_name_or_path is None or args.config_name is not None:
        raise UserError(
            "--convert_to_ltp: expected --model_name_or_path, the checkpoint to convert, and no --config_name"
        )
    conversion.check_sizes(*_sizes(args), window_flag="--window_size")


def _sizes(args: ModelArguments) -> tuple[int, int]:
    given = (args.max_positions, args.window_size)
    defaults = (conversion.MAX_POSITIONS, conversion.ATTENTION_WINDOW)
    return tuple(default if size is None else size for size, default in zip(given, defaults, strict=True))


def _set_task(config: "PreTrainedConfig", task: Task) -> None:
    config.num_labels = task.num_labels
    config.problem_type = task.problem_type
    if task is not CODE and task.labels:
        config.id2label = dict(enumerate(task.labels))
        config.label2id = {name: number for number, name in enumerate(task.labels)}


def _converted(
    args: ModelArguments, tokenizer: "PreTrainedTokenizerBase", new_head: bool, task: Task, dtype: str
) -> "PreTrainedModel":
    flag, path = "--model_name_or_path", args.model_name_or_path
    config = load_config(path, flag=flag)
    if new_head and config.num_labels != task.num_labels:
        config.architectures = None  # its head is left out
    _set_task(config, task)
    max_positions, attention_window = _sizes(args)
    model, missing = conversion.convert(
        conversion.load_source(path, flag=flag, config=config, dtype=dtype),
        tokenizer,
        max_positions=max_positions,
        attention_window=attention_window,
        head="SequenceClassification",
    )
    if missing and not new_head:
        raise UserError(
            f"{flag} {path}: has no classification head; expected one, as nothing is trained without --do_train"
        )
    prepack_bfloat16(model)
    conversion.set_max_length(tokenizer, max_positions)
    print(
        f"{path} as LTP: texts of up to {max_positions} tokens, the same states up to "
        f"{conversion.exact_length(attention_window)}; " + ("a new classification head" if missing else "its own head")
    )
    return model
