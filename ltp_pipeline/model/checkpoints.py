"""Loads the configuration, the tokenizer and the model of a checkpoint: a folder, or a name on the hub.

Any error in the checkpoint is raised as a UserError, whose message begins with the flag and the path.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.hub import as_user_error, hub_options
from ltp_pipeline.model.checkpoint_files import (
    CONFIG,
    check_model_files,
    check_tokenizer_files,
    describe_folder,
    read_json,
)
from ltp_pipeline.model.config_values import POSITIONS_AFTER_PADDING, PRUNABLE, check_values
from ltp_pipeline.model.self_contained import renew_auto_map
from ltp_pipeline.model.weights import load_weights
from ltp_pipeline.task.class_names import set_task

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from ltp_pipeline.task.tasks import Task
    from transformer_revised import LTPConfig, LTPForSequenceClassification

HUB_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?$")


def check_checkpoint(path: str | Path, flag: str = "--restore") -> None:
    """Raises UserError unless `path` is a folder with a model that can be loaded, or could be a name on the hub."""
    folder, where = Path(path), f"{flag} {path}"
    if not folder.exists():
        if HUB_NAME.match(str(path)):
            return
        raise UserError(f"{where}: no such folder; expected the output folder of an earlier stage")
    if not folder.is_dir():
        raise UserError(f"{where}: this is a file; expected a checkpoint folder with config.json and weights")
    if not (folder / CONFIG).is_file():
        raise UserError(f"{where}: no config.json in this folder; {describe_folder(folder, where)}")
    check_values(read_json(folder / CONFIG, where), where)
    check_model_files(folder, where)


def load_config(path: str | Path, *, flag: str) -> "PreTrainedConfig":
    """Loads a configuration from a folder, the hub or a JSON file, without executing code that it may name.

    Raises UserError if none can be loaded, or a value in it is out of range.
    """
    from transformers import AutoConfig, PreTrainedConfig

    import transformer_revised  # noqa: F401  makes "ltp" known

    file, where = Path(path), f"{flag} {path}"
    if file.is_dir() and not (file / CONFIG).is_file():
        raise UserError(f"{where}: no config.json in this folder; {describe_folder(file, where)}")
    file = file / CONFIG if file.is_dir() else file
    if file.is_file():
        values = read_json(file, where)
    else:
        with as_user_error(path, flag, CONFIG):
            values, _ = PreTrainedConfig.get_config_dict(path, **hub_options(path))
    check_values(values, where)
    with as_user_error(path, flag, CONFIG):
        config = AutoConfig.from_pretrained(path, trust_remote_code=False, **hub_options(path))
    renew_auto_map(config)
    return config


def load_tokenizer(path: str | Path, *, flag: str) -> "PreTrainedTokenizerBase":
    """Loads a tokenizer from a folder or the hub, without executing code that it may name.

    Raises UserError if there is none, it has no padding token, or its maximum length is out of range.
    """
    from transformers import AutoTokenizer

    import transformer_revised  # noqa: F401  makes "ltp" known

    folder, where = Path(path), f"{flag} {path}"
    if folder.is_dir():
        if not any(folder.glob("tokenizer*")) and not any(folder.glob("vocab.*")):
            raise UserError(f"{where}: no tokenizer in this folder; expected tokenizer.json beside config.json")
        check_tokenizer_files(folder, where)
    with as_user_error(path, flag, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, **hub_options(path))
        padding, longest = tokenizer.pad_token_id, tokenizer.model_max_length
    if padding is None:
        raise UserError(f"{where}: the tokenizer has no padding token; expected one, such as <pad>")
    if not isinstance(longest, int) or longest < 3:
        raise UserError(
            f"{where}: tokenizer_config.json has model_max_length {longest!r}; expected a whole number of tokens, 3 "
            "or more: <s>, a token and </s>"
        )
    return tokenizer


def load_pruning_model(
    path: str | Path,
    *,
    flag: str,
    dtype: "torch.dtype | str" = "float32",
    task: "Task | None" = None,
    **overrides: Any,
) -> "LTPForSequenceClassification":
    """Loads a classifier as an LTP model. Learned offsets that the checkpoint does not have start at 0.

    Args:
        path: folder or hub name of a Longformer or LTP checkpoint.
        dtype: see `load_with_missing`.
        task: the task that the model is used for. Its classes then have the names of the task, see `set_task`.
        overrides: values of the configuration to change, such as `prune_mode` and `temperature`.

    Raises UserError if there is no checkpoint, it has another model type, its weights do not fit or are missing, or an
    override is wrong.
    """
    from transformer_revised import LTPForSequenceClassification

    config = load_config(path, flag=flag)
    if config.model_type not in PRUNABLE:
        raise UserError(f"{flag} {path}: model type {config.model_type!r}; expected one of {', '.join(PRUNABLE)}")
    with as_user_error(path, flag, CONFIG):
        config = as_ltp_config(config, **overrides)
    if task is not None:
        set_task(config, task, f"{flag} {path}")
    return load_weights(LTPForSequenceClassification, path, config, flag=flag, dtype=dtype)


def load_classifier(
    path: str | Path, task: "Task", dtype: "torch.dtype", device: "torch.device", *, flag: str
) -> tuple["LTPForSequenceClassification", "PreTrainedTokenizerBase"]:
    """The classifier in a checkpoint, in evaluation mode on `device`, and its tokenizer.

    A Longformer does not prune. An LTP checkpoint has its own pruning.
    Raises UserError if the checkpoint cannot be used, or is not for `task`.
    """
    where = f"{flag} {path}"
    own = load_config(path, flag=flag)
    check_classes(own, task, where)
    changes = {"prune_mode": None} if own.model_type != "ltp" else {}
    model = load_pruning_model(path, flag=flag, dtype=dtype, task=task, **changes).eval().to(device)
    tokenizer = load_tokenizer(path, flag=flag)
    check_tokenizer_fits(tokenizer, model.config, flag=where)
    return model, tokenizer


def as_ltp_config(config: "PreTrainedConfig", **overrides: Any) -> "LTPConfig":
    """Returns the configuration of a Longformer or LTP model as an LTPConfig, with the values in `overrides`."""
    from transformer_revised import LTPConfig

    values = config.to_dict()
    del values["model_type"]  # Otherwise the LTPConfig would keep the type "longformer".
    return LTPConfig.from_dict({**values, **overrides})


def random_weights(config: "PreTrainedConfig", *, path: str | Path, flag: str) -> "PreTrainedModel":
    """Makes a classifier with random weights. Raises UserError if `config`, read from `path`, is wrong."""
    from transformers import AutoModelForSequenceClassification

    with as_user_error(path, flag, CONFIG):
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
    """Raises UserError if the tokenizer has more tokens than the model, another padding token, or no first token."""
    last = max(tokenizer.get_vocab().values(), default=0)
    if max(len(tokenizer), last + 1) > config.vocab_size:
        raise UserError(
            f"{flag}: the tokenizer has {max(len(tokenizer), last + 1)} tokens and the model only "
            f"{config.vocab_size}; expected the tokenizer of the checkpoint, or a larger vocab_size for a new model"
        )
    if config.pad_token_id is not None and tokenizer.pad_token_id != config.pad_token_id:
        raise UserError(
            f"{flag}: the tokenizer's padding token has id {tokenizer.pad_token_id}, the model's "
            f"{config.pad_token_id}; expected the same"
        )
    if config.model_type in POSITIONS_AFTER_PADDING and tokenizer.cls_token_id is None:
        raise UserError(
            f"{flag}: the tokenizer has no cls_token; expected one, such as <s>: the model classifies a text by its "
            "first token"
        )
