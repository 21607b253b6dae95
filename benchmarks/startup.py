"""How long `import transformer_revised` and `--help` of every script take beyond `import torch`.

    python -m benchmarks.startup --output_dir startup

Processes in turn, in several rounds, after one that warms up the disk's cache; medians. `beyond torch` is the median
of each round's own difference. Seconds of the processor (user and system) are told beside those that passed, as other
work on the machine lengthens only the latter.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_json

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 2.0  # seconds beyond torch
HEAVY = (
    "transformers.models.longformer.modeling_longformer",
    "transformers.modeling_utils",
    "transformers.trainer",
    "datasets",
    "matplotlib",
    "pandas",
    "peft",
    "scipy",
    "sklearn",
)
TORCH = "import torch"
PACKAGE = "import transformer_revised"


def commands() -> list[str]:
    """The scripts, as paths from the root, and then the modules that are run with `python -m`."""
    scripts = [file.name for file in ROOT.glob("*.py")] + [f"Data/{file.name}" for file in ROOT.glob("Data/*.py")]
    modules = [
        f"{file.parent.name}.{file.stem}"
        for folder in ("ltp_pipeline", "benchmarks")
        for file in ROOT.glob(f"{folder}/*.py")
    ]
    return [name for name in sorted(scripts) + sorted(modules) if _is_run(name)]


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None: the process's."""
    args = _parser().parse_args(argv)
    if args.rounds < 1:
        raise UserError(f"--rounds {args.rounds}: expected 1 or more")
    rows = measure(
        {TORCH: ["-c", TORCH], PACKAGE: ["-c", PACKAGE]} | {f"{name} --help": _help(name) for name in commands()},
        args.rounds,
    )
    machine = {"python": platform.python_version(), "torch": version("torch"), "transformers": version("transformers")}
    write_json(Path(args.output_dir) / "startup.json", {**machine, "rounds": args.rounds, "commands": rows})
    print(format_table(rows))
    print(f"written: {args.output_dir}/startup.json")


def measure(programs: dict[str, list[str]], rounds: int) -> list[dict[str, Any]]:
    """Seconds of each program, arguments of Python; the first is what the others are compared with."""
    passed: dict[str, list[float]] = {name: [] for name in programs}
    processor: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, program in programs.items():
            seconds = _seconds(program)
            if number:
                passed[name].append(seconds[0])
                processor[name].append(seconds[1])
    first = next(iter(programs))
    return [
        {
            "command": name,
            "seconds": statistics.median(passed[name]),
            "beyond torch": _median_difference(passed[name], passed[first]),
            "of the processor": statistics.median(processor[name]),
            "of it beyond torch": _median_difference(processor[name], processor[first]),
        }
        for name in programs
    ]


def _seconds(program: list[str]) -> tuple[float, float]:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *program], cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    passed, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise UserError(f"python {' '.join(program)} failed: {done.stderr.strip()[-500:]}")
    return passed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _median_difference(seconds: list[float], others: list[float]) -> float:
    return statistics.median(a - b for a, b in zip(seconds, others, strict=True))


def _is_run(name: str) -> bool:
    path = name if name.endswith(".py") else name.replace(".", "/") + ".py"
    return "\n    run_main(main" in (ROOT / path).read_text()


def _help(name: str) -> list[str]:
    return [name, "--help"] if name.endswith(".py") else ["-m", name, "--help"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.startup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="measured runs of each command")
    parser.add_argument("--output_dir", default="startup", help="folder for startup.json")
    return parser


if __name__ == "__main__":
    run_main(main)
