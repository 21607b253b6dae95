"""Checkpoints: checking, loading, and where each stage's result lies."""

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
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from transformer_revised import LTPConfig, LTPForSequenceClassification

HUB_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
PRUNABLE = ("longformer", "ltp")
# RoBERTa and what descends from it number the positions from the padding token's id + 1 on.
POSITIONS_AFTER_PADDING = (*PRUNABLE, "roberta", "xlm-roberta", "camembert", "ibert", "mpnet", "roberta-prelayernorm")


def check_checkpoint(path: str | Path, flag: str = "--restore") -> None:
    """Raises UserError, naming `flag`, unless `path` is a folder with config.json and weights or can be a hub name."""
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
    """Configuration of a checkpoint, folder, hub name or JSON file. Raises UserError if there is none or a bad one."""
    from transformers import AutoConfig

    import transformer_revised  # noqa: F401  makes "ltp" known

    with _as_user_error(path, flag, "config.json"):
        return AutoConfig.from_pretrained(path, **hub_options(path))


def load_tokenizer(path: str | Path, *, flag: str) -> "PreTrainedTokenizerBase":
    """Tokenizer saved in a folder or on the hub. Raises UserError if there is none or it cannot pad."""
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
    path: str | Path, *, flag: str, new_head: bool = False, dtype: str = "float32", **overrides: Any
) -> "LTPForSequenceClassification":
    """A Longformer or LTP checkpoint as LTP; thresholds that it does not have start at 0.

    Args:
        path: folder or hub name.
        flag: the flag that named it, for messages.
        new_head: whether weights beside the thresholds may be missing and start at random, as a classification head.
        dtype: of the weights, see `load_with_missing`.
        overrides: configuration values to change, such as `prune_mode` and `temperature`.

    Raises:
        UserError: no checkpoint, one of another model type, one whose weights do not fit, or a bad override.
    """
    from transformer_revised import LTPForSequenceClassification

    config = load_config(path, flag=flag)
    if config.model_type not in PRUNABLE:
        raise UserError(f"{flag} {path}: model type {config.model_type!r}; expected one of {', '.join(PRUNABLE)}")
    with _as_user_error(path, flag, "configuration"):
        config = as_ltp_config(config, **overrides)
    return load_weights(LTPForSequenceClassification, path, flag=flag, new_head=new_head, dtype=dtype, config=config)


def as_ltp_config(config: "PreTrainedConfig", **overrides: Any) -> "LTPConfig":
    """The configuration of a Longformer or an LTP model as LTP's, with some values changed."""
    from transformer_revised import LTPConfig

    values = config.to_dict()
    del values["model_type"]  # else the object would go on calling itself a Longformer
    return LTPConfig.from_dict({**values, **overrides})


def load_weights(
    model_class: Any, path: str | Path, *, flag: str, new_head: bool = False, **kwargs: Any
) -> "PreTrainedModel":
    """`model_class.from_pretrained(path, **kwargs)`, whose failures and missing weights are UserErrors.

    With `new_head` a classification head that is missing, or for another number of classes, starts at random.
    """
    model, missing = load_with_missing(model_class, path, flag=flag, new_head=new_head, **kwargs)
    if missing and not new_head:
        raise UserError(
            f"{flag} {path}: {len(missing)} weights are missing ({missing[0]}, ...); expected a model fine-tuned for "
            "classification: run run_glue_code_metrics.py first"
        )
    if [key for key in missing if not key.startswith("classifier")]:
        print(f"weights that start at random: {', '.join(missing)}")
    return model


def load_with_missing(
    model_class: Any, path: str | Path, *, flag: str, new_head: bool = False, **kwargs: Any
) -> tuple["PreTrainedModel", list[str]]:
    """`model_class.from_pretrained(path, **kwargs)`, whose failures are UserErrors, and what started at random.

    Weights of another shape are a UserError, but for those of a classification head with `new_head`. The weights are
    float32, or what the argument `dtype` says ("bfloat16": for evaluation; an LTP model's are then prepacked).
    """
    # Trained, and cut to what is wanted, from float32; mismatched sizes are judged below.
    options = {"dtype": "float32", **hub_options(path), **kwargs, "ignore_mismatched_sizes": True}
    with _as_user_error(path, flag, "weights"), _quiet_library():
        model, info = model_class.from_pretrained(path, output_loading_info=True, **options)
    prepack_bfloat16(model)
    mismatched = sorted(info["mismatched_keys"])
    for name, own, wanted in mismatched:
        if not (new_head and name.startswith("classifier")):
            raise UserError(
                f"{flag} {path}: the weights cannot be loaded: {name} is {list(own)}; expected {list(wanted)}"
            )
    if mismatched:
        print(f"a new classification head: that of {path} is for another number of classes")
    return model, sorted(info["missing_keys"])


def random_weights(config: "PreTrainedConfig", *, path: str | Path, flag: str) -> "PreTrainedModel":
    """A new classifier of `config`, read from `path`. Raises UserError where no model can be made of it."""
    from transformers import AutoModelForSequenceClassification

    with _as_user_error(path, flag, "configuration"):
        return AutoModelForSequenceClassification.from_config(config)


def position_limit(config: "PreTrainedConfig") -> int | None:
    """Most tokens that the model's position table allows; None where it has none."""
    positions = getattr(config, "max_position_embeddings", None)
    return None if positions is None else positions - first_position(config)


def first_position(config: "PreTrainedConfig") -> int:
    """Row of the model's position table that the first token of a text reads."""
    return config.pad_token_id + 1 if config.model_type in POSITIONS_AFTER_PADDING else 0


def check_tokenizer_fits(tokenizer: "PreTrainedTokenizerBase", config: "PreTrainedConfig", *, flag: str) -> None:
    """Raises UserError where the tokenizer has tokens that the model does not, or another padding token."""
    if len(tokenizer) > config.vocab_size:
        raise UserError(
            f"{flag}: the tokenizer has {len(tokenizer)} tokens and the model {config.vocab_size}; expected at most "
            "as many: take the tokenizer of the checkpoint, or raise vocab_size in a model that starts from scratch"
        )
    if config.pad_token_id is not None and tokenizer.pad_token_id != config.pad_token_id:
        raise UserError(
            f"{flag}: the tokenizer's padding token has id {tokenizer.pad_token_id}, the model's "
            f"{config.pad_token_id}; expected the same"
        )


@contextmanager
def _as_user_error(path: str | Path, flag: str, what: str) -> Iterator[None]:
    """Turns what the library raises for a bad checkpoint into a UserError with the start of its message."""
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
    """No warning that a Longformer checkpoint is loaded as LTP: that is what is wanted."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
