"""Writes the result of a run to a temporary folder, which replaces the final folder when the result is complete.

    TARGET.unfinished  --->  TARGET  --->  removed, or TARGET.previous
          | ^      run ends         next run ends
          | |
          +-+  a run that is interrupted leaves it; the next run resumes from it, or empties it

TARGET is therefore always a complete result, the old or the new one. If the old result contains results of later
stages, it becomes TARGET.previous (then TARGET.previous-2, ...); otherwise it is removed.
"""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ltp_pipeline.base import processes
from ltp_pipeline.base.errors import UserError

RESULT_MARK = "training_args.bin"  # every training run writes this file, so it marks a folder as a result
CHECKPOINTS = "checkpoint-*"


def check_replaceable(target: Path, needed: dict[str, str | Path | None]) -> None:
    """Raises UserError if a result must not replace what is at `target`.

    `needed`: flag -> its path, which must not be inside `target`.
    """
    place = target.resolve()
    for name, path in {**needed, "the working directory": Path.cwd()}.items():
        if path is not None and Path(path).exists() and place in (Path(path).resolve(), *Path(path).resolve().parents):
            raise UserError(
                f"--output_dir {target}: the result would replace {name} ({path}); expected another folder: "
                "give one with --output_dir"
            )
    if target.exists() and not holds_result(target) and (not target.is_dir() or any(target.iterdir())):
        raise UserError(
            f"--output_dir {target}: contains files that are not a result of this program; "
            "expected a new folder, an empty one or an earlier result"
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

    `resume`: keep the files of an interrupted run in `TARGET.unfinished`; otherwise the folder starts empty.
    Raises UserError if the folder cannot be created, or a process on another machine does not see it.
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
    except BaseException:
        if processes.is_main():
            _leave(work)
        raise
    if processes.is_main():
        _move_into_place(work, target)
    processes.barrier()


def _create(folder: Path, target: Path, empty: bool = False) -> None:
    try:
        if empty and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir {target}: cannot be written: {error.strerror}") from error


def _leave(work: Path) -> None:
    if any(work.iterdir()):
        print(f"unfinished: the files made so far are in {work}")
    else:
        work.rmdir()


def _move_into_place(work: Path, target: Path) -> None:
    if not target.exists():
        os.rename(work, target)
        return
    names = ("previous", *(f"previous-{number}" for number in range(2, 10**6)))
    previous = next(place for name in names if not (place := _beside(target, name)).exists())
    os.rename(target, previous)
    os.rename(work, target)
    later = sorted(str(path.parent.relative_to(previous)) for path in previous.glob(f"*/**/{RESULT_MARK}"))
    later = [name for name in later if not name.startswith("checkpoint-")]
    if later:
        print(f"the earlier result of {target} is now {previous}, because it holds {', '.join(later)}")
    else:
        shutil.rmtree(previous)


def _beside(target: Path, ending: str) -> Path:
    return target.parent / f"{target.name}.{ending}"
