"""One set of modules under two names, so that no class exists twice."""

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from .ltp_names import COPIED

HERE = __name__.partition(".")[0]
THERE = "transformers"
_SHARED = tuple(pattern.removesuffix(".py").removesuffix("/*").replace("/", ".") for pattern in COPIED)


class SameModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the model's modules of package `alias` as those of `real`, which keep their own name and identity."""

    def __init__(self, alias: str, real: str):
        self.alias, self.real = alias, real

    @classmethod
    def install(cls, alias: str, real: str) -> None:
        """From now on `alias.models.ltp...` is `real.models.ltp...`, and so is whatever else the overlay copies."""
        if not any(isinstance(finder, cls) and finder.alias == alias for finder in sys.meta_path):
            sys.meta_path.insert(0, cls(alias, real))

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
