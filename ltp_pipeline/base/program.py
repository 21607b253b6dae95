"""How a command of this project is typed: as a script of the checkout, as a module, or as an installed program."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # of the checkout; in an installation, the folder of the packages
MODULE = "-m "
# What runs a command from a checkout -> the installed program
INSTALLED = {
    "run_glue_code_metrics.py": "ltp-finetune",
    "run_code_metrics.py": "ltp-prune",
    "ltp_test.py": "ltp-show",
    "ltp_extract_and_save.py": "ltp-extract",
    "ltp_scan.py": "ltp-scan",
    "-m ltp_pipeline.check_data": "ltp-check-data",
    "-m ltp_pipeline.comparison": "ltp-compare",
    "-m ltp_pipeline.convert": "ltp-convert",
    "-m ltp_pipeline.export_onnx": "ltp-export-onnx",
    "-m ltp_pipeline.self_contained": "ltp-self-contained",
    "-m ltp_pipeline.split_data": "ltp-split-data",
    "-m ltp_pipeline.to_safetensors": "ltp-to-safetensors",
    "-m ltp_pipeline.train_tokenizer": "ltp-train-tokenizer",
}


def program(command: str) -> str:
    """The words with which a command, such as "ltp_scan.py" or "-m ltp_pipeline.convert", begins in help texts.

    They are those of the installed program if this process was started as one, or if there is no checkout.
    """
    if command.startswith(("bash ", "ltp-")):
        return command
    name = INSTALLED.get(command)
    return name if name and _is_installed() else f"python {command}"


def runnable(command: str) -> str:
    """As `program`, for a command that is typed in the current folder: with the paths of Python and of the script."""
    name = INSTALLED.get(command)
    if name and _is_installed():
        return name
    if command.startswith(MODULE):
        return f"{_path_of_modules()}{_interpreter()} {command}"
    return f"{_interpreter()} {shlex.quote(shortest(ROOT / command))}"


def name_of(installed: str) -> str:
    """What a message calls a command such as "ltp-prune": the script of the checkout if it is there."""
    script = next(command for command, name in INSTALLED.items() if name == installed)
    return script if (ROOT / script).is_file() else installed


def as_typed(text: str) -> str:
    """`text` with the names of commands of this project as the user types them."""
    if not _is_installed():
        return text
    for command, name in INSTALLED.items():
        text = re.sub(rf"python (\./)?{re.escape(command)}(?![\w.])", name, text)
    return text


def _is_installed() -> bool:
    """Whether a command of `[project.scripts]` in pyproject.toml started this process, or there is no checkout."""
    return Path(sys.argv[0]).name.startswith("ltp-") or not (ROOT / "run_code_metrics.py").is_file()


def _interpreter() -> str:
    found = shutil.which("python")
    same = found is not None and os.path.dirname(os.path.abspath(found)) == os.path.dirname(sys.executable)
    return "python" if same else shlex.quote(shortest(Path(sys.executable)))


def _path_of_modules() -> str:
    """What lets Python find the modules of a checkout from another folder."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    places = {os.path.abspath(place) for place in ["", *given]}
    if _is_installed() or str(ROOT) in places:
        return ""
    return f"PYTHONPATH={shlex.quote(shortest(ROOT))} "


def shortest(path: Path) -> str:
    """`path` relative to the current folder, or absolute if that is shorter."""
    try:
        return min(os.path.relpath(path), str(path), key=len)
    except ValueError:  # another drive of Windows
        return str(path)
