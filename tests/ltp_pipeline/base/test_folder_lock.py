"""One run at a time writes into a result folder. A killed run does not block the next."""

import errno
import fcntl
import json
import os
import signal
import time
from pathlib import Path

import pytest

from ltp_pipeline.base import folder_lock
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.folder_lock import locked
from ltp_pipeline.base.result_folder import check_replaceable, holds_result


def holder(target, replaces=True):
    """A process that holds the lock of `target` until it is killed."""
    read, written = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(target, "the first command", replaces):
            os.write(written, b"1")
            time.sleep(60)
        os._exit(0)
    assert os.read(read, 1) == b"1"
    return child


def kill(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_the_error_names_the_run_and_the_lock_ends_with_its_process(tmp_path):
    target = tmp_path / "a" / "out"
    child = holder(target)
    try:
        with pytest.raises(UserError) as error, locked(target, "", replaces=True):
            pass
        for part in (
            f"--output_dir {target}",
            f"process {child} on {os.uname().nodename}",
            "since 2",
            "the first command",
        ):
            assert part in str(error.value)
    finally:
        kill(child)
    left = {path.name for path in (tmp_path / "a").iterdir()}
    assert left == {"out.unfinished.lock", "out.unfinished.lock.json"}
    assert not holds_result(tmp_path / "a")
    check_replaceable(tmp_path / "a", {})  # what a killed run has left is not a file of somebody else
    with locked(target, "", replaces=True):
        assert json.loads((tmp_path / "a" / "out.unfinished.lock.json").read_text())["pid"] == os.getpid()
    assert list((tmp_path / "a").iterdir()) == []


def test_a_run_that_fails_leaves_no_lock_and_no_new_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "a" / "b" / "out", "", replaces=True):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_never_two_holders_while_lock_files_come_and_go(tmp_path):
    target, log = tmp_path / "out", tmp_path / "log"
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            folder_lock.PATIENCE, held = 0, 0
            with open(log, "a", buffering=1) as file:
                while held < 25:
                    try:
                        with locked(target, "", replaces=True):
                            file.write(f"+{os.getpid()}\n")
                            file.write(f"-{os.getpid()}\n")
                            held += 1
                    except UserError:
                        continue
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    lines = log.read_text().splitlines()
    assert len(lines) == 2 * 4 * 25
    assert all(lines[i][0] == "+" and lines[i + 1] == "-" + lines[i][1:] for i in range(0, len(lines), 2))


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOLCK, errno.EINVAL])
def test_a_file_system_without_locks_is_reported_and_used(tmp_path, monkeypatch, capsys, number):
    def unsupported(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with locked(tmp_path / "out", "", replaces=True):
        assert f"out is not locked ({os.strerror(number)})" in capsys.readouterr().out
    assert [path for path in tmp_path.iterdir() if not folder_lock.is_lock_file(path)] == []


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_a_file_system_without_flock_is_locked_by_the_existence_of_the_file(tmp_path, monkeypatch):
    def missing(file, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", missing)
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.2)
    child = holder(tmp_path / "out")
    try:
        with pytest.raises(UserError, match=f"process {child} on "), locked(tmp_path / "out", "", replaces=True):
            pass
    finally:
        kill(child)


def test_an_evaluation_goes_on_where_only_the_folder_itself_can_be_written(tmp_path, monkeypatch, capsys):
    def refused(self, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("filelock.FileLock.acquire", refused)
    with locked(tmp_path / "out", "", replaces=False):
        assert "out is not locked (Permission denied)" in capsys.readouterr().out
    with pytest.raises(UserError, match="--output_dir .*out: cannot be written: .*Permission denied"):
        with locked(tmp_path / "out", "", replaces=True):
            pass


@pytest.mark.parametrize("content", [None, "", "[1]", "{", '{"pid": "x", "host": 3}'])
def test_a_damaged_description_of_the_holder_does_no_harm(tmp_path, monkeypatch, content):
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.1)
    child, target = holder(tmp_path / "out"), tmp_path / "out"
    description = Path(f"{target}.unfinished.lock.json")
    try:
        description.unlink() if content is None else description.write_text(content)
        with pytest.raises(UserError, match="another run is writing"), locked(target, "", replaces=True):
            pass
    finally:
        kill(child)
    with locked(target, "", replaces=True):
        pass
