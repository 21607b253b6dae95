"""Writes the result of a run to a temporary folder, which replaces the final folder when the result is complete.

    TARGET.unfinished  --->  TARGET  --->  removed, or TARGET.previous
          | ^      run ends         next run ends
          | |
          +-+  a run that is interrupted leaves it; the next run resumes from it, or sets its checkpoints aside:
               TARGET.unfinished.previous

TARGET is therefore always a complete result, the old or the new one. If the old result contains results of later
stages, it becomes TARGET.previous (then TARGET.previous-2, ...); otherwise it is removed.

Replacing takes several steps. The file `.complete` in the new result records that they have begun. If the run is
killed between two of them, the next run with this target does the rest: see `finish_replacing`.
"""

import errno
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ltp_pipeline.base import processes
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.folder_lock import UNFINISHED, is_lock_file, locked

RESULT_MARK = "training_args.bin"  # every training run writes this file, so it marks a folder as a result
CHECKPOINTS = "checkpoint-*"
RECORD = "run.json"
COMPLETE = ".complete"  # in a new result while it replaces the old one; its text is the name that the old one gets
TABLE_ENDINGS = ("csv", "jsonl", "parquet")
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)


def place_of(target: Path) -> Path:
    """`target` without a symbolic link, `.` or `..` at its end, so that one folder has one name for its lock."""
    return target.resolve() if target.is_symlink() or target.name in ("", "..") else target


def check_replaceable(
    target: Path, needed: dict[str, str | Path | None], is_result: Callable[[Path], bool] | None = None
) -> None:
    """Raises UserError if a result must not replace what is at `target`.

    `needed`: flag -> its path, which must not be inside `target`. `is_result`: whether a folder holds an earlier
    result; None: [`holds_result`].
    """
    place = target.resolve()
    for name, path in {**needed, "the working directory": Path.cwd()}.items():
        if path is not None and Path(path).exists() and place in (Path(path).resolve(), *Path(path).resolve().parents):
            raise UserError(
                f"--output_dir {target}: the result would replace {name} ({path}); expected another folder: "
                "give one with --output_dir"
            )
    if place.name.endswith(UNFINISHED):
        raise UserError(
            f"--output_dir {target}: this name is for the unfinished result of {place.name.removesuffix(UNFINISHED)}"
            "; expected another name"
        )
    if os.path.ismount(place):
        raise UserError(
            f"--output_dir {target}: is a mount point, which cannot be replaced as a whole; expected a folder inside "
            f"it, such as {target / 'result'}"
        )
    if (
        target.exists()
        and not (is_result or holds_result)(target)
        and (not target.is_dir() or any(_foreign_files(target)))
    ):
        raise UserError(
            f"--output_dir {target}: contains files that are not a result of this program; "
            "expected a new folder, an empty one or an earlier result"
        )


def check_addable(target: Path) -> None:
    """Raises UserError if no files can be added to the folder `target`, which may be missing."""
    existing = next(place for place in (target, *target.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise UserError(f"--output_dir {target}: cannot be written: {existing} is a file; expected a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(
            f"--output_dir {target}: cannot be written: no permission to write in {existing}; expected another folder"
        )


def check_new_folder(target: Path) -> None:
    """Raises UserError unless `target` is missing or an empty folder."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"--output_dir {target}: expected a new or an empty folder")


def check_new_tables(target: Path, names: Iterable[str], ending: str) -> None:
    """Raises UserError if no files can be added to `target`, or if it has one of the tables `names` in another format.

    That table would stay beside the new ones, and its rows could be in another split there.

    `ending`: of the new tables, one of TABLE_ENDINGS.
    """
    check_addable(target)
    for name in names:
        for other in TABLE_ENDINGS:
            if other != ending and (target / f"{name}.{other}").exists():
                raise UserError(
                    f"--output_dir {target}: holds {name}.{other}, which --format {ending} would leave beside "
                    f"{name}.{ending}; expected another folder"
                )


def check_overwrite(target: Path, overwrite: bool, resumes: bool) -> None:
    """Raises UserError if a run would replace a result or leave checkpoints behind and the user did not ask for it.

    `overwrite`: whether --overwrite_output_dir is given. `resumes`: whether --resume_from_checkpoint is.
    """
    if overwrite:
        return
    if holds_result(target):
        raise UserError(
            f"--output_dir {target}: this folder holds an earlier result; expected a new folder, or "
            "--overwrite_output_dir to replace the result when the new one is complete"
        )
    work = unfinished(target)
    if resumes or not holds_result(work):
        return
    found = sorted((path.name for path in work.glob(CHECKPOINTS)), key=lambda name: (len(name), name))
    if found:
        raise UserError(
            f"--output_dir {target}: {work} holds {found[-1]} of an interrupted run; expected "
            "--resume_from_checkpoint last to go on from it, or --overwrite_output_dir to start again (then its "
            f"checkpoints are moved to {_unused(target, 'unfinished.previous')}, and removed when the new run is "
            "complete)"
        )
    raise UserError(
        f"--output_dir {target}: {work} holds a trained model that was not moved into place; move it to {target} "
        "or elsewhere, or give --overwrite_output_dir to start again"
    )


def check_file_overwrite(file: Path, overwrite: bool) -> None:
    """Raises UserError if `file`, the mark of a command's result, exists and --overwrite_output_dir is not given."""
    if file.exists() and not overwrite:
        raise UserError(
            f"--output_dir {file.parent}: this folder holds an earlier result, {file.name}; expected another folder, "
            "or --overwrite_output_dir to replace the result when the new one is complete"
        )


def holds_result(folder: Path) -> bool:
    """Whether `folder` itself, not a subfolder, holds a result or the checkpoints of an interrupted run."""
    return (folder / RESULT_MARK).is_file() or any(folder.glob(CHECKPOINTS))


def unfinished(target: Path) -> Path:
    """The temporary folder beside `target` in which a run writes its result. It remains if the run is interrupted."""
    return _beside(target, "unfinished")


@contextmanager
def open_folder(target: Path) -> Iterator[Path]:
    """Yields `target`, created if it is missing, to add files to it. Raises UserError if it cannot be created.

    The main process creates it. There is a barrier before and after the block.
    """
    if processes.is_main():
        _create(target, target)
    processes.barrier()
    yield target
    processes.barrier()


@contextmanager
def new_result(target: Path, resume: bool = False) -> Iterator[Path]:
    """Yields `TARGET.unfinished` to put a result in. When the block ends, that folder becomes `target`.

    If the block fails, `target` stays as it was. Only the main process creates and moves folders; the others wait.

    `resume`: keep the files of an interrupted run in `TARGET.unfinished`. Otherwise the folder starts empty, and
    checkpoints in it are moved to `TARGET.unfinished.previous` until the run is complete.
    Raises UserError if the folder cannot be created, the disk is full, `target` cannot be replaced, or a process on
    another machine does not see the folder.
    """
    work = unfinished(target)
    processes.barrier()  # before it, other processes may still read what is removed next
    if processes.is_main():
        _create(work, target, empty=not resume)
    processes.barrier()
    if not work.is_dir():
        raise UserError(
            f"--output_dir {target}: process {processes.process_index()}, on {platform.node()}, does not see the "
            "folder that the main process has created; expected a folder that all machines share"
        )
    try:
        processes.barrier()
        yield work
        if processes.is_main():
            mark_complete(work)
    except BaseException as error:
        if processes.is_main():
            _leave(work)
        reason = disk_error(error)
        if reason is None:
            raise
        raise UserError(
            f"--output_dir {target}: cannot be written: {reason}; the earlier result is unchanged. Make room, then "
            "repeat the command with --resume_from_checkpoint last"
        ) from error
    finish_replacing(target)
    processes.barrier()


@contextmanager
def new_folder(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """As [`new_result`], for a command that is no training: it holds the lock of `target`, which trainings hold, too.

    Raises UserError if a run writes into `target`, or, unless `overwrite`, an interrupted one left its checkpoints
    beside it.
    """
    target = place_of(target)
    with locked(target, " ".join(sys.argv), replaces=True):
        if not overwrite and holds_result(unfinished(target)):
            raise UserError(
                f"--output_dir {target}: {unfinished(target)} holds the checkpoints of an interrupted run; expected "
                "another folder"
            )
        with new_result(target) as work:
            yield work


def disk_error(error: BaseException) -> str | None:
    """Why the disk could not be written, if that is what `error` or an error behind it says; otherwise None."""
    if not isinstance(error, Exception) or isinstance(error, UserError):
        return None
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return error.strerror
    text = str(error)
    for number in DISK_ERRORS:  # safetensors reports an error of the operating system as text
        if f"(os error {number})" in text:
            return os.strerror(number)
    behind = error.__cause__ or error.__context__
    reason = None if behind is None else disk_error(behind)
    if reason is None and "PytorchStreamWriter failed" in text:  # torch does not say why
        return "the disk is full or has failed"
    return reason


def set_aside(target: Path, checkpoints: Sequence[Path] = ()) -> Path:
    """Moves the unfinished result, or these checkpoints in it, to a new folder TARGET.unfinished.previous, or -2, ...

    All such folders are removed when a new result replaces `target`. Returns the folder.
    """
    aside = _unused(target, "unfinished.previous")
    if not checkpoints:
        os.rename(unfinished(target), aside)
        return aside
    aside.mkdir()
    for checkpoint in checkpoints:
        os.rename(checkpoint, aside / checkpoint.name)
    return aside


def mark_complete(work: Path) -> None:
    """Records that the result in `work` is complete, once it is on the disk: from now on it is moved into place.

    Raises OSError if the disk is full.
    """
    for path in work.glob("**/*"):
        if path.is_file():  # Some file systems report only now that there is no room.
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    (work / COMPLETE).touch()


def finish_replacing(target: Path) -> bool:
    """Does the steps of replacing `target` that a killed run has not done. Returns whether there were any.

    To be called by all processes; the main one moves and removes. Raises UserError if the result cannot be moved.
    """
    if processes.is_main():
        _move_into_place(target)
    processes.barrier()
    complete = (target / COMPLETE).is_file()
    processes.barrier()
    if complete and processes.is_main():
        _remove_replaced(target)
    return complete


def _move_into_place(target: Path) -> None:
    work, previous = unfinished(target), _beside(target, "previous")
    if (work / COMPLETE).is_file():
        try:
            _swap(work, target)
        except OSError as error:
            old = "" if target.exists() else f"; the earlier result is in {_replaced_by(work, target)}"
            raise UserError(
                f"--output_dir {target}: the new result is complete, but cannot be moved there: {error.strerror}. It "
                f"is in {work}{old}. Repeat the command when the folder can be renamed, or move the result to another "
                f"place yourself: mv {work} ELSEWHERE"
            ) from error
    elif holds_result(previous) and not target.exists():
        print(f"{target} is missing, and an earlier result is in {previous}: rename it if you still need it there")


def _swap(work: Path, target: Path) -> None:
    """Moves the old result away and the new one to `target`. If the second step fails, the first one is undone."""
    if not target.exists():
        os.rename(work, target)
        return
    previous = _unused(target, "previous")
    (work / COMPLETE).write_text(previous.name, encoding="utf-8")
    os.rename(target, previous)
    try:
        os.rename(work, target)
    except OSError:
        os.rename(previous, target)
        raise


def _replaced_by(result: Path, target: Path) -> Path | None:
    """Where the result that `result` replaces was moved to; None if it replaces nothing."""
    name = (result / COMPLETE).read_text(encoding="utf-8")
    return target.with_name(name) if re.fullmatch(rf"{re.escape(target.name)}\.previous(-\d+)?", name) else None


def _remove_replaced(target: Path) -> None:
    """Removes what the new result at `target` replaces. What cannot be removed is named."""
    previous = _replaced_by(target, target)
    if previous is not None and previous.is_dir():
        later = sorted(str(path.parent.relative_to(previous)) for path in previous.glob(f"*/**/{RESULT_MARK}"))
        later = [name for name in later if not name.startswith("checkpoint-")]
        if later:
            print(f"the earlier result of {target} is now {previous}, because it holds {', '.join(later)}")
        else:
            _remove(previous)
    for place in target.parent.iterdir():
        if re.fullmatch(rf"{re.escape(target.name)}\{UNFINISHED}\.previous(-\d+)?", place.name):
            _remove(place)
    with suppress(OSError):
        (target / COMPLETE).unlink()


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        print(f"{folder} is no longer needed, but cannot be removed: {error.strerror}")


def _create(folder: Path, target: Path, empty: bool = False) -> None:
    try:
        if empty and folder.exists():
            if holds_result(folder):
                place = set_aside(target)
                print(f"the checkpoints of the interrupted run are now in {place}, until this run is complete")
            else:
                shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir {target}: cannot be written: {error.strerror}") from error


def _leave(work: Path) -> None:
    with suppress(OSError):
        if any(path.name != RECORD for path in work.iterdir()):
            print(f"unfinished: the files made so far are in {work}")
        else:
            shutil.rmtree(work)


def _foreign_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not is_lock_file(path))


def _unused(target: Path, ending: str) -> Path:
    """The first of TARGET.ENDING, TARGET.ENDING-2, ... that does not exist."""
    names = (ending, *(f"{ending}-{number}" for number in range(2, 10**6)))
    return next(place for name in names if not (place := _beside(target, name)).exists())


def _beside(target: Path, ending: str) -> Path:
    return target.parent / f"{target.name}.{ending}"
