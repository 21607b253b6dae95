"""Kills a process at each of its changes to the disk."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree")


def is_killed(act: Callable[[], None], change: int) -> bool:
    """Whether `act`, in a process of its own, is killed (SIGKILL) before its change `change`, from 0, to the disk.

    A change is a file or folder that is renamed, removed, made or opened to write. If `act` makes fewer, it ends.
    """
    child = os.fork()
    if child == 0:
        _act_and_exit(act, change)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the process failed, see its standard error"
    return False


def kills(act: Callable[[], None], prepare: Callable[[], None]) -> Iterator[int]:
    """Calls `prepare`, then kills `act` before its change 0; the same for change 1, 2, ... until `act` ends.

    Yields after each, also after the last, which was not killed.
    """
    change = 0
    killed = True
    while killed:
        prepare()
        killed = is_killed(act, change)
        yield change
        change += 1


def _act_and_exit(act: Callable[[], None], change: int) -> None:
    seen = 0

    def count(event: str, details: tuple) -> None:
        nonlocal seen
        opened = (
            event == "open" and isinstance(details[2], int) and details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if event in CHANGES or opened:
            if seen == change:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    try:
        with open(os.devnull, "w") as nowhere:
            sys.stdout = nowhere
            sys.addaudithook(count)
            act()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
