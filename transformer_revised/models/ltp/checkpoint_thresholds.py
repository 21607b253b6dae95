"""Refuses a checkpoint without the learned offsets that it must have, when a model is loaded.

A checkpoint may lack them for a good reason: soft training starts from a fine-tuned model that has never pruned. All
offsets then start at 0. It must have them if its own configuration, as an LTP model saves it, has a prune mode that
learns them, or if some of them are there. A Longformer whose config.json was edited to be of type "ltp" needs none.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedConfig

KEY = "attention.self.pruner.keep_threshold"
LEARNING_MODE = "absolute_threshold"
SAVED = ("temperature", "token_keep_rate")  # settings that LTPConfig always saves; an edited config.json lacks them
NEIGHBOUR = "attention.self.query.weight"  # a weight that a checkpoint with this layer has


def check_thresholds(model: nn.Module, missing: Iterable[str], unexpected: Iterable[str]) -> None:
    """Compares the learned offsets of a model with those of the checkpoint that was loaded into it.

    Args:
        model: its `config.name_or_path` names the checkpoint.
        missing: names of weights of the model that the checkpoint does not have.
        unexpected: names of weights of the checkpoint that the model does not have.

    Raises ValueError if offsets are missing that the checkpoint must have, or if it has offsets that its own prune
    mode does not use. Warns if a prune mode chosen by the caller does not use them.
    """
    missing, unexpected = set(missing), sorted(name for name in unexpected if name.endswith(KEY))
    own = [name for name, _ in model.named_parameters() if name.endswith(KEY)]
    # A layer without any weight in the checkpoint is reported by the library.
    lost = [name for name in own if name in missing and name.replace(KEY, NEIGHBOUR) not in missing]
    found = [name for name in own if name not in missing]
    mode = model.config.prune_mode
    if lost and (found or _stored_mode(model.config) == LEARNING_MODE):
        raise ValueError(
            f"{len(lost)} of {len(own)} learned thresholds are missing from the checkpoint (the first is {lost[0]}); "
            f"expected all, because it was trained with prune mode {LEARNING_MODE}"
        )
    if unexpected and not own:
        message = f"the checkpoint has {len(unexpected)} learned thresholds, but prune mode {mode} does not use them"
        if _stored_mode(model.config) == str(mode):
            raise ValueError(f"{message}; expected prune mode {LEARNING_MODE} in its config.json")
        warnings.warn(f"{message}: the model prunes with other thresholds, or not at all", stacklevel=2)


def _stored_mode(config: PreTrainedConfig) -> str | None:
    """The prune mode in the configuration that an LTP model saved with the checkpoint, as text; `None` without one.

    `config` is the configuration with which the model was loaded, which may have another mode.
    """
    values = _stored_values(config.name_or_path)
    saved = values.get("model_type") == "ltp" and all(name in values for name in ("prune_mode", *SAVED))
    return str(values["prune_mode"]) if saved else None


def _stored_values(name_or_path: str) -> dict[str, Any]:
    file = Path(name_or_path, "config.json")
    try:
        if file.is_file():
            return json.loads(file.read_text(encoding="utf-8"))
        # A name on the hub. The file was downloaded with the weights.
        return PreTrainedConfig.get_config_dict(name_or_path, local_files_only=True)[0]
    except (OSError, ValueError, RecursionError):
        return {}
