"""The plug-in: makes "ltp" known to the Auto classes of this process; nothing on disk changes.

The names of the classes go into the library's tables, and the library imports a class when it is first used. Its
public `register` needs the classes themselves. With it `import transformer_revised` takes 2.8 s beyond `import torch`,
in place of 0.8 s.
"""

from importlib import import_module

import transformers
from transformers.models.auto import configuration_auto, modeling_auto, tokenization_auto

from .ltp_names import CONFIG_CLASS, MODEL_CLASSES, MODEL_TYPE, TOKENIZER_CLASS
from .same_modules import HERE, THERE, share_modules


def register() -> None:
    """Makes the configuration, the tokenizer and the heads known."""
    share_modules(alias=THERE, real=HERE)
    try:
        _add_names()
    except (AttributeError, TypeError):  # a version of the library that has other tables
        _register_classes()


def _add_names() -> None:
    configuration_auto.CONFIG_MAPPING_NAMES[MODEL_TYPE] = CONFIG_CLASS
    tables = [(getattr(modeling_auto, table), name) for table, name in MODEL_CLASSES.values()]
    for names, name in [*tables, (tokenization_auto.TOKENIZER_MAPPING_NAMES, TOKENIZER_CLASS)]:
        names[MODEL_TYPE] = name
        names._model_mapping._reverse_config_mapping[CONFIG_CLASS] = MODEL_TYPE


def _register_classes() -> None:
    ltp = import_module("..ltp", __package__)
    config_class, tokenizer_class = getattr(ltp, CONFIG_CLASS), getattr(transformers, TOKENIZER_CLASS)
    transformers.AutoConfig.register(MODEL_TYPE, config_class, exist_ok=True)
    transformers.AutoTokenizer.register(config_class, tokenizer_class=tokenizer_class, exist_ok=True)
    for auto_class, (_, model_class) in MODEL_CLASSES.items():
        getattr(transformers, auto_class).register(config_class, getattr(ltp, model_class), exist_ok=True)
