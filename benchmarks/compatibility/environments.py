"""Makes an environment (venv) with given versions of Python, Transformers and PyTorch."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import ROOT

# Requirements whose version follows from that of Transformers
FOLLOWING = ("torch", "transformers", "huggingface_hub", "tokenizers")
REPORTED = ("torch", "transformers", "huggingface_hub", "tokenizers", "accelerate", "datasets", "numpy", "peft")
DONE = "ready.json"  # written last: an environment without it is made again


class EnvironmentFailed(Exception):
    """An environment cannot be made; the text says why."""


@dataclass(frozen=True)
class Row:
    """Versions, such as 3.11, 5.17.0 and 2.13.0."""

    python: str
    transformers: str
    torch: str

    def __str__(self) -> str:
        return f"{self.python}/{self.transformers}/{self.torch}"


@dataclass(frozen=True)
class Environment:
    """An environment that is ready."""

    python: Path  # its interpreter
    versions: dict[str, str]  # what is installed


def find_interpreter(version: str) -> Path | None:
    """An interpreter of this version of Python: on the path, of pyenv, or of uv; None if there is none."""
    found = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    if shutil.which("uv"):
        uv = _run(["uv", "python", "find", "--no-python-downloads", version])
        found.append(uv.stdout.strip() if uv.returncode == 0 else None)
    for path in filter(None, found):
        asked = _run([str(path), "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"])
        if asked.returncode == 0 and asked.stdout.strip() == version:
            return Path(path)
    return None


def newest_version(package: str) -> str:
    """The newest release of a package. Raises EnvironmentFailed if pip does not know it."""
    asked = _run([sys.executable, "-m", "pip", "index", "versions", package])
    match = re.search(rf"^{package} \((\S+)\)", asked.stdout, re.MULTILINE)
    if match is None:
        raise EnvironmentFailed(f"pip finds no versions of {package}: {_last_line(asked)}")
    return match.group(1)


def make_environment(row: Row, interpreter: Path, folder: Path, reuse: Path | None) -> Environment:
    """Makes the environment of a row in `folder`, unless it is there.

    `reuse`: site-packages to read packages from; None: all are installed.
    Raises EnvironmentFailed, which says why.
    """
    place = folder.absolute() / str(row).replace("/", "-")
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (place / DONE).exists():
        if reuse is not None:
            _check_reusable(row, reuse)
        _must(_run([str(interpreter), "-m", "venv", "--clear", str(place)]), "no environment can be made")
        if reuse is not None:
            _read_from(python, reuse)
        _must(_run([str(python), "-m", "pip", "install", "--quiet", *_wanted(row, reuse)]), "pip cannot install it")
    versions = _versions(python)
    for name in ("transformers", "torch"):
        if versions[name].partition("+")[0] != getattr(row, name):
            raise EnvironmentFailed(f"{name} is {versions[name]} in {place}")
    (place / DONE).write_text(json.dumps(versions), encoding="utf-8")
    return Environment(python, versions)


def _check_reusable(row: Row, reuse: Path) -> None:
    """Raises EnvironmentFailed unless the packages in `reuse` are for the row's Python and PyTorch."""
    if f"python{row.python}" not in reuse.absolute().parts and os.name != "nt":
        raise EnvironmentFailed(f"no packages for Python {row.python} are at hand")
    found = [path.stem.partition("-")[2].partition("+")[0] for path in reuse.glob("torch-*.dist-info")]
    if row.torch not in found:
        raise EnvironmentFailed(f"PyTorch {row.torch} is not at hand")


def _read_from(python: Path, reuse: Path) -> None:
    """Makes an environment read packages from `reuse` that are not its own."""
    where = _must(_run([str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]), "no paths")
    Path(where.stdout.strip(), "reused.pth").write_text(f"{reuse.absolute()}\n", encoding="utf-8")


def _wanted(row: Row, reuse: Path | None) -> list[str]:
    versions = [f"torch=={row.torch}", f"transformers=={row.transformers}"]
    if reuse is not None:
        return versions[1:]
    lines = [line for name in ("requirements.txt", "requirements-dev.txt") for line in _lines(ROOT / name)]
    return versions + [line for line in lines if re.split(r"[=<>; ]", line)[0] not in FOLLOWING]


def _lines(file: Path) -> list[str]:
    """The requirements in a file, without comments and options."""
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def _versions(python: Path) -> dict[str, str]:
    code = (
        "import importlib.metadata as m, json, platform; "
        f"print(json.dumps({{'python': platform.python_version(), **{{n: m.version(n) for n in {REPORTED!r}}}}}))"
    )
    return json.loads(_must(_run([str(python), "-c", code]), "a package is missing").stdout)


def _must(done: subprocess.CompletedProcess, what: str) -> subprocess.CompletedProcess:
    if done.returncode != 0:
        raise EnvironmentFailed(f"{what}: {_last_line(done)}")
    return done


def _last_line(done: subprocess.CompletedProcess) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"status {done.returncode}"


def _run(command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
