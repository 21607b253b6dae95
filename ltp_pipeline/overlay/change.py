"""Adds the files of LTP to an installed `transformers` folder, and removes them again.

New files and copies of the old ones are complete in the folder of the records before the package changes. The manifest
is there before the first change and disappears after the last one. Each change is a rename or a removal. So a run
that was killed can be repeated or undone, and a full disk is noticed before the first change.
"""

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..base.errors import UserError
from . import records
from .contents import block_in, hashes, new_blocks, new_files, sha256, without_block
from .records import INSTALLED, INSTALLING, REMOVING, Manifest

# Permissions and owner of this file and of its folder are those of the files and folders that are added.
_MODEL_FILE = "models/auto/modeling_auto.py"


def stage(package: Path) -> None:
    """Writes all new files into the folder of the records, and changes nothing else. If that fails, removes them."""
    new = records.folder(package) / "new"
    try:
        shutil.rmtree(new, ignore_errors=True)
        for path, content in new_files().items():
            _write(new / path, content, like=package / _MODEL_FILE)
        for path, block in new_blocks().items():
            content = without_block((package / path).read_bytes())
            if block_in(content) is not None and _original(package, path).is_file():  # the block is damaged
                content = _original(package, path).read_bytes()
            _write(new / path, content + block, like=package / path)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def add(package: Path, version: str) -> None:
    """Moves the files of `stage` into a package that has none of ours, see `state.check_free`.

    `version` is that of Transformers. Afterwards the manifest says INSTALLING: `confirm` ends the installation.
    """
    records.clear(package, keep=("new",))
    edited = {path: _save(package, path, block) for path, block in new_blocks().items()}
    manifest = Manifest(INSTALLING, version, hashes(new_files()), edited)
    records.write_manifest(package, manifest)
    new = records.folder(package) / "new"
    for path in _last_the_one_that_counts(manifest.added):
        _make_folder(package, (package / path).parent)
        os.replace(new / path, package / path)
    for path, record in manifest.edited.items():
        found = [sha256(file.read_bytes()) for file in (package / path, new / path)]
        if found != [record["before"], record["after"]]:
            raise UserError(f"{package / path} was changed by another program just now")
        for compiled in _bytecode_of(package / path):  # some bytecode is never compared with its source
            compiled.unlink(missing_ok=True)
        os.replace(new / path, package / path)


def confirm(package: Path) -> None:
    """Marks the installation as complete."""
    shutil.rmtree(records.folder(package) / "new", ignore_errors=True)
    records.set_phase(package, INSTALLING, INSTALLED)


def remove(
    package: Path, manifest: Manifest, shipped: frozenset[str] = frozenset(), staged: bool = False
) -> list[str]:
    """Removes what `manifest` lists, then the manifest. Returns the paths that are not as they were before.

    Files with a block: a file that nobody else has changed becomes the original again. If somebody has, only the block
    is removed. Folders with files of others stay.

    Args:
        shipped: paths that belong to Transformers itself, which are not removed.
        staged: whether the files of `stage` stay.
    """
    if manifest.phase != REMOVING and (records.folder(package) / manifest.phase).exists():
        records.set_phase(package, manifest.phase, REMOVING)
    different = [path for path, record in manifest.edited.items() if not _restore(package, path, record)]
    ours = [path for path in manifest.added if path not in shipped]
    for path in reversed(_last_the_one_that_counts(ours)):
        linked = next((folder for folder in (package / path).parents if folder.is_symlink()), None)
        if linked is not None and linked.is_relative_to(package) and linked != package:
            linked.unlink()  # the files behind a link are not in the package
            continue
        for file in [*_bytecode_of(package / path), package / path]:
            file.unlink(missing_ok=True)
    for folder in sorted({(package / path).parent for path in ours} - {package}):
        _remove_if_empty(folder / "__pycache__")
        if not _remove_if_empty(folder):
            different.append(folder.relative_to(package).as_posix())
    _remove_if_empty(package / "models/auto/__pycache__")
    _remove_if_empty(package / "__pycache__")
    records.clear(package, keep=("new",) if staged else ())
    return different


def remove_empty_folders(package: Path) -> bool:
    """Removes the empty folders of a package that pip has uninstalled. Returns whether nothing is left of it."""
    for folder, _, _ in os.walk(package, topdown=False):
        _remove_if_empty(Path(folder))
    return not package.exists()


def _last_the_one_that_counts(paths: Iterable[str]) -> list[str]:
    """The paths, with `__init__.py` last: without it Python does not take the others for an installed model."""
    return sorted(paths, key=lambda path: path.endswith("__init__.py"))


def _save(package: Path, path: str, block: bytes) -> dict[str, Any]:
    """Keeps the file under a second name, with its bytecode, and returns its entry for the manifest."""
    file, original, bytecode = package / path, _original(package, path), records.folder(package) / "bytecode"
    original.parent.mkdir(exist_ok=True)
    bytecode.mkdir(exist_ok=True)
    for old, saved in [(file, original), *((old, bytecode / old.name) for old in _bytecode_of(file))]:
        try:
            os.link(old, saved, follow_symlinks=False)  # keeps permissions, owner, times and links
        except OSError:  # this file system has no hard links
            shutil.copy2(old, saved, follow_symlinks=False)
            _own(saved, old)
    content = file.read_bytes()
    return {
        "before": sha256(content),
        "after": sha256(content + block),
        "block": sha256(block),
        "mtime_ns": file.stat().st_mtime_ns,
        "bytecode": [compiled.name for compiled in sorted(bytecode.glob(f"{file.stem}.*"))],
    }


def _restore(package: Path, path: str, record: dict[str, Any]) -> bool:
    """Removes the block. Returns whether the file is now as it was; then its bytecode is, too."""
    file, original = package / path, _original(package, path)
    if not file.is_file():
        return False
    content = file.read_bytes()
    if block_in(content) is not None:
        without = without_block(content)
        saved = original.is_symlink() or (original.is_file() and sha256(original.read_bytes()) == record["before"])
        if saved and (sha256(content) == record["after"] or block_in(without) is not None):
            os.replace(original, file)
        elif block_in(without) is not None:
            raise UserError(f"the LTP block of {file} is damaged, and no copy of the file is left: remove it by hand")
        else:
            part = records.folder(package) / "part"
            _write(part, without, like=file)
            if sha256(without) == record["before"] and record["mtime_ns"] is not None:
                os.utime(part, ns=(record["mtime_ns"], record["mtime_ns"]))  # Python compares it with the bytecode's
            os.replace(part, file)
            content = without
    if file.stat().st_mtime_ns != record["mtime_ns"] or sha256(file.read_bytes()) != record["before"]:
        return record["mtime_ns"] is None  # somebody else has written this file, and its bytecode
    saved = {compiled.name: compiled for compiled in (records.folder(package) / "bytecode").glob(f"{file.stem}.*")}
    for compiled in _bytecode_of(file):
        if compiled.name not in record.get("bytecode", [compiled.name]):
            compiled.unlink(missing_ok=True)
    for name, compiled in saved.items():
        (file.parent / "__pycache__").mkdir(exist_ok=True)
        os.replace(compiled, file.parent / "__pycache__" / name)
    return True


def _original(package: Path, path: str) -> Path:
    return records.folder(package) / "original" / Path(path).name


def _write(file: Path, content: bytes, like: Path) -> None:
    """Writes a file with permissions and owner of `like`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    records.write_through(file, content)
    file.chmod(stat.S_IMODE(like.stat().st_mode))
    _own(file, like)


def _make_folder(package: Path, folder: Path) -> None:
    if not folder.exists():
        _make_folder(package, folder.parent)
        folder.mkdir()
        like = (package / _MODEL_FILE).parent
        folder.chmod(stat.S_IMODE(like.stat().st_mode))
        _own(folder, like)


def _own(file: Path, like: Path) -> None:
    """Gives `file` the owner of `like`, where this user may."""
    wanted, found = like.lstat(), file.lstat()
    if (wanted.st_uid, wanted.st_gid) != (found.st_uid, found.st_gid) and os.geteuid() == 0:
        os.chown(file, wanted.st_uid, wanted.st_gid, follow_symlinks=False)


def _remove_if_empty(folder: Path) -> bool:
    """Removes an empty folder. Returns whether there is no such folder now."""
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
    return not folder.exists()


def _bytecode_of(file: Path) -> list[Path]:
    return sorted((file.parent / "__pycache__").glob(f"{file.stem}.*"))
