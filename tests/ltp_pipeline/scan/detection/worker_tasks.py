"""Tasks that tests give to the processes of a scan, which import this file: it needs no pytest."""

import os
import signal
import time

from ltp_pipeline.scan.finding import SkippedFile


def work(shared, task, *rest):
    """The process that did this, the shared value, and the rest; unless `task` ends it."""
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "exit":
        os._exit(3)
    if task == "print":
        print("not a result")
    if task == "raise":
        raise RecursionError("too deep")
    if task == "sleep":
        time.sleep(60)
    return os.getpid(), shared, rest


def read_or_die(_, file, granularity):
    """In place of `prepare.read_file`."""
    if file.shown == "die.c":
        os.kill(os.getpid(), signal.SIGKILL)
    return [], [], [SkippedFile(file.shown, granularity)]
