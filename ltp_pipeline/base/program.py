"""How this process was started: by a script, by `python -m`, or by a command of an installation (`ltp-finetune`)."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Command of an installation -> script of a checkout
SCRIPTS = {
    "ltp-finetune": "run_glue_code_metrics.py",
    "ltp-prune": "run_code_metrics.py",
    "ltp-show": "ltp_test.py",
    "ltp-extract": "ltp_extract_and_save.py",
    "ltp-scan": "ltp_scan.py",
}


def is_installed_command() -> bool:
    """Whether a command of `[project.scripts]` in pyproject.toml started this process."""
    return Path(sys.argv[0]).name.startswith("ltp-")


def program_words() -> list[str]:
    """The words in front of the flags: ["ltp-finetune"], or ["python", "run_glue_code_metrics.py"]."""
    name = Path(sys.argv[0]).name
    return [name] if is_installed_command() else ["python", name]


def name_of(command: str) -> str:
    """What a message calls a command of SCRIPTS: the script in a checkout, else the command itself."""
    script = SCRIPTS[command]
    return script if (ROOT / script).is_file() else command
