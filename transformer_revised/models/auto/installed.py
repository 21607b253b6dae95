"""With the overlay installed, `transformer_revised.models.ltp...` is `transformers.models.ltp...`."""

import importlib.abc
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from .ltp_names import COPIED

_PACKAGE = __name__.partition(".")[0]
_SHARED = tuple(pattern.removesuffix(".py").removesuffix("/*").replace("/", ".") for pattern in COPIED)


class _InstalledModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a module of this project's name as the installed module, which keeps its own name and identity."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package == _PACKAGE and any(name == shared or name.startswith(f"{shared}.") for shared in _SHARED):
            return importlib.util.spec_from_loader(fullname, self)
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__.partition(".")[2]
        sys.modules[module.__name__] = importlib.import_module(f"transformers.{name}")


def is_installed() -> bool:
    """Whether the installed `transformers` holds the model type "ltp"."""
    spec = importlib.util.find_spec("transformers.models.ltp")
    return spec is not None and spec.origin is not None


def use_installed() -> None:
    """Hand out the installed modules under this project's names; warn where they differ from the files here."""
    if not any(isinstance(finder, _InstalledModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, _InstalledModules())
    ours, installed = Path(__file__).parents[2], Path(importlib.util.find_spec("transformers").origin).parent
    files = [file.relative_to(ours) for pattern in COPIED for file in sorted(ours.glob(pattern))]
    changed = [str(file) for file in files if not _same(ours / file, installed / file)]
    if changed:
        warnings.warn(
            f"{installed} holds other versions of {', '.join(changed)} than this checkout, and they are used: "
            "run revise_local_transformer_package.sh again",
            stacklevel=2,
        )


def _same(file: Path, other: Path) -> bool:
    return other.is_file() and file.read_bytes() == other.read_bytes()
