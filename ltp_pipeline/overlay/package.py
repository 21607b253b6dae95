"""The files of LTP inside an installed `transformers` folder: adds them, compares them, and removes them again.

`.ltp_overlay/manifest.json` in that folder records the original state. It is written before any other change and
removed after all others, and each file is replaced as a whole: a run that was killed can be repeated or undone. The
manifest also lists the files to remove, so that what another version of this project has installed is removed, too.
"""

import hashlib
import json
import os
import re
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..base.errors import UserError

SOURCE = Path(__file__).parents[2] / "transformer_revised"
# Not imported, because that would import Transformers, which the interpreter of this command may not have.
NAMES = SimpleNamespace(**runpy.run_path(str(SOURCE / "models/auto/ltp_names.py")))

_BEGIN = "# >>> LTP overlay, added by revise_local_transformer_package.sh and removed by its --restore >>>"
_END = "# <<< LTP overlay <<<"
_BLOCK = re.compile(rb"\n" + re.escape(_BEGIN).encode() + rb"\n.*?" + re.escape(_END).encode() + rb"\n", re.DOTALL)


def new_files() -> dict[str, bytes]:
    """Content of every file to add, by its path in the package."""
    files = [file for pattern in NAMES.COPIED for file in sorted(SOURCE.glob(pattern))]
    return {file.relative_to(SOURCE).as_posix(): file.read_bytes() for file in files}


def new_blocks() -> dict[str, bytes]:
    """The marked block to append to each file that maps names to classes, by its path in the package."""
    key = NAMES.MODEL_TYPE
    lines = {
        "auto_mappings": [f'CONFIG_MAPPING_NAMES["{key}"] = "{NAMES.CONFIG_CLASS}"'],
        "modeling_auto": [f'{table}["{key}"] = "{name}"' for table, name in NAMES.MODEL_CLASSES.values()],
        "tokenization_auto": [f'TOKENIZER_MAPPING_NAMES["{key}"] = "{NAMES.TOKENIZER_CLASS}"'],
    }
    return {
        f"models/auto/{name}.py": "\n".join(["", _BEGIN, *block, _END, ""]).encode() for name, block in lines.items()
    }


def read_manifest(package: Path) -> dict[str, Any] | None:
    """What was added to `package` and what was there before; None if LTP is not installed there.

    `version` is that of Transformers. `added` has the hash of each file. `edited` has for each file with a block its
    hashes `before` and `after`, the hash of the `block`, and `mtime_ns`, the time of the file before. All are SHA-256.
    """
    file = _records(package) / "manifest.json"
    return json.loads(file.read_text()) if file.is_file() else None


def check_free(package: Path) -> None:
    """Raises UserError if LTP cannot be added: a file is missing, or files that are not ours have its names."""
    missing = [path for path in new_blocks() if not (package / path).is_file()]
    if missing:
        raise UserError(f"{package} has no {', '.join(missing)}: this version of Transformers keeps names elsewhere")
    places = [pattern.removesuffix("/*.py") for pattern in NAMES.COPIED]
    taken = [path for path in places if (package / path).exists()]
    taken += [path for path in new_blocks() if _BEGIN.encode() in (package / path).read_bytes()]
    if taken:
        raise UserError(
            f"{package} already holds {', '.join(taken)}, and has no record that this script added it: "
            "remove it, or reinstall Transformers"
        )


def changed_since(package: Path, manifest: dict[str, Any]) -> dict[str, str]:
    """The files that are not as this script left them: {path: "missing" or "changed"}."""
    expected = {**manifest["added"], **{path: record["after"] for path, record in manifest["edited"].items()}}
    found = {path: _sha256((package / path).read_bytes()) for path in expected if (package / path).is_file()}
    return {
        path: "changed" if path in found else "missing"
        for path, sha256 in expected.items()
        if found.get(path) != sha256
    }


def is_current(manifest: dict[str, Any]) -> bool:
    """Whether files and blocks are those of this checkout."""
    blocks = {path: record["block"] for path, record in manifest["edited"].items()}
    return manifest["added"] == _hashes(new_files()) and blocks == _hashes(new_blocks())


def add(package: Path, version: str) -> None:
    """Adds files and blocks to a package that has none, see `check_free`. `version` is that of Transformers."""
    remove_records(package)  # of a run that was killed before it wrote its manifest
    bytecode = _records(package) / "bytecode"
    bytecode.mkdir(parents=True)
    manifest: dict[str, Any] = {"version": version, "added": _hashes(new_files()), "edited": {}}
    for path, block in new_blocks().items():
        file = package / path
        content = file.read_bytes()
        hashes = {"before": _sha256(content), "after": _sha256(content + block), "block": _sha256(block)}
        manifest["edited"][path] = {**hashes, "mtime_ns": file.stat().st_mtime_ns}
        for compiled in _bytecode_of(file):
            shutil.copy2(compiled, bytecode)
    _replace(package, _records(package) / "manifest.json", json.dumps(manifest, indent=1).encode())

    for path, content in new_files().items():
        _replace(package, package / path, content)
    for path, block in new_blocks().items():
        _replace(package, package / path, (package / path).read_bytes() + block)


def remove(package: Path, manifest: dict[str, Any]) -> list[str]:
    """Removes what `manifest` lists, and then the manifest. Returns the paths that are not as they were before.

    If somebody else has changed a mapping file, only the block is removed from it. Folders with other files remain.
    """
    different = [path for path, record in manifest["edited"].items() if not _remove_block(package, path, record)]
    for path in manifest["added"]:
        for file in [package / path, *_bytecode_of(package / path)]:
            file.unlink(missing_ok=True)
    for folder in {(package / path).parent for path in manifest["added"]} - {package}:
        for empty in (folder / "__pycache__", folder):
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()
        if folder.is_dir():
            different.append(folder.relative_to(package).as_posix())
    remove_records(package)
    return different


def remove_records(package: Path) -> None:
    """Removes the manifest and all that is kept with it."""
    shutil.rmtree(_records(package), ignore_errors=True)


def _remove_block(package: Path, path: str, record: dict[str, Any]) -> bool:
    """Removes the block. Returns whether the file is now as it was; then also restores its time and bytecode."""
    file = package / path
    if not file.is_file():
        return False
    content = file.read_bytes()
    without = _BLOCK.sub(b"", content)
    if _BEGIN.encode() in without or _END.encode() in without:
        raise UserError(f"the LTP block of {file} is damaged: remove it by hand, or reinstall Transformers")
    if without != content:
        _replace(package, file, without)
    if _sha256(without) != record["before"]:
        return False
    os.utime(file, ns=(record["mtime_ns"], record["mtime_ns"]))  # Python compares it with the bytecode's
    for compiled in (_records(package) / "bytecode").glob(f"{file.stem}.*.pyc"):
        _replace(package, file.parent / "__pycache__" / compiled.name, compiled.read_bytes())
    return True


def _replace(package: Path, file: Path, content: bytes) -> None:
    """Replaces a file as a whole or not at all, and keeps its permissions."""
    part = _records(package) / "part"
    part.write_bytes(content)
    if file.exists():
        shutil.copymode(file, part)
    file.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, file)


def _records(package: Path) -> Path:
    return package / ".ltp_overlay"


def _bytecode_of(file: Path) -> list[Path]:
    return sorted((file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"))


def _hashes(contents: dict[str, bytes]) -> dict[str, str]:
    return {path: _sha256(content) for path, content in contents.items()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
