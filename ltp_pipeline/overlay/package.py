"""The files and blocks of LTP inside an installed `transformers` folder: put in, looked at, taken out without a trace.

What was there before is written down first, in `.ltp_overlay/manifest.json` of the package, and that record leaves
last. Every file is replaced whole, so a run that is killed anywhere can be repeated or undone.
"""

import hashlib
import json
import os
import re
import runpy
import shutil
from pathlib import Path
from typing import Any

from ..base.errors import UserError

SOURCE = Path(__file__).parents[2] / "transformer_revised"
NAMES = runpy.run_path(str(SOURCE / "models/auto/ltp_names.py"))  # importing it would import Transformers

_BEGIN = "# >>> LTP overlay, added by revise_local_transformer_package.sh and removed by its --restore >>>"
_END = "# <<< LTP overlay <<<"
_BLOCK = re.compile(rb"\n" + re.escape(_BEGIN).encode() + rb"\n.*?" + re.escape(_END).encode() + rb"\n", re.DOTALL)


def new_files() -> dict[str, bytes]:
    """Content of every file to add, by its path in the package."""
    files = [file for pattern in NAMES["COPIED"] for file in sorted(SOURCE.glob(pattern))]
    return {file.relative_to(SOURCE).as_posix(): file.read_bytes() for file in files}


def new_blocks() -> dict[str, bytes]:
    """The marked block to append to each auto mapping file, by its path in the package."""
    key, lines = NAMES["MODEL_TYPE"], {}
    lines["auto_mappings"] = [f'CONFIG_MAPPING_NAMES["{key}"] = "{NAMES["CONFIG_CLASS"]}"']
    lines["modeling_auto"] = [f'{table}["{key}"] = "{name}"' for table, name in NAMES["MODEL_CLASSES"].values()]
    lines["tokenization_auto"] = [f'TOKENIZER_MAPPING_NAMES["{key}"] = "{NAMES["TOKENIZER_CLASS"]}"']
    return {
        f"models/auto/{name}.py": "\n".join(["", _BEGIN, *block, _END, ""]).encode() for name, block in lines.items()
    }


def read_manifest(package: Path) -> dict[str, Any] | None:
    """What the overlay in `package` consists of, None where there is none.

    `added`: {path: sha256}; `edited`: {path: {"before": sha256, "after": sha256, "mtime_ns": int}}, the time of
    `before`; `bytecode`: the .pyc files there were; `version`: of Transformers.
    """
    file = _state(package) / "manifest.json"
    return json.loads(file.read_text()) if file.is_file() else None


def check_free(package: Path) -> None:
    """Raises UserError where something that is not this overlay's stands in its place."""
    missing = [path for path in new_blocks() if not (package / path).is_file()]
    if missing:
        raise UserError(f"{package} has no {', '.join(missing)}: this version of Transformers keeps names elsewhere")
    places = [pattern.removesuffix("/*.py") for pattern in NAMES["COPIED"]]
    in_the_way = [path for path in places if (package / path).exists()]
    in_the_way += [path for path in new_blocks() if _BEGIN.encode() in (package / path).read_bytes()]
    if in_the_way:
        raise UserError(
            f"{package} already holds {', '.join(in_the_way)}, and no record says that this script put it there: "
            "remove it, or install Transformers afresh"
        )


def changed_since(package: Path, manifest: dict[str, Any]) -> dict[str, str]:
    """The files that are not as the overlay left them: {path: "missing" or "changed"}."""
    expected = {**manifest["added"], **{path: record["after"] for path, record in manifest["edited"].items()}}
    states = {path: _hash(package / path) for path in expected}
    return {path: "changed" if states[path] else "missing" for path in expected if states[path] != expected[path]}


def is_current(manifest: dict[str, Any]) -> bool:
    """Whether the overlay holds the files and blocks of this checkout."""
    blocks = {path: _sha256(block) for path, block in new_blocks().items()}
    return manifest["added"] == {path: _sha256(content) for path, content in new_files().items()} and blocks == {
        path: record["block"] for path, record in manifest["edited"].items()
    }


def put_in(package: Path, version: str) -> None:
    """Add the files and append the blocks, after writing down what was there. `check_free` comes first."""
    forget(package)  # what a killed run may have left before its manifest was there
    kept = _state(package) / "bytecode"
    kept.mkdir(parents=True)
    manifest: dict[str, Any] = {"version": version, "added": {}, "edited": {}, "bytecode": _all_bytecode(package)}
    for path, content in new_files().items():
        manifest["added"][path] = _sha256(content)
    for path, block in new_blocks().items():
        file = package / path
        before = file.read_bytes()
        manifest["edited"][path] = {
            "before": _sha256(before),
            "after": _sha256(before + block),
            "block": _sha256(block),
            "mtime_ns": file.stat().st_mtime_ns,
        }
        for compiled in _bytecode_of(file):
            shutil.copy2(compiled, kept / compiled.name)
    _replace(package, f"{_state(package).name}/manifest.json", json.dumps(manifest, indent=1).encode())

    for path, content in new_files().items():
        _replace(package, path, content)
    for path, block in new_blocks().items():
        _replace(package, path, (package / path).read_bytes() + block)


def take_out(package: Path, manifest: dict[str, Any]) -> list[str]:
    """Remove the files and blocks; the package is then byte for byte as before, bytecode included.

    A mapping file that somebody else changed meanwhile loses only the block. Returns the paths that are not as before.
    """
    different = [path for path, record in manifest["edited"].items() if not _take_block_out(package, path, record)]
    for path in manifest["added"]:
        for file in [package / path, *_bytecode_of(package / path)]:
            file.unlink(missing_ok=True)
    if not different:
        _remove_bytecode(package, set(_all_bytecode(package)) - set(manifest["bytecode"]))
    for folder in {(package / path).parent for path in manifest["added"]} - {package}:
        _remove_if_empty(folder / "__pycache__")
        _remove_if_empty(folder)
        if folder.is_dir():
            different.append(folder.relative_to(package).as_posix())
    forget(package)
    return different


def forget(package: Path) -> None:
    """Remove the record, the manifest last."""
    state = _state(package)
    shutil.rmtree(state / "bytecode", ignore_errors=True)
    shutil.rmtree(state, ignore_errors=True)


def _take_block_out(package: Path, path: str, record: dict[str, Any]) -> bool:
    """Whether the file is now what it was before."""
    file = package / path
    if not file.is_file():
        return False
    content = file.read_bytes()
    without = _BLOCK.sub(b"", content)
    if _BEGIN.encode() in without or _END.encode() in without:
        raise UserError(f"the LTP block of {file} is damaged: take it out by hand, or install Transformers afresh")
    if without != content:
        _replace(package, path, without)
    if _sha256(without) != record["before"]:
        return False
    os.utime(file, ns=(record["mtime_ns"], record["mtime_ns"]))  # bytecode names the time of its source
    kept = _state(package) / "bytecode"
    for compiled in kept.glob(f"{file.stem}.*.pyc"):
        _replace(package, (file.parent / "__pycache__" / compiled.name).relative_to(package), compiled.read_bytes())
    return True


def _state(package: Path) -> Path:
    return package / ".ltp_overlay"


def _replace(package: Path, path: str | Path, content: bytes) -> None:
    """Write a file of the package whole or not at all, with the permissions it had."""
    target, part = package / path, _state(package) / "part"
    part.write_bytes(content)
    if target.exists():
        shutil.copymode(target, part)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, target)


def _bytecode_of(file: Path) -> list[Path]:
    return sorted((file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"))


def _all_bytecode(package: Path) -> list[str]:
    return sorted(file.relative_to(package).as_posix() for file in package.rglob("__pycache__/*.pyc"))


def _remove_bytecode(package: Path, paths: set[str]) -> None:
    for path in paths:
        (package / path).unlink(missing_ok=True)
        _remove_if_empty((package / path).parent)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash(file: Path) -> str | None:
    return _sha256(file.read_bytes()) if file.is_file() else None
