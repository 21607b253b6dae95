"""Compares an installed `transformers` folder with what the overlay has recorded, and says what to do."""

import csv
from pathlib import Path

from ..base.errors import UserError
from . import records
from .contents import NAMES, SOURCE, block_in, hashes, new_blocks, new_files, sha256, without_block
from .records import INSTALLED, INSTALLING, Manifest

_SHELL_SCRIPT = "revise_local_transformer_package.sh"
# The command in messages: only a checkout has the script, which needs bash
SCRIPT = _SHELL_SCRIPT if (SOURCE.parent / _SHELL_SCRIPT).is_file() else "ltp-overlay"
COMMAND = f"bash {SCRIPT}" if SCRIPT == _SHELL_SCRIPT else SCRIPT
# What `changes` finds. The first three are changes that a removal would discard.
CHANGED, BLOCK_CHANGED, BLOCK_DAMAGED = "changed", "its block is changed", "its block is damaged"
MISSING, WITHOUT_BLOCK, CHANGED_BESIDE_BLOCK, SHIPPED = (
    "missing",
    "without the block",
    "changed outside the block",
    "replaced by a file of Transformers",
)


def changes(package: Path, manifest: Manifest, shipped: frozenset[str] = frozenset()) -> dict[str, str]:
    """The files that are not as an installation leaves them, by path, with one of the words above."""
    found = {}
    for path, expected in manifest.added.items():
        file = package / path
        folders = [folder for folder in file.parents if folder.is_relative_to(package) and folder != package]
        if path in shipped:
            found[path] = SHIPPED
        elif file.is_symlink() or any(folder.is_symlink() for folder in folders) or file.is_dir():
            found[path] = CHANGED
        elif not file.exists():
            found[path] = MISSING
        elif sha256(file.read_bytes()) != expected:
            found[path] = CHANGED
    for path, record in manifest.edited.items():
        content = (package / path).read_bytes() if (package / path).is_file() else None
        block = block_in(content) if content is not None else None
        if content is None:
            found[path] = MISSING
        elif block is None:
            found[path] = WITHOUT_BLOCK
        elif not block or block_in(without_block(content)) is not None:
            found[path] = BLOCK_DAMAGED
        elif sha256(block) != record["block"]:
            found[path] = BLOCK_CHANGED
        elif sha256(content) != record["after"]:
            found[path] = CHANGED_BESIDE_BLOCK
    return found


def check_unchanged(package: Path, found: dict[str, str], force: bool) -> None:
    """Raises UserError if a removal would discard changes of others, unless `force`."""
    lost = [path for path, state in found.items() if state in (CHANGED, BLOCK_CHANGED, BLOCK_DAMAGED)]
    if lost and not force:
        raise UserError(
            f"another program or a person has changed {', '.join(lost)} in {package} since this script wrote it. "
            "Nothing is changed. Save what you need of it, then add --force, which discards those changes"
        )


def check_free(package: Path, shipped: frozenset[str]) -> None:
    """Raises UserError if LTP cannot be added: a file is missing, or Transformers has files with our names."""
    missing = [path for path in new_blocks() if not (package / path).is_file()]
    if missing:
        raise UserError(
            f"{package} has no {', '.join(missing)}: its installation is incomplete, or this version of Transformers "
            "keeps its names elsewhere"
        )
    if taken := sorted(shipped & set(new_files())):
        raise UserError(f"this version of Transformers has its own {', '.join(taken)}: use it without LTP's files")


def traces(package: Path, shipped: frozenset[str]) -> Manifest | None:
    """A manifest of what has the names and marks of LTP, for a package without a record; None if nothing has.

    What the files with a block were like before is not known, so their `mtime_ns` is None.
    """
    files = [file for pattern in NAMES.COPIED for file in sorted(package.glob(pattern)) if file.is_file()]
    added = {file.relative_to(package).as_posix(): sha256(file.read_bytes()) for file in files}
    edited = {}
    for path in new_blocks():
        content = (package / path).read_bytes() if (package / path).is_file() else b""
        if (block := block_in(content)) is not None:
            before = sha256(without_block(content))
            edited[path] = {"before": before, "after": sha256(content), "block": sha256(block), "mtime_ns": None}
    added = {path: content for path, content in added.items() if path not in shipped}
    return Manifest(INSTALLED, "of unknown version", added, edited) if added or edited else None


def is_current(manifest: Manifest) -> bool:
    """Whether files and blocks are those of this project."""
    blocks = {path: record["block"] for path, record in manifest.edited.items()}
    return manifest.added == hashes(new_files()) and blocks == hashes(new_blocks())


def is_ours(manifest: Manifest) -> bool:
    """Whether everything in a manifest of `traces` equals a file or a block of this checkout."""
    files, blocks = hashes(new_files()), hashes(new_blocks())
    return all(files.get(path) == content for path, content in manifest.added.items()) and all(
        blocks[path] == record["block"] for path, record in manifest.edited.items()
    )


def shipped_paths(package: Path, version: str | None) -> frozenset[str]:
    """The paths in the package that pip has recorded as files of Transformers."""
    file = package.parent / f"transformers-{version}.dist-info/RECORD"
    if not file.is_file():
        return frozenset()
    with file.open(newline="", encoding="utf-8", errors="replace") as rows:
        paths = [row[0] for row in csv.reader(rows) if row]
    return frozenset(path.removeprefix("transformers/") for path in paths if path.startswith("transformers/"))


def describe(package: Path, version: str | None) -> list[str]:
    """Lines that say in which state the package is and what to do."""
    if records.is_locked(package):
        return ["another run of this script is changing the package now"]
    shipped = shipped_paths(package, version)
    manifest = records.read_manifest(package)
    if manifest is None:
        return _without_manifest(package, shipped)
    found = changes(package, manifest, shipped)
    again = f"run {SCRIPT} again to complete it, or with --restore to undo it"
    total = len(manifest.added) + len(manifest.edited)
    there = total - sum(state in (MISSING, WITHOUT_BLOCK, SHIPPED) for state in found.values())
    if version is None:
        return [
            f"Transformers {manifest.version} was uninstalled. {there} of {total} files of LTP are left in {package}",
            f"run {SCRIPT} --restore to remove them",
        ]
    replaced = replaced_since(package, manifest, found, version)
    if manifest.phase == INSTALLING:
        lines = [f"an installation of LTP was interrupted: {there} of {total} files are in place, and not tried out"]
    elif manifest.phase == records.REMOVING:
        lines = [f"a removal or an update of LTP was interrupted: {there} of {total} files are left"]
    elif replaced:
        lines = [f"LTP is not complete. {replaced}. {there} of {total} files of LTP are left"]
        again = f"run {SCRIPT} again to add LTP to this installation, or with --restore to remove what is left"
    elif found:
        lines = [f"LTP was installed for transformers {manifest.version}, and these files have changed since:"]
        lines += [f"  {path}: {state}" for path, state in found.items()]
    elif is_current(manifest):
        return ["LTP is installed, from the files of this project"]
    else:
        return [f"LTP is installed, but not from the files of this project: run {SCRIPT} again to update"]
    if manifest.phase == INSTALLED:
        return [*lines, again]
    return [*lines, *([f"{replaced}"] if replaced else []), again]


def replaced_since(package: Path, manifest: Manifest, found: dict[str, str], version: str) -> str | None:
    """Says that Transformers was upgraded or installed again after LTP was added; None if it was not."""
    if manifest.version != version and manifest.version != "of unknown version":
        return f"Transformers was changed from {manifest.version} to {version} since LTP was added"
    fresh = [path for path in manifest.edited if found.get(path) == WITHOUT_BLOCK]
    if manifest.phase == INSTALLED and fresh:
        times = {path: (package / path).stat().st_mtime_ns for path in fresh}
        if any(times[path] != manifest.edited[path]["mtime_ns"] for path in fresh):
            return f"Transformers {version} was installed again, or another program replaced {', '.join(fresh)}"
    return None


def _without_manifest(package: Path, shipped: frozenset[str]) -> list[str]:
    left = traces(package, shipped)
    if left is not None:
        return [
            f"LTP is not installed, but {package} holds files or blocks with its names, and no record of them:",
            *(f"  {path}" for path in [*left.added, *left.edited]),
            f"{SCRIPT} --restore{'' if is_ours(left) else ' --force'} removes them",
        ]
    if records.folder(package).exists():
        return [
            "LTP is not installed. An interrupted run has left no trace but "
            f"{records.folder(package)}: run {SCRIPT} again, or with --restore to remove it"
        ]
    return ["LTP is not installed"]
