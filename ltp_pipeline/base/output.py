"""Standard output and standard error whose reader may go away: the work goes on without them.

`| head` or a `tee` that is killed closes the pipe, and a log file may be on a disk that is full. Neither may end a
training: a command is run for its files.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

CLOSED_PIPE = 128 + 13  # the status of a program that the signal SIGPIPE has ended


class LossyStream(io.RawIOBase):
    """Writes to a file descriptor. What cannot be written is dropped, and `error` keeps the first reason."""

    def __init__(self, descriptor: int):
        self.descriptor, self.name = descriptor, f"<{descriptor}>"
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def write(self, data: bytes) -> int | None:
        try:
            return os.write(self.descriptor, data)
        except BlockingIOError:
            return None  # what a raw stream returns if it would have to wait
        except OSError as error:
            self.error = self.error or error
            if error.errno == errno.EPIPE:  # nobody will read again; a full disk may have room later
                _discard(self.descriptor)
            return len(data)


@contextmanager
def lossy_output() -> Iterator[LossyStream]:
    """Replaces `sys.stdout` and `sys.stderr` by streams that drop what cannot be written; yields that of `stdout`.

    Characters that the encoding lacks are written as escapes. A closed stream becomes one that discards everything.
    Streams of a test or a notebook, which are not the process's own, stay.
    """
    before, raw = (sys.stdout, sys.stderr), LossyStream(1)
    try:
        sys.stdout = _stream(sys.stdout, raw)
        sys.stderr = _stream(sys.stderr, LossyStream(2))
        yield raw
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = before


def lost_status(output: LossyStream) -> int:
    """The exit status of a command that has done its work: 0 if all its output was written.

    141 if the reader of the output went away, as for other programs; 2, with a message, for another reason.
    """
    if output.error is None:
        return 0
    if output.error.errno == errno.EPIPE:
        return CLOSED_PIPE
    with suppress(OSError):
        reason = output.error.strerror
        print(f"error: standard output: {reason}; its lines are lost, the files are complete", file=sys.stderr)
    return 2


def _stream(given: TextIO | None, raw: LossyStream) -> TextIO:
    if given is None:  # closed before the process began
        with suppress(OSError):
            os.fstat(raw.descriptor)
            raw.descriptor = os.open(os.devnull, os.O_WRONLY)  # something else has this descriptor now
        if raw.descriptor in (1, 2):
            _discard(raw.descriptor)
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace")
    try:
        if given.fileno() != raw.descriptor:
            return given
        given.flush()
    except OSError as error:  # also io.UnsupportedOperation: a stream without a file
        if isinstance(error, io.UnsupportedOperation):
            return given
        raw.error = error
        _discard(raw.descriptor)
    except (AttributeError, ValueError):
        return given
    unbuffered = getattr(given, "write_through", False)
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding=given.encoding,
        errors="backslashreplace",
        line_buffering=getattr(given, "line_buffering", False),
        write_through=unbuffered,
    )


def _discard(descriptor: int) -> None:
    """Lets `descriptor` discard what is written: also what libraries and child processes write to it."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
