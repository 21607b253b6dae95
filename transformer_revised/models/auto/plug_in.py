"""The plug-in: makes "ltp" known to the Auto classes of this process; nothing on disk changes.

It adds the names of the classes to the library's tables, and the library imports a class when it is first used. The
public `register` needs the classes themselves: with it `import transformer_revised` takes 2.8 s in addition to `import
torch`, instead of 0.8 s. This module does not import the tables either, because that takes 2.1 s in Transformers 5.17
(0.03 s in 5.23). It adds the names to a table after something else has imported it.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

import transformers
from transformers.models.auto import configuration_auto

from .ltp_names import CONFIG_CLASS, MODEL_CLASSES, MODEL_TYPE, TOKENIZER_CLASS
from .same_modules import HERE, THERE, share_modules

# Module of the library -> its tables, each with the name to add
TABLES = {
    "transformers.models.auto.modeling_auto": tuple(MODEL_CLASSES.values()),
    "transformers.models.auto.tokenization_auto": (("TOKENIZER_MAPPING_NAMES", TOKENIZER_CLASS),),
}


def register() -> None:
    """Makes the configuration, the tokenizer and the heads known."""
    share_modules(alias=THERE, real=HERE)
    configuration_auto.CONFIG_MAPPING_NAMES[MODEL_TYPE] = CONFIG_CLASS
    sys.meta_path.insert(0, _TableFinder())
    for name in TABLES:
        if name in sys.modules:
            _add_names(sys.modules[name])


class _TableFinder(MetaPathFinder):
    """Import hook that adds our names to the modules in `TABLES` right after their import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in TABLES else None
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_add(module: ModuleType) -> None:
                execute(module)
                _add_names(module)

            spec.loader.exec_module = execute_and_add
        return spec


def _add_names(module: ModuleType) -> None:
    try:
        for table, name in TABLES[module.__name__]:
            names = getattr(module, table)
            names[MODEL_TYPE] = name
            names._model_mapping._reverse_config_mapping[CONFIG_CLASS] = MODEL_TYPE
    except (AttributeError, TypeError) as error:  # a version of the library that has other tables
        warnings.warn(
            f"Transformers {transformers.__version__} has other tables of Auto classes than the tested versions "
            f"({error}); LTP is registered through its public functions, which takes longer",
            stacklevel=2,
        )
        _register_classes()


def _register_classes() -> None:
    ltp = import_module("..ltp", __package__)
    config_class, tokenizer_class = getattr(ltp, CONFIG_CLASS), getattr(transformers, TOKENIZER_CLASS)
    transformers.AutoConfig.register(MODEL_TYPE, config_class, exist_ok=True)
    transformers.AutoTokenizer.register(config_class, tokenizer_class=tokenizer_class, exist_ok=True)
    for auto_class, (_, model_class) in MODEL_CLASSES.items():
        getattr(transformers, auto_class).register(config_class, getattr(ltp, model_class), exist_ok=True)
