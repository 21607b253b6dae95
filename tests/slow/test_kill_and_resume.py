"""A training run that is killed at a random moment and resumed ends bit for bit like an uninterrupted one.

`KILLS=3 python -m pytest tests/slow/test_kill_and_resume.py -s` kills three runs of each kind instead of one, and
prints a line for each.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import socket
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import run_main
from ltp_pipeline.training.resume import checkpoints_in, what_is_missing
from tests.ltp_pipeline.conftest import functions, save_longformer
from tests.ltp_pipeline.training.conftest import outcome
from tests.pruned_checkpoint import make_tokenizer

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
KILLS = int(os.environ.get("KILLS", 1))  # of each kind of run


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A folder with train.csv, test.csv and the checkpoint `start`."""
    place = tmp_path_factory.mktemp("kills")
    for name, first, count in (("train", 0, 24), ("test", 100, 8)):
        functions(count, first).to_csv(place / f"{name}.csv", index=False)
    make_tokenizer().save_pretrained(place / "tokenizer")
    save_longformer(place / "tokenizer", place / "start")
    return place


@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNS)
def test_killed_and_resumed_runs_end_like_an_uninterrupted_one(start, kind, monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:resource_tracker")  # it counts what killed processes did not return
    multiprocessing.set_forkserver_preload(["run_code_metrics", "ltp_pipeline.training.run"])

    uninterrupted = Run(start, kind, "uninterrupted")
    uninterrupted.wait()
    assert len(uninterrupted.appeared) >= 5
    expected, moments, resumed = outcome(uninterrupted.result), random.Random(zlib.crc32(kind.encode())), []
    for kill in range(KILLS):
        # A moment in each of KILLS equal parts of the run. It is counted in checkpoints: the machine's speed varies.
        # Before the first checkpoint there is nothing to resume: few kills come that early.
        share = (kill + moments.uniform(0.2, 1)) / KILLS
        checkpoints, part = divmod(share * (len(uninterrupted.appeared) + 1), 1)
        run = Run(start, kind, f"killed-{kill}")
        if kill % 3 == 2:
            run.kill_while_saving(min(int(checkpoints), len(uninterrupted.appeared) - 1))
        else:
            run.kill(int(checkpoints), part * uninterrupted.seconds_after(int(checkpoints)))
        left = checkpoints_in(run.work)
        complete = [path for path in left if what_is_missing(path, run.count) is None]
        ended = run.result.exists()
        print(
            f"{kind}: killed after {run.seconds:.2f} s, {len(run.appeared)} checkpoints begun; left: {len(left)} "
            f"checkpoints, {len(complete)} complete{'; the run had ended' if ended else ''}",
            flush=True,
        )
        resumed += complete
        if not ended:
            Run(start, kind, run.name, "--resume_from_checkpoint", "last").wait()
        assert outcome(run.result) == expected, f"kill {kill}, after {run.seconds:.2f} s"
    assert resumed, "no kill left a checkpoint to resume from"


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
            new = set(checkpoints_in(self.work)) - self._seen
            self._seen |= new
            self.appeared += [time.monotonic() - self.began] * len(new)
            time.sleep(0.0005)
        self.seconds = time.monotonic() - self.began
        ended = [process.exitcode for process in self.processes]
        if any(status not in (None, 0) for status in ended):
            raise RuntimeError(f"the run ended with {ended}:\n{self.log.read_text()[-3000:]}")

    def kill(self, checkpoints: int, seconds: float) -> None:
        """Ends the run by SIGKILL `seconds` after that many checkpoints."""
        self.wait(lambda: len(self.appeared) >= checkpoints)
        then = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= then)
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()

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
