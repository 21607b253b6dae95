"""What a process of `workers.py` runs: it does one task after the other until its standard input ends."""

from __future__ import annotations

import os
import pickle
import signal
import sys


def main() -> None:
    """Reads pickled tasks from standard input, and writes what becomes of them to standard output.

    A task is `(function, arguments)`, or `(function, arguments, shared)` if the value that the function gets first has
    changed. The result is `(True, value)` or `(False, message)` for an exception.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the scan, which then closes the input
    tasks, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the results
    shared = None
    while True:
        try:
            function, arguments, *changed = pickle.load(tasks)
        except EOFError:
            return
        if changed:
            shared = changed[0]
        try:
            result = True, function(shared, *arguments)
        except Exception as error:
            result = False, f"{type(error).__name__}: {error}"
        try:
            pickle.dump(result, results, protocol=pickle.HIGHEST_PROTOCOL)
            results.flush()
        except BrokenPipeError:  # the scan was killed
            os._exit(1)
