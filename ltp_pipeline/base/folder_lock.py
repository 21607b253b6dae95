"""Locks a result folder for a whole run, so that no second run writes into it.

The lock is a file beside the folder, TARGET.unfinished.lock. The operating system releases it when the process ends,
by SIGKILL too. TARGET.unfinished.lock.json says which run holds it. Both files are removed at the end of the run.
Files that a killed run has left mean nothing: the next run takes the lock and replaces them.
"""

from __future__ import annotations

import errno
import os
import platform
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ltp_pipeline.base import processes
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import parse_json, write_json

UNFINISHED = ".unfinished"
LOCK = f"{UNFINISHED}.lock"
HOLDER = f"{LOCK}.json"
UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
# Seconds to wait for a lock whose holder has ended: a child process of a killed run may hold it a little longer.
PATIENCE = 10.0


@contextmanager
def locked(target: Path, command: str, replaces: bool) -> Iterator[None]:
    """Holds the lock of `target`, a place as `result_folder.place_of` returns it, in the main process.

    There is a barrier after the lock has been taken. If the file system has no locks, prints a line and goes on.

    Args:
        command: of this run, to be shown to a run that finds the folder locked.
        replaces: whether the run replaces the whole folder, and not only adds files to it.

    Raises UserError, which names the other run, if a run writes into `target`, replaces a folder around it, or writes
    into a folder inside it that this run would replace.
    """
    with ExitStack() as stack:
        if processes.is_main():
            stack.enter_context(_held(target, {"replaces": replaces, "command": command}))
            _check_around(target)
            if replaces:
                _check_inside(target)
        processes.barrier()
        yield


def is_lock_file(path: Path) -> bool:
    """Whether `path` is one of the two files of a lock."""
    return path.name.endswith((LOCK, HOLDER))


@contextmanager
def _held(target: Path, about: dict[str, Any]) -> Iterator[None]:
    lock_file, holder_file = _beside(target, LOCK), _beside(target, HOLDER)
    created = _create_parents(target, required=about["replaces"])
    try:
        lock = _acquire(target, lock_file, holder_file, required=about["replaces"])
        if lock is None:
            yield
            return
        since = time.strftime("%Y-%m-%d %H:%M:%S%z")
        with suppress(UserError):  # a full disk; without this file the message to others is less precise
            write_json(holder_file, {"pid": os.getpid(), "host": platform.node(), "since": since, **about})
        try:
            yield
        finally:
            with suppress(OSError):
                holder_file.unlink(missing_ok=True)
            # Removed before it is released. A process that has opened it meanwhile sees that it is gone: see filelock.
            with suppress(OSError):
                lock_file.unlink(missing_ok=True)
            lock.release()
    finally:
        for folder in created:
            with suppress(OSError):  # there are files in it now
                folder.rmdir()


def _create_parents(target: Path, required: bool) -> list[Path]:
    """Creates the folders above `target`. Returns those that were missing, the innermost first."""
    missing = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if required:
            raise UserError(f"--output_dir {target}: cannot be written: {error.strerror}") from error
    return missing


def _acquire(target: Path, lock_file: Path, holder_file: Path, required: bool) -> Any:
    """The lock, acquired; None if there can be no lock here, which is printed.

    Raises UserError if another run holds the lock or, if it is `required`, if the lock file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(lock_file)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            holder = _read(holder_file)
            if holder is not None and _is_alive(holder):
                raise
            lock.acquire(timeout=PATIENCE, poll_interval=0.1)
    except Timeout:
        raise UserError(
            f"--output_dir {target}: another run is writing this folder: {_described(_read(holder_file))}; "
            "wait until it has ended, or choose another --output_dir"
        ) from None
    except NotImplementedError as error:
        return _unlocked(target, str(error))
    except OSError as error:
        if error.errno in UNSUPPORTED or not required:
            return _unlocked(target, str(error.strerror))
        raise UserError(
            f"--output_dir {target}: cannot be written: {lock_file}: {error.strerror}; expected a folder in which "
            "files can be created"
        ) from error
    return lock


def _unlocked(target: Path, reason: str) -> None:
    print(f"{target} is not locked ({reason}): make sure that no other run writes into it")


def _check_around(target: Path) -> None:
    """Raises UserError if a run replaces a folder around `target`, or if `target` is inside its unfinished result."""
    for folder in target.resolve().parents:
        name = folder.name.removesuffix(UNFINISHED)
        holder = _holder_of(folder.with_name(name)) if name else None
        if holder is not None and holder.get("replaces", True):
            raise UserError(
                f"--output_dir {target}: is inside {folder}, which another run is about to replace: "
                f"{_described(holder)}; wait until it has ended, or choose another --output_dir"
            )


def _check_inside(target: Path) -> None:
    """Raises UserError if a run writes into a folder inside `target`."""
    for lock_file in target.glob(f"**/*{LOCK}"):
        inner = lock_file.with_name(lock_file.name.removesuffix(LOCK))
        holder = _holder_of(inner)
        if holder is not None:
            raise UserError(
                f"--output_dir {target}: another run is writing {inner}, inside the folder that would be replaced: "
                f"{_described(holder)}; wait until it has ended, or choose another --output_dir"
            )


def _holder_of(target: Path) -> dict[str, Any] | None:
    """What is known of the run that holds the lock of `target`; None if no run holds it."""
    from filelock import FileLock, Timeout

    lock_file = _beside(target, LOCK)
    if not lock_file.is_file():
        return None
    try:
        with FileLock(lock_file).acquire(timeout=0):
            return None
    except Timeout:
        return _read(_beside(target, HOLDER)) or {}
    except (OSError, NotImplementedError):
        return None


def _read(holder_file: Path) -> dict[str, Any] | None:
    try:
        holder = parse_json(holder_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return holder if isinstance(holder, dict) else None


def _described(holder: dict[str, Any] | None) -> str:
    if not holder:
        return "unknown which one"
    return (
        f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')} "
        f"({textwrap.shorten(str(holder.get('command')), 300)})"
    )


def _is_alive(holder: dict[str, Any]) -> bool:
    """Whether the process that wrote the file about the lock still runs, as far as this machine can tell."""
    if holder.get("host") != platform.node():
        return True
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return False
    except (OSError, KeyError, TypeError, ValueError, OverflowError):
        return True
    return True


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(f"{target.name}{ending}")
