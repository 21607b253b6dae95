"""The plug-in: "ltp" made known to the Auto classes of this process; nothing on disk changes."""

from importlib import import_module

import transformers

from .ltp_names import CONFIG_CLASS, MODEL_CLASSES, MODEL_TYPE, TOKENIZER_CLASS


def register() -> None:
    """Register configuration, tokenizer and heads through the library's public `register` calls."""
    ltp = import_module("..ltp", __package__)
    config_class = getattr(ltp, CONFIG_CLASS)
    transformers.AutoConfig.register(MODEL_TYPE, config_class)
    transformers.AutoTokenizer.register(config_class, tokenizer_class=getattr(transformers, TOKENIZER_CLASS))
    for auto_class, (_, model_class) in MODEL_CLASSES.items():
        getattr(transformers, auto_class).register(config_class, getattr(ltp, model_class))
