"""How this process was started: by a script, by `python -m`, or by a command of an installation (`ltp-finetune`)."""

import sys
from pathlib import Path


def is_installed_command() -> bool:
    """Whether a command of `[project.scripts]` in pyproject.toml started this process."""
    return Path(sys.argv[0]).name.startswith("ltp-")


def program_words() -> list[str]:
    """The words in front of the flags: ["ltp-finetune"], or ["python", "run_glue_code_metrics.py"]."""
    name = Path(sys.argv[0]).name
    return [name] if is_installed_command() else ["python", name]
