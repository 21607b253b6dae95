"""Names what determines the results of a scan, without importing torch: the checkpoint, the program, the machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.scan.detection.checkpoint import FLAG

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ("ltp_pipeline", "transformer_revised")
LIBRARIES = ("torch", "transformers", "tokenizers", "numpy")
MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")  # configuration, weights, tokenizer
RESULT_FILES = ("*results.json", "trainer_state.json", "run.json")  # of runs: no model is read from them
# What decides which device and which dtype `auto` chooses
DEVICES = ("/dev/nvidia*", "/dev/kfd", "/dev/dri/render*", "/dev/accel*")
VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "ATEN_CPU_CAPABILITY")


def model_hash(path: str) -> str:
    """SHA-256 of weights, configuration and tokenizer: of the files' content, not of the folder's name.

    Raises UserError if a file cannot be read, or if `path` is no folder and no model on the hub.
    """
    digest = hashlib.sha256()
    folder = Path(path) if Path(path).exists() else _from_hub(path)
    try:
        for file in sorted({file for pattern in MODEL_FILES for file in folder.glob(pattern)}):
            if any(map(file.match, RESULT_FILES)):
                continue
            digest.update(f"{file.name}\n{_file_hash(file)}\n".encode())
    except OSError as error:
        raise UserError(f"{FLAG} {path}: {error.filename} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


@cache
def program_hash() -> str:
    """SHA-256 of this project's code and of the versions of the libraries that compute."""
    files = [file for folder in SOURCES for file in sorted((ROOT / folder).rglob("*.py"))]
    return _hash([*(f"{name} {_version(name)}" for name in LIBRARIES), *map(_file_hash, files)])


def machine_hash() -> str:
    """SHA-256 of what `auto` looks at: the instructions of the processor, and which accelerators there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = list(os.uname())
    processor = sorted({line for line in lines if line.lower().startswith(("flags", "features", "model name"))})
    devices = sorted(str(place) for pattern in DEVICES for place in Path("/").glob(pattern.lstrip("/")))
    return _hash([*(processor or lines), *devices, *(f"{name}={os.environ.get(name)}" for name in VARIABLES)])


def _file_hash(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _from_hub(path: str) -> Path:
    """The folder of a model in the hub's cache; its files are downloaded if they are missing."""
    from huggingface_hub import snapshot_download

    from ltp_pipeline.base.hub import as_user_error, hub_options

    with as_user_error(path, FLAG, "files"):
        return Path(snapshot_download(path, allow_patterns=list(MODEL_FILES), **hub_options(path)))
