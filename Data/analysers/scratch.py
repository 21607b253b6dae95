"""Temporary files of a build, inside the cache folder: a later build removes what a killed one left there."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ltp_pipeline.base.errors import UserError

NAME = "scratch"


@contextmanager
def scratch_folder(cache_dir: Path) -> Iterator[Path]:
    """Yields a new folder, which is removed at the end. Folders of builds that were killed are removed first.

    A running build holds the lock of its folder; the system releases the lock of a killed one.
    Raises UserError if the cache folder cannot be written to.
    """
    parent = (cache_dir / NAME).resolve()
    folder = parent / uuid.uuid4().hex
    lock = FileLock(f"{folder}.lock")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with FileLock(parent / ".lock"):  # no other build takes this folder for an abandoned one
            _remove_abandoned(parent)
            lock.acquire()
            folder.mkdir()
    except OSError as error:
        raise UserError(f"--cache_dir: cannot write to {cache_dir}: {error.strerror}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


@contextmanager
def temporary_files_in(folder: Path | None) -> Iterator[None]:
    """Python's temporary files are made in `folder` (None: where they always are)."""
    before = tempfile.tempdir
    try:
        tempfile.tempdir = before if folder is None else str(folder)
        yield
    finally:
        tempfile.tempdir = before


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders that no running build has locked."""
    for folder in (path for path in parent.iterdir() if path.is_dir()):
        lock = FileLock(f"{folder}.lock")
        try:
            with lock.acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
                Path(lock.lock_file).unlink(missing_ok=True)
        except Timeout:
            continue
