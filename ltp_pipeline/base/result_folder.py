"""A run's result appears whole: it is made in a folder beside its place, and takes that place when it is complete."""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ltp_pipeline.base import processes
from ltp_pipeline.base.errors import UserError

RESULT_MARK = "training_args.bin"
CHECKPOINTS = "checkpoint-*"


def check_replaceable(target: Path, needed: dict[str, str | Path | None], flag: str = "--output_dir") -> None:
    """Raises UserError unless a result can be put at `target`, and what was there removed, without harm.

    Args:
        target: folder of the result.
        needed: what must not lie in it, by the flag that named it.
        flag: the flag that named `target`.
    """
    place = target.resolve()
    for name, path in {**needed, "the working directory": Path.cwd()}.items():
        if path is not None and Path(path).exists() and place in (Path(path).resolve(), *Path(path).resolve().parents):
            raise UserError(
                f"{flag} {target}: the result would replace {name} ({path}); expected another folder: "
                "give one with --output_dir"
            )
    if target.exists() and not holds_result(target) and (not target.is_dir() or any(target.iterdir())):
        raise UserError(
            f"{flag} {target}: holds other things than a result of this program, and is left alone; "
            "expected a new folder, an empty one or an earlier result"
        )


def holds_result(folder: Path) -> bool:
    """Whether a run has put a result, or checkpoints on the way to one, directly into `folder`."""
    return (folder / RESULT_MARK).is_file() or any(folder.glob(CHECKPOINTS))


def unfinished(target: Path) -> Path:
    """Folder beside `target` in which its result is made, and stays if the run is interrupted."""
    return _beside(target, "unfinished")


@contextmanager
def open_folder(target: Path) -> Iterator[Path]:
    """Yields `target`, made if need be, to put files beside what is there. Raises UserError if it cannot be made.

    Of several processes the main one makes it, and all wait for that, and at the end for each other.
    """
    if processes.is_main():
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--output_dir {target}: cannot be written: {error.strerror}") from error
    processes.agree()
    yield target
    processes.agree()


@contextmanager
def new_result(target: Path, resume: bool = False) -> Iterator[Path]:
    """Yields an empty folder beside `target` to put a result in; when the block ends it takes `target`'s place.

    If the block fails, what it has made stays in `<target>.unfinished`, and `target` as it was. An earlier result is
    removed only after the new one is complete, and not even then if later stages have put theirs into it: then it
    is moved to `<target>.previous`, and a line says so.

    Of several processes the main one makes and moves folders, and all wait for that.

    Args:
        resume: start with what an earlier run has left unfinished.

    Raises:
        UserError: the folder cannot be made, or a process on another machine does not see it.
    """
    work = unfinished(target)
    processes.agree()  # all have read what they need of what is there
    if processes.is_main():
        _make(work, target, resume)
    processes.agree()
    if not work.is_dir():
        raise UserError(
            f"--output_dir {target}: process {processes.process_index()}, on {platform.node()}, does not see what "
            "the first one makes there; expected a folder that all machines share"
        )
    try:
        processes.agree()
        yield work
    except BaseException:
        if processes.is_main():
            _leave(work)
        raise
    if processes.is_main():
        _put_in_place(work, target)
    processes.agree()


def _make(work: Path, target: Path, resume: bool) -> None:
    try:
        if not resume and work.exists():
            shutil.rmtree(work)
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir {target}: cannot be written: {error.strerror}") from error


def _leave(work: Path) -> None:
    if any(work.iterdir()):
        print(f"unfinished: what there is lies in {work}")
    else:
        work.rmdir()


def _put_in_place(work: Path, target: Path) -> None:
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
        print(f"the result that was in {target} is now in {previous}, as it holds {', '.join(later)}")
    else:
        shutil.rmtree(previous)


def _beside(target: Path, ending: str) -> Path:
    return target.parent / f"{target.name}.{ending}"
