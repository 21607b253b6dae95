"""Ctrl-C, SIGTERM, NaN and too little memory end a training with one message that says how to go on.

`INTERRUPTS=4 python -m pytest tests/slow/test_early_ends.py -s` interrupts four runs of each kind instead of one, and
prints a line for each.
"""

import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ltp_pipeline.training.resume import checkpoints_in, what_is_missing
from tests.ltp_pipeline.training.conftest import outcome
from tests.slow.runs import LAMBDA, Run

INTERRUPTS = int(os.environ.get("INTERRUPTS", 1))  # of each kind of run with each signal
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mixed", "two processes, all"])
def test_an_interrupted_run_says_what_is_kept_and_goes_on(start, kind):
    uninterrupted = Run(start, kind, "straight")
    uninterrupted.wait()
    expected, moments = outcome(uninterrupted.result), random.Random(2)
    for number, status in STATUS.items():
        for interrupt in range(INTERRUPTS):
            share = (interrupt + moments.uniform(0.2, 0.8)) / INTERRUPTS
            checkpoints, part = divmod(share * len(uninterrupted.appeared), 1)
            run = Run(start, kind, f"{status}-{interrupt}")
            ended = run.signal(number, int(checkpoints), part * uninterrupted.seconds_after(int(checkpoints)))
            said = re.findall("^interrupted.*", run.log.read_text(), re.MULTILINE)
            complete = [path for path in checkpoints_in(run.work) if what_is_missing(path, run.count) is None]
            print(f"{kind}: status {ended} after {len(run.appeared)} checkpoints: {' '.join(said)}", flush=True)
            if run.result.exists():  # it was faster than the signal
                continue
            assert set(ended) == {status} and len(said) == 1, run.log.read_text()[-3000:]
            assert "Traceback" not in run.log.read_text()
            if complete:
                assert f"{complete[-1].name} (step" in said[0] and "--resume_from_checkpoint last" in said[0]
            else:
                assert "nothing was saved yet; the same command" in said[0]
            resume = ["--resume_from_checkpoint", "last"] if "--resume_from_checkpoint last" in said[0] else []
            Run(start, kind, run.name, *resume).wait()
            assert outcome(run.result) == expected


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    "fault, message",
    [
        ("nan", "training stopped at step 3: .*the loss is nan.*in this batch: {rows};.*checkpoint-2"),
        ("memory", "out of memory.*--per_device_train_batch_size 2 .*checkpoint-2"),
    ],
)
def test_of_two_processes_one_that_fails_ends_both_with_one_message(start, fault, message, rank):
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    script = Path(__file__).with_name("spoilt_run.py")
    flags = f"{LAMBDA} --masking_mode soft --bs 2 --save_step 1 --output_dir {fault}-{rank}"
    done = subprocess.run(
        [*launch, script, fault, str(rank), *flags.split()], cwd=start, capture_output=True, text=True, timeout=300
    )
    assert done.returncode != 0
    rows = re.search(r"^rows \[(.*)\]", done.stderr, re.MULTILINE)
    said = re.findall("^error: .*", done.stderr, re.MULTILINE)
    assert len(said) == 1 and re.search(message.format(rows=rows[1] if rows else ""), said[0]), done.stderr[-3000:]
    assert "interrupted" not in done.stderr and "Traceback" not in done.stderr.partition("ChildFailedError")[0][:-2000]
