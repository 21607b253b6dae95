"""A training run that is killed at a random moment and resumed ends bit for bit like an uninterrupted one.

`KILLS=3 python -m pytest tests/slow/test_kill_and_resume.py -s` kills three runs of each kind instead of one, and
prints a line for each.
"""

import os
import random
import zlib

import pytest

from ltp_pipeline.training.resume import checkpoints_in, what_is_missing
from tests.ltp_pipeline.training.conftest import outcome
from tests.slow.runs import RUNS, Run

KILLS = int(os.environ.get("KILLS", 1))  # of each kind of run


@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNS)
def test_killed_and_resumed_runs_end_like_an_uninterrupted_one(start, kind):
    uninterrupted = Run(start, kind, "uninterrupted")
    uninterrupted.wait()
    assert len(uninterrupted.appeared) >= 5
    expected, moments, resumed = outcome(uninterrupted.result), random.Random(zlib.crc32(kind.encode())), []
    for kill in range(KILLS):
        # A moment in each of KILLS equal parts of the run. It is counted in checkpoints: the machine's speed varies.
        # Before the first checkpoint there is nothing to resume: few kills come that early.
        share = (kill + moments.uniform(0.2, 0.8)) / KILLS
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
