"""A training run that is killed at a random moment and resumed ends bit for bit like an uninterrupted one.

`KILLS=10 python -m pytest tests/slow/test_kill_and_resume.py` kills ten runs instead of two.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import run_main
from ltp_pipeline.training.resume import checkpoints_in, what_is_missing
from tests.ltp_pipeline.conftest import functions, save_longformer
from tests.ltp_pipeline.training.conftest import outcome
from tests.pruned_checkpoint import make_tokenizer

# Mixed masking: soft, then hard. Dropout is on. A checkpoint is written every two steps.
FLAGS = (
    "--restore start --train_file train.csv --validation_file test.csv --masking_mode mixed --temperature 0.1 "
    "--lambda 0.1 --final_token_threshold 0.9 --lr_threshold 0.01 --lr 1e-3 --bs 4 --epoch 4 --max_seq_len 96 "
    "--no_load --save_step 2 --logging_steps 3"
)
KILLS = int(os.environ.get("KILLS", 2))


@pytest.mark.slow
def test_killed_and_resumed_runs_end_like_an_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:resource_tracker")  # it counts what killed processes did not return
    multiprocessing.set_forkserver_preload(["run_code_metrics", "ltp_pipeline.training.run"])
    for name, first, count in (("train", 0, 24), ("test", 100, 8)):
        functions(count, first).to_csv(tmp_path / f"{name}.csv", index=False)
    make_tokenizer().save_pretrained(tmp_path / "tokenizer")
    save_longformer(tmp_path / "tokenizer", tmp_path / "start")

    uninterrupted = Run(tmp_path, "uninterrupted")
    uninterrupted.wait()
    expected, moments, resumed = outcome(uninterrupted.result), random.Random(1), []
    for kill in range(KILLS):
        # A moment in each of KILLS equal parts of the run. It is counted in checkpoints: the machine's speed varies.
        checkpoints, part = divmod((kill + moments.random()) / KILLS * (len(uninterrupted.appeared) + 1), 1)
        run = Run(tmp_path, f"killed-{kill}")
        if kill % 3 == 2:
            run.kill_while_saving(int(checkpoints))
        else:
            run.kill(int(checkpoints), part * uninterrupted.seconds_after(int(checkpoints)))
        resumed += [path for path in checkpoints_in(run.work) if what_is_missing(path) is None]
        if not run.result.exists():
            Run(tmp_path, run.result.name, "--resume_from_checkpoint", "last").wait()
        assert outcome(run.result) == expected, f"kill {kill}, after {run.seconds:.2f} s"
    assert resumed, "no kill left a checkpoint to resume from"


class Run:
    """A run of the script in a process of its own.

    `appeared` has the seconds from the start to the beginning of each checkpoint, `seconds` those to the end.
    """

    def __init__(self, place: Path, output_dir: str, *flags: str):
        self.result, self.work = place / output_dir, place / f"{output_dir}.unfinished"
        self.log = place / f"{output_dir}.log"
        self.appeared: list[float] = []
        self._seen = set(checkpoints_in(self.work))
        argv = [*FLAGS.split(), "--output_dir", output_dir, *flags]
        # Forked from a server that has the imports already: this saves seconds.
        self.process = multiprocessing.get_context("forkserver").Process(target=_train, args=(place, argv, self.log))
        self.began = time.monotonic()
        self.process.start()

    def wait(self, until: Callable[[], bool] = lambda: False) -> None:
        """Returns when `until()` is true or the run has ended. Raises RuntimeError if the run failed."""
        while self.process.is_alive() and not until():
            new = set(checkpoints_in(self.work)) - self._seen
            self._seen |= new
            self.appeared += [time.monotonic() - self.began] * len(new)
            time.sleep(0.0005)
        self.seconds = time.monotonic() - self.began
        if self.process.exitcode not in (None, 0):
            raise RuntimeError(f"the run ended with {self.process.exitcode}:\n{self.log.read_text()[-3000:]}")

    def kill(self, checkpoints: int, seconds: float) -> None:
        """Ends the run by SIGKILL `seconds` after that many checkpoints."""
        self.wait(lambda: len(self.appeared) >= checkpoints)
        then = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= then)
        self.process.kill()
        self.process.join()

    def kill_while_saving(self, checkpoints: int) -> None:
        """Ends the run while it writes the checkpoint after that many checkpoints."""
        self.kill(checkpoints + 1, 0)

    def seconds_after(self, checkpoint: int) -> float:
        """From a checkpoint (0: the start) to the next one or to the end."""
        moments = [0.0, *self.appeared, self.seconds]
        return moments[checkpoint + 1] - moments[checkpoint]


def _train(place: Path, argv: list[str], log: Path) -> None:
    import run_code_metrics

    os.chdir(place)
    with open(log, "ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    run_main(lambda: run_code_metrics.main(argv))
