"""Kills a training run at random moments, resumes it each time, and compares what it ends with.

    python -m benchmarks.kill_and_resume

A tiny model is trained in mixed masking mode (soft, then hard) with a checkpoint every two steps, once without
interruption. Then, as often as asked for, the same command is started anew and ended by SIGKILL at a random moment,
every third time while it writes a checkpoint; `--resume_from_checkpoint last` finishes it. Weights, predictions and
metrics (without times) have to be the same bit for bit. Exit status 1 if any differ.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_json
from ltp_pipeline.training.resume import checkpoints_in, what_is_missing

FLAGS = (
    "--restore start --train_file train.csv --validation_file test.csv --masking_mode mixed --temperature 0.1 "
    "--lambda 0.1 --final_token_threshold 0.9 --lr_threshold 0.01 --lr 1e-3 --bs 4 --epoch 4 --max_seq_len 96 "
    "--no_load --save_step 2 --logging_steps 3"
)
TIMES = ("runtime", "per_second", "per_sample", "preparation_time")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None: the process's."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kill_and_resume",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=10, help="how often a run is killed and resumed")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--output_dir", default="demo_output/kill_and_resume", help="folder for kill_and_resume.json")
    args = parser.parse_args(argv)
    if args.kills < 1:
        raise UserError(f"--kills {args.kills}: expected 1 or more")
    quiet = "ignore:resource_tracker"  # which counts what the killed processes could not give back
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", PYTHONWARNINGS=quiet)
    multiprocessing.set_forkserver_preload(["run_code_metrics", "ltp_pipeline.training.run"])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make_start(place)
        rows = kill_and_resume(place, args.kills, random.Random(args.seed))
    write_json(Path(args.output_dir) / "kill_and_resume.json", {"flags": FLAGS, "seed": args.seed, "runs": rows})
    print(format_table(rows))
    differ = sum(not row["same"] for row in rows)
    print(f"{len(rows)} kills, {differ} runs that ended differently; written: {args.output_dir}/kill_and_resume.json")
    if differ:
        sys.exit(1)


def make_start(place: Path) -> None:
    """A tiny LTP classifier with dropout in `place`/start, and C functions in train.csv and test.csv."""
    import pandas as pd
    from transformers import AutoTokenizer

    from ltp_pipeline.train_tokenizer import main as train_tokenizer
    from transformer_revised import LTPConfig, LTPForSequenceClassification

    safe = "int copy_{i}(char *to, const char *from, size_t n)\n{{\n  memmove(to, from, n);\n  return {i};\n}}\n"
    unsafe = "int copy_{i}(char *to, const char *from)\n{{\n  strcpy(to, from);\n  return gets(to) != NULL;\n}}\n"
    for name, first, count in (("train", 0, 24), ("test", 100, 8)):
        rows = [(unsafe if i % 2 else safe).format(i=i) for i in range(first, first + count)]
        labels = [i % 2 for i in range(first, first + count)]
        pd.DataFrame({"functionSource": rows, "label": labels}).to_csv(place / f"{name}.csv", index=False)
    flags = f"--train_file {place}/train.csv --output_dir {place}/start --vocab_size 400 --max_length 96"
    train_tokenizer(flags.split())
    torch.manual_seed(0)
    config = LTPConfig(
        vocab_size=len(AutoTokenizer.from_pretrained(place / "start")),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=98,
        attention_window=16,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        prune_mode=None,
    )
    LTPForSequenceClassification(config).save_pretrained(place / "start")


def kill_and_resume(place: Path, kills: int, moments: random.Random) -> list[dict]:
    """A row for each kill: when it was, what was lying there, and whether the resumed run ended the same."""
    straight = Watch(place, "straight")
    straight.until(lambda: False)
    expected = outcome(place / "straight")
    rows = []
    for kill in range(kills):
        # A moment in each of as many equal parts of the run, counted in checkpoints, as a busy machine is not steady.
        moment = (kill + moments.random()) / kills * (len(straight.appeared) + 1)
        run = Watch(place, f"killed-{kill}")
        while_saving = kill % 3 == 2
        run.kill(int(moment), 0 if while_saving else (moment % 1) * straight.seconds_apart(int(moment)), while_saving)
        found = checkpoints_in(run.work)
        whole = [path.name for path in found if what_is_missing(path) is None]
        ended = run.result.exists()
        if not ended:
            Watch(place, run.result.name, "--resume_from_checkpoint", "last").until(lambda: False)
        rows.append(
            {
                "killed after (s)": round(run.seconds, 2),
                "while": "saving" if while_saving else "any moment",
                "cut off": ", ".join(path.name for path in found if path.name not in whole) or None,
                "resumed from": "it had ended" if ended else whole[-1] if whole else "the start",
                "same": outcome(run.result) == expected,
            }
        )
        print(json.dumps(rows[-1]), flush=True)
        shutil.rmtree(run.result)
    return rows


def outcome(folder: Path) -> dict:
    """What has to be the same: the weights' and predictions' bytes, and the metrics that do not tell the speed."""
    results = json.loads((folder / "all_results.json").read_text())
    return {
        "weights": (folder / "model.safetensors").read_bytes(),
        "predictions": (folder / "predictions.csv").read_bytes(),
        "results": {name: value for name, value in results.items() if not name.endswith(TIMES)},
    }


class Watch:
    """A run of the script in a process of its own, watched from its start on.

    `appeared` has the seconds from the start to each checkpoint's beginning, `seconds` those to the end.
    """

    def __init__(self, place: Path, output_dir: str, *flags: str):
        self.result, self.work = place / output_dir, place / f"{output_dir}.unfinished"
        self.log = place / f"{output_dir}.log"
        self.appeared: list[float] = []
        self._seen: set[Path] = set(checkpoints_in(self.work))
        argv = [*FLAGS.split(), "--output_dir", output_dir, *flags]
        # Forked from a server that has imported all there is to import: saves seconds, shares nothing else.
        self.process = multiprocessing.get_context("forkserver").Process(target=_train, args=(place, argv, self.log))
        self.began = time.monotonic()
        self.process.start()

    def until(self, true: Callable[[], bool]) -> None:
        """Returns when `true()` or when the run has ended. Raises RuntimeError if it failed."""
        while self.process.is_alive() and not true():
            new = set(checkpoints_in(self.work)) - self._seen
            self._seen |= new
            self.appeared += [time.monotonic() - self.began] * len(new)
            time.sleep(0.0005)
        self.seconds = time.monotonic() - self.began
        if self.process.exitcode not in (None, 0):
            raise RuntimeError(f"the run ended with {self.process.exitcode}:\n{self.log.read_text()[-3000:]}")

    def kill(self, checkpoints: int, seconds: float, while_saving: bool) -> None:
        """Ends the run by SIGKILL `seconds` after so many checkpoints, or while it writes that checkpoint."""
        self.until(lambda: len(self.appeared) >= checkpoints + while_saving)
        then = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= then)
        self.process.kill()
        self.process.join()

    def seconds_apart(self, checkpoint: int) -> float:
        """From one checkpoint (or the start, or to the end) to the next."""
        moments = [0.0, *self.appeared, self.seconds]
        return moments[checkpoint + 1] - moments[checkpoint]


def _train(place: Path, argv: list[str], log: Path) -> None:
    import run_code_metrics

    os.chdir(place)
    with open(log, "ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    run_main(lambda: run_code_metrics.main(argv))


if __name__ == "__main__":
    run_main(main)
