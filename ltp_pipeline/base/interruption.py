"""Ctrl-C (SIGINT) and SIGTERM end a command in the same way: by an exception, after which it cleans up."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN = 1.0  # seconds after which a lost exception is raised again


class Interruption(KeyboardInterrupt):
    """A signal that ends the command. It is a KeyboardInterrupt, so libraries do not mistake it for an error."""

    def __init__(self, number: int):
        super().__init__()
        self.status = 128 + number


@contextmanager
def signals_raise() -> Iterator[None]:
    """In the block, SIGINT and SIGTERM raise Interruption in the main thread.

    While the command cleans up after the first signal, further signals change nothing: launchers repeat a signal that
    the terminal has already sent. An exception can get lost, for example in C code that asks for an attribute and
    ignores every error; after AGAIN seconds without a clean-up it is raised again.

    After the block the signals are as before; if one was caught, they are ignored until the process has ended.
    """
    process, caught = os.getpid(), []

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # a worker that was forked in the block: it ends as it would without this handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        caught.append(number)
        check(number, frame)

    def check(number: int, frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
        if interruption_behind(sys.exc_info()[1]) is None:  # otherwise the command is cleaning up
            raise Interruption(caught[0])

    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    # A shell starts background jobs with SIGINT ignored: it remains ignored.
    handled = [number for number in SIGNALS if before[number] not in (signal.SIG_IGN, None)]
    try:
        signal.signal(signal.SIGALRM, check)
        for number in handled:
            signal.signal(number, handle)
    except ValueError:  # not the main thread, which alone receives signals
        handled = []
    try:
        yield
    finally:
        if caught:
            ignore_signals()
        else:
            for number in handled:
                signal.signal(number, before[number])
        if handled:
            signal.signal(signal.SIGALRM, before[signal.SIGALRM])


def ignore_signals() -> None:
    """From now on signals change nothing: the command has cleaned up, and only its end is left."""
    with suppress(ValueError):  # not the main thread
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)


def interruption_behind(error: BaseException | None) -> BaseException | None:
    """`error`, or the error that it was raised from or while handling, if that is a KeyboardInterrupt; else None."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error
