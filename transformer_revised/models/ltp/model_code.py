"""The files of the model's code, which a self-contained checkpoint holds beside its weights.

With `auto_map` in config.json, the Auto classes load such a checkpoint by `trust_remote_code=True` in a program that
has no other copy of this code.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from transformers.dynamic_module_utils import get_relative_import_files

ENTRY = "modeling_ltp_heads"  # imports all classes that `auto_map` names, so that none is loaded twice


def code_files() -> list[Path]:
    """`ENTRY` and all files that it imports, directly or not, by the library's own rule for remote code."""
    entry = Path(__file__).with_name(f"{ENTRY}.py")
    return sorted({entry, *map(Path, get_relative_import_files(entry))})


def copy_code(folder: str | Path) -> None:
    """Copies the code into the folder of a checkpoint, and replaces an older copy."""
    for file in code_files():
        target = Path(folder, file.name)
        if not (target.exists() and target.samefile(file)):
            shutil.copyfile(file, target)
