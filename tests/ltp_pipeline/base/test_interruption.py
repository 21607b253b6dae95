"""Ctrl-C and SIGTERM end a command with one line and status 130 or 143; a repeated signal changes nothing."""

import multiprocessing
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ltp_pipeline.base import processes
from ltp_pipeline.base.errors import run_main

fork = multiprocessing.get_context("fork")


def _run(main, out):
    with open(out, "w", buffering=1) as sys.stderr:
        run_main(main)


@pytest.fixture
def ended(tmp_path):
    """Runs a `main` in a process of its own, which gets the signals itself. Returns its status and standard error."""

    def run(main):
        process = fork.Process(target=_run, args=(main, tmp_path / "err"))
        process.start()
        process.join(timeout=60)
        process.kill()
        return process.exitcode, (tmp_path / "err").read_text()

    return run


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_with_its_status_after_the_clean_up(ended, tmp_path, number, status):
    def main():
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        finally:
            for again in (number, signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), again)
                time.sleep(0.01)
            (tmp_path / "cleaned").touch()

    assert ended(main) == (status, "interrupted\n")
    assert (tmp_path / "cleaned").exists()


def test_a_clean_up_may_take_long(ended, tmp_path):
    def main():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            try:
                raise OSError  # an error of its own
            except OSError:
                time.sleep(1.5)
            (tmp_path / "cleaned").touch()

    assert ended(main) == (130, "interrupted\n")
    assert (tmp_path / "cleaned").exists()


def test_an_exception_that_gets_lost_is_raised_again(ended):
    def main():
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(KeyboardInterrupt):
                os.kill(os.getpid(), number)
                time.sleep(5)
        time.sleep(30)

    start = time.monotonic()
    assert ended(main) == (143, "interrupted\n")
    assert time.monotonic() - start < 25  # without the second exception more than 30


def test_another_error_in_its_place_is_an_interruption_too(ended):
    def main():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        except KeyboardInterrupt as error:
            raise RuntimeError("the file could not be written") from error

    assert ended(main) == (143, "interrupted\n")


def test_a_signal_while_the_process_ends_changes_nothing(ended):
    def main():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    def end():
        try:
            run_main(main)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)

    assert ended(end) == (130, "interrupted\n")


def test_what_the_exception_says_is_printed(ended):
    from ltp_pipeline.base.interruption import Interruption

    def main():
        error = Interruption(signal.SIGTERM)
        error.args = ("checkpoint-8 is kept",)
        raise error

    assert ended(main) == (143, "interrupted: checkpoint-8 is kept\n")


def test_a_worker_that_the_command_forks_ends_silently(ended, tmp_path):
    running = fork.Event()

    def work():
        running.set()
        time.sleep(60)

    def main():
        worker = fork.Process(target=work)
        worker.start()
        running.wait()
        worker.terminate()
        worker.join(30)
        (tmp_path / "worker").write_text(str(worker.exitcode))

    assert ended(main) == (0, "")
    assert (tmp_path / "worker").read_text() == str(-signal.SIGTERM)


def test_a_signal_that_is_ignored_from_the_start_stays_ignored(ended):
    def main():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert ended(main) == (0, "")
    finally:
        signal.signal(signal.SIGINT, before)


def test_without_a_signal_all_is_as_before():
    from ltp_pipeline.base.interruption import signals_raise

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with signals_raise():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_process_that_waits_for_another_ends_with_it(two, tmp_path):
    """Both get the signal. The second process is in a barrier, where Python cannot handle signals."""

    def main():
        (tmp_path / f"pid{processes.process_index()}").write_text(str(os.getpid()))
        if processes.is_main():
            while not (tmp_path / "pid1").exists():
                time.sleep(0.01)
            time.sleep(0.3)
            for index in (1, 0):
                os.kill(int(Path(tmp_path / f"pid{index}").read_text()), signal.SIGTERM)
            time.sleep(60)
        processes.barrier()

    start = time.monotonic()
    ended = two(main)
    assert ended[0][0] == 143 and ended[1][0] in (2, 143)
    assert "".join(error for _, _, error in ended) == "interrupted\n"
    assert time.monotonic() - start < 50  # if one waits for the other 60


def test_work_for_one_process_leaves_the_environment_as_it_was(two, tmp_path):
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")

    def main():
        with processes.alone():
            assert not [name for name in names if name in os.environ]
        (tmp_path / "after").write_text(" ".join(os.environ[name] for name in names))

    assert [status for status, _, _ in two(main)] == [0, 0]
    assert (tmp_path / "after").read_text() == "0 0 2"
