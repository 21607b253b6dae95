"""What the benchmark commands share: parser, facts about the machine and software, figures."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.parser import CommandParser

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
# Names in /proc/cpuinfo of instructions on which the speed of matrix products depends
INSTRUCTIONS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def make_parser(command: str, description: str) -> CommandParser:
    """Returns the parser of `python -m COMMAND`. Its help shows `description`, and all default values."""
    return CommandParser(command=f"-m {command}", description=description)


def make_output_folder(folder: Path) -> None:
    """Makes the folder of `--output_dir`, before long work. Raises UserError if that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir {folder}: cannot be written: {error.strerror}; expected a folder") from None


def software_versions() -> dict[str, str]:
    """Returns the versions of Python and of the two libraries on which every number depends."""
    return {
        "python": platform.python_version(), "torch": version("torch"), "transformers": version("transformers")
    }  # fmt: skip


def machine_facts(device: str) -> dict:
    """Returns what times on `device` depend on: processor and its instructions, cores, load, GPU and system."""
    import torch

    cpu, instructions = platform.processor() or platform.machine(), None
    with suppress(OSError, StopIteration):
        text = Path("/proc/cpuinfo").read_text()
        instructions = [name for name in INSTRUCTIONS if name in text.split()]
        cpu = next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name"))
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instructions": instructions,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "onednn_max_cpu_isa": os.environ.get("ONEDNN_MAX_CPU_ISA"),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name(torch.device(device)) if device.startswith("cuda") else None,
        "system": platform.platform(terse=True),
    }


def free_unused_memory() -> None:
    """Frees what is no longer used, and returns it to the system if the C library can do so."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def save_figure(path: Path, figure: Figure, metadata: dict[str, str] | None = None) -> None:
    """Writes a PNG file to a temporary name and then renames it, so that no reader finds half a figure.

    `metadata`: texts that the file holds beside the picture, by their names.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, dpi=120, format="png", metadata=metadata)
    os.replace(temporary, path)
