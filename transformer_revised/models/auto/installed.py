"""With the overlay installed, `transformer_revised.models.ltp...` is `transformers.models.ltp...`."""

import importlib.util
import warnings
from pathlib import Path

from .ltp_names import COPIED
from .same_modules import HERE, THERE, SameModules


def is_installed() -> bool:
    """Whether the installed `transformers` holds the model type "ltp"."""
    spec = importlib.util.find_spec("transformers.models.ltp")
    return spec is not None and spec.origin is not None


def use_installed() -> None:
    """Hand out the installed modules under this project's names; warn where they differ from the files here."""
    SameModules.install(alias=HERE, real=THERE)
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
