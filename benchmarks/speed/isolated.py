"""Runs each model of the speed benchmark in a process of its own. They take turns, so that rounds stay interleaved.

In one process, memory that one model has freed serves the next one, which then has fewer page faults than alone.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
from collections.abc import Callable, Hashable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

from ltp_pipeline.base.errors import UserError


class ModelProcess:
    """A process that holds one model in all its data types."""

    def __init__(self, args: argparse.Namespace, lengths: np.ndarray, name: str):
        """Starts the process. `lengths`: as in `Bench`. Raises what it raises while it builds the model."""
        args = copy.copy(args)
        args.models, args.isolate = [name], False
        context = multiprocessing.get_context("spawn")
        self.name = name
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, args, lengths))
        self._process.start()
        other.close()
        self.differences, self.left_out = self._answer()

    def prepare(self, work: str) -> tuple[list[RemoteRun], dict[Hashable, dict]]:
        """Returns the runs of a work and their rows, as `Bench.prepare` does."""
        keys, rows = self.ask("prepare", work)
        return [RemoteRun(key, self) for key in keys], rows

    def ask(self, *question: Any) -> Any:
        self._connection.send(question)
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.join()

    def _answer(self) -> Any:
        try:
            answer = self._connection.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"the process of {self.name} ended with status {self._process.exitcode}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


class RemoteRun:
    """A `TimedRun` in another process."""

    def __init__(self, key: Hashable, process: ModelProcess):
        self.key, self._process = key, process

    def warm_up(self, calls: int, synchronize: Callable) -> float:
        """As `TimedRun.warm_up`. The other process synchronises its device."""
        return self._process.ask("warm_up", self.key, calls)

    def time(self, calls: int, settle: bool, synchronize: Callable) -> float:
        """As `TimedRun.time`. The other process synchronises its device."""
        return self._process.ask("time", self.key, calls, settle)

    @property
    def step_seconds(self) -> list[float]:
        """As that of `TimedRun`."""
        return self._process.ask("step_seconds", self.key)


def _serve(connection: Connection, args: argparse.Namespace, lengths: np.ndarray) -> None:
    """Answers the questions of a [`ModelProcess`] until it hangs up. What a question raises is its answer."""
    from benchmarks.speed.bench import Bench

    torch.set_num_threads(args.threads)
    bench, runs, synchronize = None, {}, torch.cuda.synchronize if args.device.startswith("cuda") else lambda: None

    def prepare(work: str) -> tuple[list, dict]:
        runs.clear()
        prepared, rows = bench.prepare(work)
        runs.update({run.key: run for run in prepared})
        return list(runs), rows

    def failed(error: Exception) -> Exception:
        return error if isinstance(error, UserError) else RuntimeError(f"{type(error).__name__}: {error}")

    answers = {
        "prepare": prepare,
        "warm_up": lambda key, calls: runs[key].warm_up(calls, synchronize),
        "time": lambda key, calls, settle: runs[key].time(calls, settle, synchronize),
        "step_seconds": lambda key: runs[key].step_seconds,
    }
    try:
        bench = Bench(args, lengths)
        connection.send((bench.add_peers(), bench.left_out))
        while True:
            name, *arguments = connection.recv()
            try:
                connection.send(answers[name](*arguments))
            except Exception as error:
                connection.send(failed(error))
    except (EOFError, KeyboardInterrupt):
        pass
    except Exception as error:
        connection.send(failed(error))
