"""Two processes that know of each other, for tests of how they wait and end."""

import multiprocessing
import os
import socket
import sys

import pytest

from ltp_pipeline.base.errors import run_main


@pytest.fixture
def two(tmp_path):
    """Runs a `main` in two processes that know of each other as torchrun's do, but have no launcher to end them.

    Returns of each its status, standard output and standard error.
    """
    fork = multiprocessing.get_context("fork")

    def run(main, parallel=True):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": "2"}

        def process(index):
            os.environ.update(address, RANK=str(index), LOCAL_RANK=str(index))
            sys.stdout, sys.stderr = (open(tmp_path / f"{name}{index}", "w") for name in ("out", "err"))
            run_main(main, parallel)

        started = [fork.Process(target=process, args=(index,)) for index in range(2)]
        for each in started:
            each.start()
        for each in started:
            each.join(timeout=60)
        for each in started:
            each.kill()
        texts = [[(tmp_path / f"{name}{index}").read_text() for name in ("out", "err")] for index in range(2)]
        return [(each.exitcode, *text) for each, text in zip(started, texts, strict=True)]

    return run
