"""Small trainings of several kinds, each in one process or more, that tests kill or interrupt and resume."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from ltp_pipeline.base.errors import run_main
from ltp_pipeline.training.resume import checkpoints_in

# Dropout is on. A checkpoint is written every two steps.
COMMON = (
    "--restore start --train_file train.csv --validation_file test.csv --max_seq_len 96 --lr 1e-3 --bs 4 --epoch 2 "
    "--no_load --save_step 2 --logging_steps 3 --temperature 0.1 --use_cpu --dtype float32"
)
LAMBDA = f"{COMMON} --lambda 0.1 --final_token_threshold 0.9 --lr_threshold 0.01"
BUDGET = f"{COMMON} --target_flops 0.85"
ACCUMULATED = "--bs 2 --gradient_accumulation_steps 2"
# Kind of run -> number of processes, flags. With two processes an epoch has half as many steps.
RUNS = {
    "mixed": (1, f"{LAMBDA} --masking_mode mixed"),  # soft, then hard
    "accumulation": (1, f"{LAMBDA} --masking_mode soft {ACCUMULATED}"),
    "budget": (1, f"{BUDGET} --masking_mode soft"),
    "ranks": (1, f"{LAMBDA} --masking_mode soft --rank_distillation 0.3"),
    "two processes": (2, f"{LAMBDA} --masking_mode mixed --epoch 4"),
    "two processes, budget": (2, f"{BUDGET} --masking_mode mixed --epoch 4"),
    "two processes, all": (2, f"{BUDGET} --masking_mode soft {ACCUMULATED} --rank_distillation 0.3 --epoch 4"),
}


class Run:
    """A run of the script, in one process or more of its own.

    `appeared` has the seconds from the start to the beginning of each checkpoint, `seconds` those to the end.
    """

    def __init__(self, place: Path, kind: str, name: str, *flags: str):
        self.count, own = RUNS[kind]
        self.name, folder = name, f"{kind.replace(', ', '_').replace(' ', '_')}-{name}"
        self.result, self.work = place / folder, place / f"{folder}.unfinished"
        self.log = place / f"{folder}.log"
        self.appeared: list[float] = []
        self._seen = set(checkpoints_in(self.work))
        argv = [*own.split(), "--output_dir", folder, *flags]
        # Forked from a server that has the imports already: this saves seconds.
        fork = multiprocessing.get_context("forkserver")
        variables = [{}] if self.count == 1 else _launcher_variables(self.count)
        self.processes = [fork.Process(target=_train, args=(place, argv, self.log, each)) for each in variables]
        self.began = time.monotonic()
        for process in self.processes:
            process.start()

    def wait(self, until: Callable[[], bool] = lambda: False) -> None:
        """Returns when `until()` is true or the run has ended. Raises RuntimeError if the run failed."""
        while any(process.is_alive() for process in self.processes) and not until():
            new = set()
            with contextlib.suppress(FileNotFoundError):  # the run is renaming its folder
                new = set(checkpoints_in(self.work)) - self._seen
            self._seen |= new
            self.appeared += [time.monotonic() - self.began] * len(new)
            time.sleep(0.0005)
        self.seconds = time.monotonic() - self.began
        ended = [process.exitcode for process in self.processes]
        if any(status not in (None, 0) for status in ended):
            raise RuntimeError(f"the run ended with {ended}:\n{self.log.read_text()[-3000:]}")

    def signal(self, number: int, checkpoints: int, seconds: float) -> list[int]:
        """Sends a signal to all processes `seconds` after that many checkpoints. Returns the status of each."""
        self._wait_until(checkpoints, seconds)
        for process in self.processes:
            if process.is_alive():
                os.kill(process.pid, number)
        for process in self.processes:
            process.join(60)
        return [process.exitcode for process in self.processes]

    def kill(self, checkpoints: int, seconds: float) -> None:
        """Ends the run by SIGKILL `seconds` after that many checkpoints."""
        self._wait_until(checkpoints, seconds)
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()

    def _wait_until(self, checkpoints: int, seconds: float) -> None:
        self.wait(lambda: len(self.appeared) >= checkpoints)
        then = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= then)

    def kill_while_saving(self, checkpoints: int) -> None:
        """Ends the run while it writes the checkpoint after that many checkpoints."""
        self.kill(checkpoints + 1, 0)

    def seconds_after(self, checkpoint: int) -> float:
        """From a checkpoint (0: the start) to the next one or to the end."""
        moments = [0.0, *self.appeared, self.seconds]
        return moments[checkpoint + 1] - moments[checkpoint]


def _launcher_variables(count: int) -> list[dict[str, str]]:
    """The environment variables that torchrun sets, for each of `count` processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    same = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
    return [{**same, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def _train(place: Path, argv: list[str], log: Path, variables: dict[str, str]) -> None:
    import run_code_metrics

    os.environ.update(variables)
    os.chdir(place)
    with open(log, "ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    run_main(lambda: run_code_metrics.main(argv), parallel=True)
