"""Longformer that learns which tokens matter and removes the others: the model type "ltp" of Transformers.

`import transformer_revised` registers "ltp" with the Auto classes and exports `LTPConfig`, `LTPModel`, its heads,
`LTPTrainer` and `LTPTrainingArguments`. If `revise_local_transformer_package.sh` has copied these files into the
installed `transformers`, it exports the installed copies instead, so that no class exists twice.
"""

from importlib import import_module
from typing import Any

from .models.auto.installed import is_installed, use_installed
from .models.auto.ltp_names import PUBLIC_NAMES
from .models.auto.plug_in import register

if is_installed():
    use_installed()
else:
    register()

__all__ = list(PUBLIC_NAMES)


def __getattr__(name: str) -> Any:
    if name not in PUBLIC_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".models.ltp", __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *PUBLIC_NAMES]
