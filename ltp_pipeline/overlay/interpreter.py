"""Finds the Transformers that an interpreter imports, and what speaks against changing it."""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.errors import UserError
from . import records
from .contents import NAMES, new_blocks
from .state import COMMAND, traces

# Runs in the other interpreter, which may be older than this one.
FIND = """
import glob, importlib.metadata, importlib.util, json, os, site, sys, sysconfig
spec = importlib.util.find_spec("transformers")
found = {"version": "%d.%d" % sys.version_info[:2], "prefix": sys.prefix, "in_venv": sys.prefix != sys.base_prefix}
found["origin"] = spec and spec.origin
found["places"] = list(spec.submodule_search_locations or []) if spec else []
found["has_torch"] = importlib.util.find_spec("torch") is not None
found["externally_managed"] = os.path.isfile(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED"))
found["conda"] = os.path.isdir(os.path.join(sys.prefix, "conda-meta"))
found["conda_base"] = found["conda"] and os.path.isdir(os.path.join(sys.prefix, "condabin"))
found["by_conda"] = bool(glob.glob(os.path.join(sys.prefix, "conda-meta", "transformers-[0-9]*.json")))
found["user_site"] = site.getusersitepackages()
found["installed"] = []
for record in importlib.metadata.distributions(name="transformers"):
    where = {"folder": str(record.locate_file("transformers")), "version": record.version}
    where["installer"] = (record.read_text("INSTALLER") or "").strip()
    found["installed"].append(where)
print("\\n" + json.dumps({"found": found}))
"""
_SECONDS_TO_ANSWER = 120  # a slow network drive included

_CHECK = """
import json, sys, tempfile
import transformers
names = json.loads(sys.argv[1])
for name in names["PUBLIC_NAMES"]:
    assert getattr(transformers, name).__module__.startswith("transformers."), name
config = transformers.AutoConfig.for_model(
    names["MODEL_TYPE"], vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
    intermediate_size=8, attention_window=2, max_position_embeddings=16)
assert type(config) is getattr(transformers, names["CONFIG_CLASS"])
for auto_class, (_, class_name) in names["MODEL_CLASSES"].items():
    auto = getattr(transformers, auto_class)
    with tempfile.TemporaryDirectory() as folder:
        auto.from_config(config).save_pretrained(folder)
        assert type(auto.from_pretrained(folder)) is getattr(transformers, class_name), class_name
assert not any(name.startswith("transformer_revised") for name in sys.modules)
"""


@dataclass(frozen=True)
class Package:
    """An installed Transformers.

    Attributes:
        folder: its folder `transformers`.
        version: its version; None if it was uninstalled and only files of LTP are left.
        python: the interpreter that imports it.
        concern: why it should rather not be changed; None if nothing speaks against it.
        has_torch: whether the interpreter has PyTorch, which the model needs.
    """

    folder: Path
    version: str | None
    python: str
    concern: str | None = None
    has_torch: bool = True


def find_package(python: str) -> Package:
    """The Transformers that `python` imports. Raises UserError unless it is a folder that an installer has made."""
    answer = _ask(python)
    places = [Path(place) for place in answer["places"]]
    if answer["origin"] is None:
        for folder in places:
            if records.folder(folder).is_dir() or (folder.is_dir() and traces(folder, frozenset())):
                return Package(folder, None, python)
        raise UserError(
            f"{python} (Python {answer['version']} in {answer['prefix']}) has no transformers. Install it: "
            f"{python} -m pip install transformers torch. Or name another interpreter with --python"
        )
    folder = Path(answer["origin"]).parent
    if not folder.is_dir():
        raise UserError(
            f"{python} imports transformers from the archive {folder.parent}: this script changes only a folder. "
            f"Install it with pip instead: {python} -m pip install transformers"
        )
    here = [found for found in answer["installed"] if Path(found["folder"]).resolve() == folder.resolve()]
    if not here:
        raise UserError(
            f"{python} imports transformers from {folder}, which is a source tree or an editable install: this script "
            "changes only a package that pip has installed. Register the model there by `import transformer_revised`, "
            "or install Transformers without -e"
        )
    versions = sorted({str(found["version"]) for found in here})
    if (own := _own_version(folder)) and own not in versions:
        versions.append(own)
    if len(versions) > 1:
        raise UserError(
            f"{folder} is a mixture of transformers {' and '.join(versions)}: an installation was interrupted. Repair "
            f"it: {python} -m pip install --force-reinstall --no-deps transformers=={versions[-1]}"
        )
    return Package(folder, versions[0], python, _concern(answer, folder, here[0]["installer"]), answer["has_torch"])


def check_active(package: Package) -> None:
    """Raises UserError if the shell has another environment active, and that has Transformers, too."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        active = Path(os.environ.get(variable) or sys.prefix)
        python = active / "bin/python"
        if active.resolve() == Path(sys.prefix).resolve() or not python.exists():
            continue
        try:
            other = find_package(str(python))
        except UserError:
            continue
        if other.folder.resolve() != package.folder.resolve():
            raise UserError(
                f"two Pythons have Transformers: {package.python} ({package.folder}) and {python} ({other.folder}), "
                f"the environment that is active ({variable}). Say which one: --python {package.python}, or --python "
                f"{python}"
            )


def check_writable(package: Package) -> None:
    """Raises UserError if this user cannot write into the folders that change."""
    folders = {package.folder, *((package.folder / path).parent for path in [*new_blocks(), "models/ltp/__init__.py"])}
    folders |= {folder / "__pycache__" for folder in folders} | {
        package.folder / "models",
        records.folder(package.folder),
    }
    for folder in sorted(folders):
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            read_only = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
            why = (
                "is on a read-only file system"
                if read_only
                else f"belongs to {_owner(folder)} and is read-only for you"
            )
            raise UserError(
                f"{folder} {why}. Use an environment of your own (python3 -m venv ENV; ENV/bin/python -m pip install "
                f"torch transformers; {COMMAND} --python ENV/bin/python), or `import transformer_revised`, which "
                "changes no file"
            )


def try_in_fresh_interpreter(package: Package) -> str | None:
    """Uses LTP in a program that imports only Transformers. Returns the last line of the program's error, or None."""
    names = json.dumps({name: value for name, value in vars(NAMES).items() if name.isupper()})
    with tempfile.TemporaryDirectory() as elsewhere:
        answer = subprocess.run(
            [package.python, "-B", "-c", _CHECK, names],
            cwd=elsewhere,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": elsewhere},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    return _last_line(answer.stderr) or f"exit status {answer.returncode}" if answer.returncode else None


def _ask(python: str) -> dict[str, Any]:
    """What `FIND` finds. It runs in an empty folder, because Python imports from the folder in which it starts."""
    if os.path.isdir(python):
        raise UserError(f"--python {python}: is a folder, not an interpreter: name {Path(python) / 'bin/python'}")
    try:
        with tempfile.TemporaryDirectory() as elsewhere:
            answer = subprocess.run(
                [python, "-B", "-c", FIND],
                cwd=elsewhere,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS_TO_ANSWER,
            )
        lines = [line for line in answer.stdout.splitlines() if line.startswith('{"found": ')]
        return json.loads(lines[-1])["found"]
    except (OSError, ValueError, IndexError) as error:
        if isinstance(error, OSError):
            raise UserError(f"--python {python}: cannot be run ({error.strerror})") from None
        raise UserError(f"--python {python}: is not a working Python: {_last_line(answer.stderr)}") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"--python {python}: did not answer within {_SECONDS_TO_ANSWER} s") from None


def _concern(answer: dict[str, Any], folder: Path, installer: str) -> str | None:
    own = "Install Transformers with pip in an environment of its own (python3 -m venv ENV)"
    if answer["by_conda"] or installer == "conda":
        return f"conda has installed {folder}, and its next update there may mix its files with ours. {own}"
    if answer["conda_base"]:
        return f"{answer['prefix']} is conda's base environment, on which conda itself runs. {own}"
    if folder.resolve().is_relative_to(Path(answer["user_site"]).resolve()):
        return f"{folder} is in the user site, from which every Python {answer['version']} of this user imports. {own}"
    if answer["externally_managed"] and not answer["in_venv"]:
        return f"{answer['prefix']} has a Python that the operating system manages (EXTERNALLY-MANAGED). {own}"
    return None


def _own_version(folder: Path) -> str | None:
    text = (folder / "__init__.py").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^__version__ = [\"'](.+)[\"']", text, re.MULTILINE)
    return found[1] if found else None


def _owner(folder: Path) -> str:
    try:
        return folder.owner()
    except (KeyError, OSError):
        return f"user {folder.stat().st_uid}"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:500]
