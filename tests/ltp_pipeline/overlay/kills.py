"""Kills a run of the overlay's command at each of its steps, and records what is left and what the next run does.

A step is a change of a file or a folder: it is made, opened for writing, renamed, linked, removed, or gets other
permissions or times. Python reports each one as an audit event before it happens. An audit hook cannot be removed, so
the killed run is a fork. `python -m tests.ltp_pipeline.overlay.kills FOLDER OPERATION` prints a JSON line for each
kill. OPERATION is install, update or restore.
"""

import contextlib
import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.overlay import command, contents
from ltp_pipeline.overlay.interpreter import Package
from tests.ltp_pipeline.overlay.made_up import make_package, snapshot

STEPS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.utime")


def run(package: Path, *flags: str, torn: bool = False, at: int | None = None) -> str:
    """What the command prints, or its error. With `at`, kills this process at step `at`, counted from 0.

    `torn`: counts only files opened for writing, and first writes the half of one that a power cut would leave.
    """
    command.find_package = lambda python: Package(package, "5.23.0", "python")
    command.try_in_fresh_interpreter = lambda package: None
    command.check_active = lambda package: None
    sys.argv = ["overlay", *flags]
    if at is not None:
        kill_at(package, at, torn)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            command.main()
        except UserError as error:
            return f"error: {error}"
    return out.getvalue()


def kill_at(package: Path, at: int, torn: bool) -> None:
    """Installs the hook in this process."""
    count = 0

    def hook(event: str, args: tuple) -> None:
        nonlocal count
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not writes and event not in STEPS:
            return
        path = os.fspath(args[0]) if not isinstance(args[0], int) else ""
        if path.startswith("/") and not path.startswith(str(package)):
            return
        if torn and (not writes or os.path.isdir(path)):
            return
        count += 1
        if count <= at:
            return
        count = -(10**9)
        if torn:
            Path(path).write_bytes(b"# half of a fi")
        os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def in_fork(work: Callable[[], object]) -> int:
    """Runs `work` in a fork of this process and returns how that ended; 0 if it was not killed."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def prepare(folder: Path, operation: str) -> tuple[list[str], dict, dict]:
    """Makes the package to start from. Returns the flags of `operation`, and what is there before and after it all."""
    source = folder / "source"
    for name, text in (("__init__", ""), ("modeling_ltp", "old = 1\n"), ("obsolete", "old = 2\n")):
        (source / "models/ltp").mkdir(parents=True, exist_ok=True)
        (source / f"models/ltp/{name}.py").write_text(text)
    (source / "trainer_ltp.py").write_text("old = 3\n")
    contents.SOURCE = source
    package = make_package(folder / "site")
    before = snapshot(package)
    if operation != "install":
        run(package)
        (package / "models/ltp/__pycache__").mkdir()
        for name in ("models/ltp/__pycache__/obsolete", "models/auto/__pycache__/modeling_auto"):
            (package / f"{name}.cpython-311.pyc").write_bytes(b"compiled with LTP")
    if operation == "update":
        (source / "models/ltp/obsolete.py").unlink()
        (source / "models/ltp/added.py").write_text("new = 1\n")
        (source / "models/ltp/modeling_ltp.py").write_text("new = 2\n")
    shutil.copytree(package, folder / "complete")
    run(folder / "complete")
    return ["--restore"] if operation == "restore" else [], before, files(folder / "complete")


def files(package: Path) -> dict[str, bytes]:
    """The Python files of the package, without the records."""
    return {
        path.relative_to(package).as_posix(): path.read_bytes()
        for path in sorted(package.rglob("*.py"))
        if ".ltp_overlay" not in path.parts
    }


def main(folder: Path, operation: str) -> None:
    flags, before, complete = prepare(folder, operation)
    start = files(folder / "site/transformers")
    for torn in (False, True):
        step = 0
        while True:
            package = folder / "killed"
            shutil.copytree(folder / "site/transformers", package)
            ended = in_fork(lambda: run(package, *flags, torn=torn, at=step))  # noqa: B023
            left, status = files(package), run(package, "--status")
            shutil.copytree(package, folder / "again")
            again = run(folder / "again")
            print(
                json.dumps(
                    {
                        "killed": os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL,
                        "step": step,
                        "status": status,
                        "left": "all" if left == complete else "none" if left.keys() <= before.keys() else "part",
                        "is_start": left == start,
                        "again": again,
                        "again_is_complete": files(folder / "again") == complete,
                        "restored": run(package, "--restore"),
                        "as_before": snapshot(package) == before,
                        "again_restored": run(folder / "again", "--restore"),
                        "again_as_before": snapshot(folder / "again") == before,
                        "records_left": (package / ".ltp_overlay").exists(),
                        "in_place": sum(path not in before for path in left)
                        + sum(b">>> LTP overlay" in content for content in left.values()),
                    }
                )
            )
            shutil.rmtree(package)
            shutil.rmtree(folder / "again")
            step += 1
            if not ended:
                break


if __name__ == "__main__":
    os.umask(0o022)
    os.fsync = lambda file: None  # a kill does not lose what the system has not written yet
    main(Path(sys.argv[1]), sys.argv[2])
