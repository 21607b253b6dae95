"""What the benchmark commands share: parser, facts about the machine and software, figures."""

from __future__ import annotations

import argparse
import os
import platform
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ltp_pipeline.base.flags import HelpFormatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]


def make_parser(command: str, description: str) -> argparse.ArgumentParser:
    """Returns the parser of `python -m COMMAND`. Its help shows `description` as it is, and all default values."""
    return argparse.ArgumentParser(prog=f"python -m {command}", description=description, formatter_class=HelpFormatter)


def software_versions() -> dict[str, str]:
    """Returns the versions of Python and of the two libraries on which every number depends."""
    return {
        "python": platform.python_version(), "torch": version("torch"), "transformers": version("transformers")
    }  # fmt: skip


def machine_facts(device: str) -> dict:
    """Returns what the times of a run on `device` depend on: processor, cores, load, GPU and system."""
    import torch

    cpu = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name(torch.device(device)) if device.startswith("cuda") else None,
        "system": platform.platform(terse=True),
    }


def save_figure(path: Path, figure: Figure) -> None:
    """Writes a PNG file to a temporary name and then renames it, so that no reader finds half a figure."""
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, dpi=120, format="png")
    os.replace(temporary, path)
