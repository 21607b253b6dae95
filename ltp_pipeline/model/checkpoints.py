"""Loads the configuration, the tokenizer and the model of a checkpoint: a folder, or a name on the hub.

Any error in the checkpoint is raised as a UserError, whose message begins with the flag and the path.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.hub import hub_options, offline_note
from ltp_pipeline.model.precision import prepack_bfloat16

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from ltp_pipeline.task.tasks import Task
    from transformer_revised import LTPConfig, LTPForSequenceClassification

HUB_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
PRUNABLE = ("longformer", "ltp")
# RoBERTa and the model types derived from it start position ids at pad_token_id + 1.
POSITIONS_AFTER_PADDING = (*PRUNABLE, "roberta", "xlm-roberta", "camembert", "ibert", "mpnet", "roberta-prelayernorm")


def check_checkpoint(path: str | Path, flag: str = "--restore") -> None:
    """Raises UserError unless `path` is a folder with config.json and weights, or could be a name on the hub."""
    folder = Path(path)
    if not folder.exists():
        if HUB_NAME.match(str(path)):
            return
        raise UserError(f"{flag} {path}: no such folder; expected the output folder of an earlier stage")
    if not folder.is_dir():
        raise UserError(f"{flag} {path}: this is a file; expected a checkpoint folder with config.json and weights")
    if not (folder / "config.json").is_file():
        inner = next(iter(sorted(folder.glob("**/config.json"))), None)
        hint = f"did you mean {inner.parent}?" if inner else "expected the output folder of a stage that has finished"
        raise UserError(f"{flag} {path}: no config.json in this folder; {hint}")
    if not any(any(folder.glob(pattern)) for pattern in WEIGHTS):
        raise UserError(f"{flag} {path}: no weights in this folder; expected model.safetensors beside config.json")


def load_config(path: str | Path, *, flag: str) -> "PreTrainedConfig":
    """Loads a configuration from a folder, the hub or a JSON file. Raises UserError if none can be loaded."""
    from transformers import AutoConfig

    import transformer_revised  # noqa: F401  makes "ltp" known

    with _as_user_error(path, flag, "config.json"):
        return AutoConfig.from_pretrained(path, **hub_options(path))


def load_tokenizer(path: str | Path, *, flag: str) -> "PreTrainedTokenizerBase":
    """Loads a tokenizer from a folder or the hub. Raises UserError if there is none or it has no padding token."""
    from transformers import AutoTokenizer

    import transformer_revised  # noqa: F401  makes "ltp" known

    folder = Path(path)
    if folder.is_dir() and not any(folder.glob("tokenizer*")) and not any(folder.glob("vocab.*")):
        raise UserError(f"{flag} {path}: no tokenizer in this folder; expected tokenizer.json beside config.json")
    with _as_user_error(path, flag, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(path, **hub_options(path))
    if tokenizer.pad_token_id is None:
        raise UserError(f"{flag} {path}: the tokenizer has no padding token; expected one, such as <pad>")
    return tokenizer


def load_pruning_model(
    path: str | Path, *, flag: str, dtype: "torch.dtype | str" = "float32", **overrides: Any
) -> "LTPForSequenceClassification":
    """Loads a classifier as an LTP model. Learned offsets that the checkpoint does not have start at 0.

    Args:
        path: folder or hub name of a Longformer or LTP checkpoint.
        dtype: see `load_with_missing`.
        overrides: values of the configuration to change, such as `prune_mode` and `temperature`.

    Raises UserError if there is no checkpoint, it has another model type, its weights do not fit or are missing, or an
    override is wrong.
    """
    from transformer_revised import LTPForSequenceClassification

    config = load_config(path, flag=flag)
    if config.model_type not in PRUNABLE:
        raise UserError(f"{flag} {path}: model type {config.model_type!r}; expected one of {', '.join(PRUNABLE)}")
    with _as_user_error(path, flag, "configuration"):
        config = as_ltp_config(config, **overrides)
    return load_weights(LTPForSequenceClassification, path, config, flag=flag, dtype=dtype)


def as_ltp_config(config: "PreTrainedConfig", **overrides: Any) -> "LTPConfig":
    """Returns the configuration of a Longformer or LTP model as an LTPConfig, with the values in `overrides`."""
    from transformer_revised import LTPConfig

    values = config.to_dict()
    del values["model_type"]  # Otherwise the LTPConfig would keep the type "longformer".
    return LTPConfig.from_dict({**values, **overrides})


def load_weights(
    model_class: Any, path: str | Path, config: "PreTrainedConfig", *, flag: str, new_head: bool = False, **rest: Any
) -> "PreTrainedModel":
    """Loads a classifier, see `load_with_missing`. Without `new_head`, missing weights raise UserError, too."""
    model, missing = load_with_missing(model_class, path, config, flag=flag, new_head=new_head, **rest)
    if missing and not new_head:
        raise UserError(
            f"{flag} {path}: {len(missing)} weights are missing ({missing[0]}, ...); expected a model fine-tuned for "
            "classification: run run_glue_code_metrics.py first"
        )
    if [name for name in missing if not name.startswith("classifier")]:
        print(f"weights that start at random: {', '.join(missing)}")
    return model


def load_with_missing(
    model_class: Any,
    path: str | Path,
    config: "PreTrainedConfig",
    *,
    flag: str,
    new_head: bool = False,
    dtype: "torch.dtype | str" = "float32",
) -> tuple["PreTrainedModel", list[str]]:
    """Loads a model in evaluation mode. Returns it and the names of missing weights, which start at random.

    Args:
        config: replaces the configuration of the checkpoint.
        new_head: whether a classification head for another number of classes is replaced by a random one.
        dtype: dtype of the weights; learned offsets are always float32. bfloat16 is for evaluation only: the weights
            of an LTP model are then prepacked.

    Raises UserError if there is no such checkpoint, or a weight has another shape.
    """
    options = {"config": config, "dtype": dtype, **hub_options(path), "ignore_mismatched_sizes": True}
    with _as_user_error(path, flag, "weights"), _quiet_library():
        model, info = model_class.from_pretrained(path, output_loading_info=True, **options)
    mismatched = sorted(info["mismatched_keys"])
    for name, own, wanted in mismatched:
        if not (new_head and name.startswith("classifier")):
            raise UserError(
                f"{flag} {path}: the weights cannot be loaded: {name} is {list(own)}; expected {list(wanted)}"
            )
    if mismatched:
        print(f"a new classification head: the head of {path} has another number of classes")
    prepack_bfloat16(model)
    return model, sorted(info["missing_keys"])


def random_weights(config: "PreTrainedConfig", *, path: str | Path, flag: str) -> "PreTrainedModel":
    """Makes a classifier with random weights. Raises UserError if `config`, read from `path`, is wrong."""
    from transformers import AutoModelForSequenceClassification

    with _as_user_error(path, flag, "configuration"):
        return AutoModelForSequenceClassification.from_config(config)


def position_limit(config: "PreTrainedConfig") -> int | None:
    """Maximum number of tokens in a text for which the model has positions; None if it has no table of positions."""
    positions = getattr(config, "max_position_embeddings", None)
    return None if positions is None else positions - first_position(config)


def first_position(config: "PreTrainedConfig") -> int:
    """Position id of the first token of a text."""
    return config.pad_token_id + 1 if config.model_type in POSITIONS_AFTER_PADDING else 0


def check_classes(config: "PreTrainedConfig", task: "Task", name: str, task_flag: str = "--task_name") -> None:
    """Raises UserError, which begins with `name`, unless the model has as many classes as `task`."""
    if config.num_labels != task.num_labels:
        raise UserError(
            f"{name}: has {config.num_labels} classes, but {task_flag} {task.name} has {task.num_labels}; expected "
            "the task that the model was fine-tuned for"
        )


def check_tokenizer_fits(tokenizer: "PreTrainedTokenizerBase", config: "PreTrainedConfig", *, flag: str) -> None:
    """Raises UserError if the tokenizer has more tokens than the model, or another padding token."""
    if len(tokenizer) > config.vocab_size:
        raise UserError(
            f"{flag}: the tokenizer has {len(tokenizer)} tokens and the model only {config.vocab_size}; expected the "
            "tokenizer of the checkpoint, or a larger vocab_size for a new model"
        )
    if config.pad_token_id is not None and tokenizer.pad_token_id != config.pad_token_id:
        raise UserError(
            f"{flag}: the tokenizer's padding token has id {tokenizer.pad_token_id}, the model's "
            f"{config.pad_token_id}; expected the same"
        )


@contextmanager
def _as_user_error(path: str | Path, flag: str, what: str) -> Iterator[None]:
    """Turns an error that the library raises for a wrong checkpoint into a UserError with the start of its message."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        reason = shorten(str(error), 300) or type(error).__name__
        if Path(path).exists():
            raise UserError(f"{flag} {path}: the {what} cannot be loaded: {reason}") from error
        raise UserError(
            f"{flag} {path}: no such folder, and no model of that name on the hub: {reason}{offline_note()}"
        ) from error


@contextmanager
def _quiet_library() -> Iterator[None]:
    """Suppresses the library's warning that a Longformer checkpoint is loaded as LTP, which is intended here."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
