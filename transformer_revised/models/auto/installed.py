"""Checks whether the overlay is installed, and makes this project use the installed classes instead of its own."""

import importlib.util
import warnings
from pathlib import Path

from transformers.models.auto import configuration_auto

from .ltp_names import COPIED, MODEL_TYPE
from .same_modules import HERE, THERE, share_modules


def is_installed() -> bool:
    """Whether the installed `transformers` holds the model type "ltp". Warns if it holds only a part of it."""
    spec = importlib.util.find_spec("transformers.models.ltp")
    if spec is None or spec.origin is None:  # a module without a file is the plug-in's
        return False
    package = Path(spec.origin).parents[2]
    records = package / ".ltp_overlay"
    interrupted = (records / "manifest.installing").exists() or (records / "manifest.removing").exists()
    if interrupted or MODEL_TYPE not in configuration_auto.CONFIG_MAPPING_NAMES:
        warnings.warn(
            f"{package} holds only a part of LTP, so this project's own files are used. What happened: "
            "revise_local_transformer_package.sh --status, or ltp-overlay --status",
            stacklevel=2,
        )
        return False
    return True


def use_installed() -> None:
    """Replaces this project's modules by the installed ones. Warns if their files differ from its own."""
    share_modules(alias=HERE, real=THERE)
    ours, installed = Path(__file__).parents[2], Path(importlib.util.find_spec("transformers").origin).parent
    files = [file.relative_to(ours) for pattern in COPIED for file in sorted(ours.glob(pattern))]
    changed = [str(file) for file in files if not _same(ours / file, installed / file)]
    if changed:
        warnings.warn(
            f"{installed} has other versions of {', '.join(changed)} than this project. The installed ones are used; "
            "to update them run revise_local_transformer_package.sh again, or ltp-overlay",
            stacklevel=2,
        )


def _same(file: Path, other: Path) -> bool:
    return other.is_file() and file.read_bytes() == other.read_bytes()
