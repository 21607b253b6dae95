"""Loads the weights of a checkpoint into a model, and refuses weights that do not belong to it.

Only safetensors files are read, and no code from a checkpoint is executed.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.base.hub import as_user_error, hub_options
from ltp_pipeline.base.hub_safetensors import safetensors_revision
from ltp_pipeline.base.program import name_of
from ltp_pipeline.model.precision import dtype_of_weights, prepare_evaluation

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

# Parts of an encoder that checkpoints may lack, or have although the model does not use them
OPTIONAL = re.compile(r"(^|\.)pooler\.|position_ids$|token_type_ids$")


def load_weights(
    model_class: Any, path: str | Path, config: "PreTrainedConfig", *, flag: str, new_head: bool = False, **rest: Any
) -> "PreTrainedModel":
    """Loads a classifier, see `load_with_missing`. Without `new_head`, a missing head raises UserError, too."""
    model, missing = load_with_missing(model_class, path, config, flag=flag, new_head=new_head, **rest)
    if missing and not new_head:
        raise UserError(
            f"{flag} {path}: {len(missing)} weights are missing ({missing[0]}, ...); expected a model fine-tuned for "
            f"classification: run {name_of('ltp-finetune')} first"
        )
    if missing:
        print(f"note: {len(missing)} weights that {path} does not have start at random: {_first(missing)}")
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
    """Loads a model in evaluation mode. Returns it and the names of missing weights of its head and its pooler.

    The missing weights start at random. If all names in the checkpoint begin with the same unknown words, such as
    `module.`, these are left out, provided that every weight of the encoder is then there.

    Args:
        config: replaces the configuration of the checkpoint.
        new_head: whether the model will be trained. A classification head for another number of classes is then
            replaced by a random one, and layers that the configuration leaves out are only reported.
        dtype: dtype of the weights; learned offsets are always float32. bfloat16 and int8 are for evaluation only:
            the weights of an LTP model are then prepacked or quantised.

    Raises UserError if there is no such checkpoint; or weights of the encoder are missing, have another shape, or are
    not finite numbers.
    """
    where = f"{flag} {path}"
    options = {
        "config": config,
        "dtype": dtype_of_weights(dtype),
        **hub_options(path),
        **safetensors_revision(path, flag),
    }
    options |= {"ignore_mismatched_sizes": True, "use_safetensors": True, "trust_remote_code": False}
    with as_user_error(path, flag, "weights"), _quiet_library(where):
        model, info = model_class.from_pretrained(path, output_loading_info=True, **options)
        renamed, prefix = _renamed(model, info["unexpected_keys"]) if info["missing_keys"] else ({}, "")
        if renamed:
            model, info = model_class.from_pretrained(path, output_loading_info=True, key_mapping=renamed, **options)
            print(f"note: the names of the weights of {path} begin with {prefix!r}, which is left out")
    missing, unused = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    _check_encoder(model, missing, unused, where, new_head)
    mismatched = sorted(info["mismatched_keys"])
    for name, own, wanted in mismatched:
        if not (new_head and _encoder_name(model, name) is None):
            raise UserError(f"{where}: the weights cannot be loaded: {name} is {list(own)}; expected {list(wanted)}")
    if mismatched:
        print(f"a new classification head: the head of {path} has another number of classes")
    _check_finite(model, where)
    prepare_evaluation(model, dtype, where)
    return model, missing


def _check_encoder(model: "PreTrainedModel", missing: list[str], unused: list[str], where: str, trains: bool) -> None:
    """Raises UserError if weights of the encoder are missing, or, unless the model `trains`, are not used."""
    names = [name for name in model.state_dict() if _encoder_name(model, name) is not None]
    lost = [name for name in missing if _encoder_name(model, name) is not None]
    if lost and len(lost) >= len([name for name in names if not _ignored(model, name)]):
        found = f"their names are {_first(unused)}" if unused else "there are none"
        raise UserError(f"{where}: none of the weights fits the model; {found}; expected names such as {names[0]}")
    if lost:
        others = f", and {len(unused)} are not used ({_first(unused)})" if unused else ""
        raise UserError(
            f"{where}: {len(lost)} weights are missing ({_first(lost)}){others}; expected the weights that belong to "
            "config.json"
        )
    left = [name for name in unused if _encoder_name(model, name, stored=True) is not None]
    if left and not trains:
        raise UserError(
            f"{where}: {len(left)} weights have no place in the model ({_first(left)}); expected the config.json that "
            "belongs to the weights"
        )
    if left:
        print(f"note: {len(left)} weights of {where} have no place in the model and are not used: {_first(left)}")


def _check_finite(model: "PreTrainedModel", where: str) -> None:
    for name, weight in model.named_parameters():
        finite = weight.isfinite()
        if not finite.all():
            count = int((~finite).sum())
            raise UserError(
                f"{where}: {count} of {weight.numel()} numbers in {name} are NaN or infinite; expected finite ones: "
                "an earlier checkpoint of that training, or the file copied again"
            )


def _encoder_name(model: "PreTrainedModel", name: str, stored: bool = False) -> str | None:
    """The name of a weight within the encoder; None if it belongs to a head, or a checkpoint may lack it.

    `stored`: `name` is that of a checkpoint, which may lack the encoder's prefix.
    """
    prefix = f"{model.base_model_prefix}."
    inside = name.removeprefix(prefix)
    if OPTIONAL.search(inside):
        return None
    if name.startswith(prefix) or (model.base_model is model and not stored):
        return inside
    parts = {part for part, _ in model.base_model.named_children()}
    return inside if stored and inside.partition(".")[0] in parts else None


def _ignored(model: "PreTrainedModel", name: str) -> bool:
    """Whether the library does not report this weight if it is missing."""
    return any(re.search(pattern, name) for pattern in model._keys_to_ignore_on_load_missing or ())


def _renamed(model: "PreTrainedModel", stored: list[str] | set[str]) -> tuple[dict[str, str], str]:
    """How to rename the weights of a checkpoint so that all weights of the encoder are there, and the prefix left out.

    `stored`: names in the checkpoint that the model does not know.
    Returns a pattern and its replacement for each child module, see `from_pretrained`; ({}, "") if there is no such
    renaming, or more than one.
    """
    names = [name for name in model.state_dict() if not _ignored(model, name)]
    encoder = [inside for name in names if (inside := _encoder_name(model, name)) is not None]
    head = [name for name in names if model.base_model is not model and not name.startswith(model.base_model_prefix)]
    prefix = _common_prefix(encoder, set(stored))
    if prefix is None:
        return {}, ""
    own = "" if model.base_model is model else f"{model.base_model_prefix}."
    renamed = {f"^{re.escape(prefix + part)}\\.": f"{own}{part}." for part in _children(encoder)}
    head_prefix = _common_prefix(head, set(stored)) if head else None
    if head_prefix:
        renamed |= {f"^{re.escape(head_prefix + part)}\\.": f"{part}." for part in _children(head)}
    return renamed, prefix.removesuffix(own) or prefix


def _common_prefix(wanted: list[str], stored: set[str]) -> str | None:
    """The one text that makes each name in `wanted` a name in `stored` when it is put before it; else None.

    >>> _common_prefix(["a.weight", "a.bias"], {"module.a.weight", "module.a.bias", "b"})
    'module.'
    """
    last = max(wanted, key=len)
    prefixes = [name.removesuffix(last) for name in stored if name.endswith(f".{last}")]
    fitting = [prefix for prefix in prefixes if all(prefix + name in stored for name in wanted)]
    return fitting[0] if len(fitting) == 1 else None


def _children(names: list[str]) -> list[str]:
    return sorted({name.partition(".")[0] for name in names})


def _first(names: list[str]) -> str:
    return ", ".join(map(printable, names[:3])) + (", ..." if len(names) > 3 else "")


@contextmanager
def _quiet_library(where: str) -> Iterator[None]:
    """Suppresses the library's warning that a Longformer checkpoint is loaded as LTP, which is intended here.

    Prints the model's warning about learned thresholds that another prune mode does not use as a note about `where`.
    """
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield
    finally:
        logging.set_verbosity(verbosity)
    for each in caught:
        if "learned thresholds" in str(each.message):
            print(f"note: {where}: {each.message}")
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
