"""Gives each module of LTP a second name, so that no class exists twice.

The library imports `transformers.models.ltp`, and this project `transformer_revised.models.ltp`. For one of the two
names, an import hook returns the module with the other name.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from .ltp_names import COPIED

HERE = __name__.partition(".")[0]
THERE = "transformers"
_SHARED = tuple(pattern.removesuffix(".py").removesuffix("/*").replace("/", ".") for pattern in COPIED)


def share_modules(alias: str, real: str) -> None:
    """Makes `alias.models.ltp...` another name of `real.models.ltp...`, as for all files that the overlay copies."""
    sys.meta_path.insert(0, _SecondName(alias, real))


class _SecondName(MetaPathFinder, Loader):
    def __init__(self, alias: str, real: str):
        self.alias, self.real = alias, real

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package == self.alias and any(name == shared or name.startswith(f"{shared}.") for shared in _SHARED):
            return importlib.util.spec_from_loader(fullname, self)
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__.partition(".")[2]
        sys.modules[module.__name__] = importlib.import_module(f"{self.real}.{name}")
