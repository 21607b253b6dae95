"""Self-contained checkpoints: with the model's code beside the weights, and `auto_map` in config.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def auto_map() -> dict[str, str]:
    """Auto class -> file and class of the model's code, for config.json."""
    from transformer_revised.models.auto.ltp_names import CONFIG_CLASS, MODEL_CLASSES
    from transformer_revised.models.ltp.model_code import ENTRY

    classes = {"AutoConfig": CONFIG_CLASS} | {auto_class: name for auto_class, (_, name) in MODEL_CLASSES.items()}
    return {auto_class: f"{ENTRY}.{name}" for auto_class, name in classes.items()}


def make_self_contained(config: PreTrainedConfig) -> None:
    """From now on `save_pretrained` of the model with this configuration also saves the model's code.

    Models of other types are left as they are: their code is in the library.
    """
    if config.model_type == "ltp":
        config.auto_map = auto_map()


def renew_auto_map(config: PreTrainedConfig) -> None:
    """Makes a loaded configuration name no code but this project's.

    An LTP model that was self-contained stays so, with the present code. Otherwise `auto_map` is removed: the model is
    one of the library's, and code of others is neither executed nor saved again.
    """
    if getattr(config, "auto_map", None):
        del config.auto_map
        make_self_contained(config)
