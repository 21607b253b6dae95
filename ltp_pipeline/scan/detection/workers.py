"""Processes that read and tokenize beside the model.

They are started as programs of their own, not with `multiprocessing`: that runs the caller's main file again, and
looks for modules in the current folder, which may be the folder of untrusted code that is scanned. If one of them
dies, it is known which task it had.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).resolve().parents[3])
# `import sys` reads no file. After it, modules are found where this process finds them.
PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from ltp_pipeline.scan.detection.worker import main; main()"
UNKNOWN = object()


class TaskFailed(Exception):
    """A task has raised an exception, or the process that did it has ended. The message says which."""


class Workers:
    """Runs functions of modules in other processes. It is a context manager: at its end the processes are gone.

    `submit(function, *arguments)` calls `function(shared, *arguments)` and returns a Future, whose `result()` may
    raise TaskFailed. With a `count` of 0 the function is called in this process, before `submit` returns.

    `shared`: a value that is sent to each process once; it may be set at any time.
    """

    def __init__(self, count: int):
        self.count, self.shared = count, None
        self._threads = ThreadPoolExecutor(count, "scan") if count else None
        self._own = threading.local()  # of each thread: its process, and the shared value that this has
        self._lock, self._running = threading.Lock(), set()
        self._closed = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        for process in self._running:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what was not sent yet
                    pipe.close()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Runs a function of a module as soon as a process is free."""
        if self._threads is not None:
            return self._threads.submit(self._call, function, arguments)
        future: Future = Future()
        try:
            future.set_result(function(self.shared, *arguments))
        except Exception as error:
            future.set_exception(TaskFailed(f"{type(error).__name__}: {error}"))
        return future

    def _call(self, function: Callable[..., Any], arguments: tuple) -> Any:
        if getattr(self._own, "process", None) is None:
            self._own.process, self._own.shared = self._start(), UNKNOWN
        process, shared = self._own.process, self.shared
        task = (function, arguments) if shared is self._own.shared else (function, arguments, shared)
        try:
            pickle.dump(task, process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
            self._own.shared = shared
            succeeded, value = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            self._own.process = None
            raise TaskFailed(_end_of(process)) from None
        if not succeeded:
            raise TaskFailed(value)
        return value

    def _start(self) -> subprocess.Popen:
        paths = _module_paths(os.path.realpath(os.getcwd()))
        with self._lock:
            if self._closed:
                raise TaskFailed("the scan has ended")
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *paths],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},  # one core for each process
            )
            self._running.add(process)
        return process


def _module_paths(here: str) -> list[str]:
    """`sys.path` of this process without the current folder `here`, but with the folder of this project.

    The site-packages of an installation stay where they are, behind Python's own modules.
    """
    paths = [path for path in sys.path if path and (os.path.realpath(path) != here or here == ROOT)]
    return paths if ROOT in map(os.path.realpath, paths) else [ROOT, *paths]


def _end_of(process: subprocess.Popen) -> str:
    """How a process has ended."""
    process.kill()
    status = process.wait()
    if status >= 0:
        return f"its process ended with status {status}"
    return f"its process was ended by {signal.Signals(-status).name}"
