"""Ctrl-C (SIGINT) and SIGTERM end a command in the same way: by an exception, after which it cleans up."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CLEAN_UP_SECONDS = 10  # a second signal within this time changes nothing


class Interruption(KeyboardInterrupt):
    """A signal that ends the command. It is a KeyboardInterrupt, so libraries do not mistake it for an error."""

    def __init__(self, number: int):
        super().__init__()
        self.status = 128 + number


@contextmanager
def signals_raise() -> Iterator[None]:
    """In the block, SIGINT and SIGTERM raise Interruption in the main thread.

    The first signal starts the clean-up. Further signals in the next CLEAN_UP_SECONDS are ignored, because launchers
    repeat a signal that the terminal has already sent. After the block the signals are as before; if one was caught,
    they are ignored until the process has ended.
    """
    process, caught = os.getpid(), []

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # a worker that was forked in the block: it ends as it would without this handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if caught and time.monotonic() - caught[-1] < CLEAN_UP_SECONDS:
            return
        caught.append(time.monotonic())
        raise Interruption(number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    # A shell starts background jobs with SIGINT ignored: it remains ignored.
    handled = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    try:
        for number in handled:
            signal.signal(number, handle)
    except ValueError:  # not the main thread, which alone receives signals
        handled = []
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_IGN if caught else before[number])
