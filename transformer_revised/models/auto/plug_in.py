"""The plug-in: "ltp" made known to the Auto classes of this process; nothing on disk changes.

It is the overlay in memory: names go into the library's tables, which import a class when it is asked for. The public
`register` calls take classes instead, and importing those takes longer than importing torch. Tables that nobody has
imported yet get the names when they are.
"""

import importlib.abc
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

import transformers
from transformers.models.auto import configuration_auto

from .ltp_names import CONFIG_CLASS, MODEL_CLASSES, MODEL_TYPE, TOKENIZER_CLASS
from .same_modules import HERE, THERE, SameModules

# Module of the library: its tables that get a name
TABLES = {
    "transformers.models.auto.modeling_auto": tuple(MODEL_CLASSES.values()),
    "transformers.models.auto.tokenization_auto": (("TOKENIZER_MAPPING_NAMES", TOKENIZER_CLASS),),
}


class _NamesOnImport(importlib.abc.MetaPathFinder):
    """Finds the modules of tables as they are found otherwise, and adds the names once they have been run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in TABLES else None
        if spec is not None:
            run = spec.loader.exec_module

            def run_and_add(module: ModuleType) -> None:
                run(module)
                _add_names(module)

            spec.loader.exec_module = run_and_add
        return spec


def register() -> None:
    """Make configuration, tokenizer and heads known: by name, or as classes if the library's tables are others."""
    SameModules.install(alias=THERE, real=HERE)
    try:
        configuration_auto.CONFIG_MAPPING_NAMES[MODEL_TYPE] = CONFIG_CLASS
    except (AttributeError, TypeError):
        return _register_classes()
    sys.meta_path.insert(0, _NamesOnImport())
    for module in TABLES:
        if module in sys.modules:
            _add_names(sys.modules[module])


def _add_names(module: ModuleType) -> None:
    unloaded = type(CONFIG_CLASS, (), {})  # configurations are looked up by the name of their class
    try:
        for table, name in TABLES[module.__name__]:
            names = getattr(module, table)
            names[MODEL_TYPE] = name
            names._model_mapping._reverse_config_mapping[CONFIG_CLASS] = MODEL_TYPE
            if unloaded not in names._model_mapping:
                raise KeyError(name)
    except (AttributeError, KeyError, TypeError):  # another version of the library
        _register_classes()


def _register_classes() -> None:
    """The public way."""
    ltp = import_module("..ltp", __package__)
    config_class, tokenizer_class = getattr(ltp, CONFIG_CLASS), getattr(transformers, TOKENIZER_CLASS)
    transformers.AutoConfig.register(MODEL_TYPE, config_class, exist_ok=True)
    transformers.AutoTokenizer.register(config_class, tokenizer_class=tokenizer_class, exist_ok=True)
    for auto_class, (_, model_class) in MODEL_CLASSES.items():
        getattr(transformers, auto_class).register(config_class, getattr(ltp, model_class), exist_ok=True)
