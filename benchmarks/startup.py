"""Measures how long `import transformer_revised` and the `--help` of every command take beyond `import torch`.

    python -m benchmarks.startup --output_dir startup

Each round starts every command once, in a new process. The first round is not measured: it fills the disk cache.
`beyond torch` is the median over rounds of the difference to `import torch` in the same round. The table also has
processor seconds (user and system time), because other work on the machine lengthens only the wall-clock seconds.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, make_output_folder, make_parser, software_versions
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_json
from ltp_pipeline.base.flags import check_positive

IMPORTS = ("import torch", "import transformer_revised")


def commands() -> list[str]:
    """Returns all commands: scripts as paths from the root, then what `python -m` runs: modules, and packages."""
    scripts = [file for pattern in ("*.py", "Data/*.py") for file in ROOT.glob(pattern)]
    modules = [file for folder in ("ltp_pipeline", "benchmarks") for file in (ROOT / folder).rglob("*.py")]
    names = [".".join(_module_parts(file)) for file in modules if _is_command(file)]
    return sorted(str(file.relative_to(ROOT)) for file in scripts if _is_command(file)) + sorted(names)


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process."""
    parser = make_parser("benchmarks.startup", __doc__)
    parser.add_argument("--rounds", type=int, default=5, help="number of measured rounds")
    parser.add_argument("--output_dir", type=Path, default=Path("startup"), help="folder for startup.json")
    args = parser.parse_args(argv)
    check_positive(args, "rounds")
    make_output_folder(args.output_dir)
    programs = {statement: ["-c", statement] for statement in IMPORTS}
    programs |= {f"{name} --help": _help_arguments(name) for name in commands()}
    rows = time_programs(programs, args.rounds)
    write_json(args.output_dir / "startup.json", {**software_versions(), "rounds": args.rounds, "commands": rows})
    print(format_table(rows))
    print(f"written: {args.output_dir}/startup.json")


def time_programs(programs: dict[str, list[str]], rounds: int) -> list[dict[str, Any]]:
    """Measures how long programs run, in seconds.

    `programs`: the arguments of Python for each program. The other programs are compared with the first.
    Raises UserError if a program fails.
    """
    wall: dict[str, list[float]] = {name: [] for name in programs}
    processor: dict[str, list[float]] = {name: [] for name in programs}
    for index in range(rounds + 1):
        for name, arguments in programs.items():
            wall_seconds, processor_seconds = _run_seconds(arguments)
            if index > 0:
                wall[name].append(wall_seconds)
                processor[name].append(processor_seconds)
    first = next(iter(programs))
    return [
        {
            "command": name,
            "seconds": statistics.median(wall[name]),
            "beyond torch": _median_difference(wall[name], wall[first]),
            "of the processor": statistics.median(processor[name]),
            "of it beyond torch": _median_difference(processor[name], processor[first]),
        }
        for name in programs
    ]


def _run_seconds(arguments: list[str]) -> tuple[float, float]:
    """Returns wall-clock and processor seconds of one process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, env=environment)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise UserError(f"python {' '.join(arguments)} failed: {done.stderr.strip()[-500:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _median_difference(seconds: list[float], others: list[float]) -> float:
    return statistics.median(a - b for a, b in zip(seconds, others, strict=True))


def _is_command(file: Path) -> bool:
    return "\n    run_main(main" in file.read_text(encoding="utf-8")


def _module_parts(file: Path) -> tuple[str, ...]:
    """Parts of the name for `python -m`. A package is named by its folder: `benchmarks/speed/__main__.py`."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__main__" else parts


def _help_arguments(name: str) -> list[str]:
    return [name, "--help"] if name.endswith(".py") else ["-m", name, "--help"]


if __name__ == "__main__":
    run_main(main)
