"""What the overlay remembers about a package, in the folder `.ltp_overlay` inside it.

    manifest.installing, manifest.json or manifest.removing    what is added, and the hashes from before
    new/         files that are not yet at their places
    original/    the files that the overlay has replaced by files with a block
    bytecode/    their compiled files
    lock         held by the run that changes the package

The manifest's name tells how far a run has come. It changes by renaming, which works on a full disk, too.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.errors import UserError
from ..base.files import parse_json

INSTALLING, INSTALLED, REMOVING = "manifest.installing", "manifest.json", "manifest.removing"


class DamagedRecord(UserError):
    """The manifest cannot be read."""


@dataclass(frozen=True)
class Manifest:
    """What was added to a package, and what was there before. Hashes are SHA-256.

    Attributes:
        phase: INSTALLING or REMOVING while a run is at work or after it was killed; otherwise INSTALLED.
        version: the version of Transformers.
        added: the hash of each added file, by its path in the package.
        edited: for each file with a block its hashes `before` and `after`, the hash of the `block`, `mtime_ns`,
            the time of the file before (None if there is no record of it), and the names of its `bytecode` before.
    """

    phase: str
    version: str
    added: dict[str, str]
    edited: dict[str, dict[str, Any]]


def folder(package: Path) -> Path:
    """The folder of the records. It exists from the start of an installation to the end of its removal."""
    return package / ".ltp_overlay"


def read_manifest(package: Path) -> Manifest | None:
    """The manifest; None if LTP is not installed. Raises DamagedRecord, a UserError, if it cannot be understood."""
    for phase in (INSTALLING, INSTALLED, REMOVING):
        file = folder(package) / phase
        try:
            read = parse_json(file.read_bytes())
            manifest = Manifest(phase, read["version"], dict(read["added"]), dict(read["edited"]))
            for record in manifest.edited.values():
                _ = record["before"], record["after"], record["block"], record["mtime_ns"]
            if any(Path(path).is_absolute() or ".." in Path(path).parts for path in [*read["added"], *read["edited"]]):
                raise ValueError("a path leads out of the package")
            return manifest
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DamagedRecord(
                f"{file} is damaged: --restore --force removes what has the names of LTP's files, without the record"
            ) from None
    return None


def write_manifest(package: Path, manifest: Manifest) -> None:
    """Writes the manifest under the name of its phase, as a whole or not at all."""
    content = {"version": manifest.version, "added": manifest.added, "edited": manifest.edited}
    part = folder(package) / "part"
    write_through(part, json.dumps(content, indent=1).encode())
    os.replace(part, folder(package) / manifest.phase)


def set_phase(package: Path, old: str, new: str) -> None:
    """Renames the manifest."""
    os.replace(folder(package) / old, folder(package) / new)


def write_through(file: Path, content: bytes) -> None:
    """Writes a file and waits until it is on the disk, so that a rename after this never shows an empty file."""
    with file.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def clear(package: Path, keep: tuple[str, ...] = ()) -> None:
    """Removes all records except `keep`, the manifest after the rest. If nothing is kept, removes the folder, too."""
    records = folder(package)
    if not records.is_dir():
        return
    keep = (*keep, "lock") if keep else ()
    names = sorted(
        set(os.listdir(records)) - set(keep), key=lambda name: (name == "lock", name.startswith("manifest"))
    )
    for name in names:
        file = records / name
        shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()
    if not keep:
        records.rmdir()


@contextmanager
def locked(package: Path) -> Iterator[None]:
    """Lets one run at a time change the package. Raises UserError if another run holds the lock.

    The run that removes the records removes the lock file, too. filelock does not accept a lock whose file is gone.
    """
    lock = _acquire(package)
    try:
        yield
    finally:
        with suppress(OSError):
            if os.listdir(folder(package)) == ["lock"]:  # nothing has been recorded
                clear(package)
        lock.release()


def _acquire(package: Path) -> Any:
    file_lock, timeout = _file_lock(package)
    path = folder(package) / "lock"
    for attempt in range(10):
        try:
            folder(package).mkdir(exist_ok=True)
            return file_lock(path, timeout=0).acquire().lock
        except timeout:
            break
        except FileNotFoundError:  # another run has just removed the folder
            if attempt == 9:
                raise
    raise UserError(f"another run is changing {package} (it holds {path}): try again when it has ended")


def is_locked(package: Path) -> bool:
    """Whether another run is changing the package. Changes nothing."""
    path = folder(package) / "lock"
    if not path.exists() or not os.access(path, os.W_OK):
        return False
    file_lock, timeout = _file_lock(package)
    try:
        with file_lock(path, timeout=0):
            return False
    except timeout:
        return True


def _file_lock(package: Path) -> tuple[Any, type[Exception]]:
    """filelock's FileLock and Timeout. If this interpreter has no filelock, those that came with Transformers."""
    try:
        import filelock
    except ImportError:
        sys.path.append(str(package.parent))
        try:
            import filelock
        except ImportError:
            raise UserError(f"{sys.executable} has no filelock: {sys.executable} -m pip install filelock") from None
    return filelock.FileLock, filelock.Timeout
