"""Runs the project's two training commands for a cell, in this process: what is measured is what users get."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from benchmarks.accuracy.settings import Reading, Settings
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.flags import DataArguments

# Tokens that are computed at once. A larger batch is accumulated of parts, so that long readings fit into the memory.
TOKENS_AT_ONCE, TOKENS_AT_ONCE_ON_GPU = 16384, 65536


class Commands:
    """The commands of one cell. `lines` holds each as a user would type it.

    Args:
        files: the tables `train` and `validation`.
    """

    def __init__(self, settings: Settings, reading: Reading, seed: int, files: dict[str, Path]):
        self.settings, self.reading, self.seed, self.files = settings, reading, seed, files
        self.lines: list[str] = []

    def fine_tune(
        self, folder: Path, origin: list[str], epochs: float, rate: float, reading: Reading | None = None
    ) -> None:
        """Runs run_glue_code_metrics.py. `origin`: the flags of the model from which it starts."""
        from ltp_pipeline.model.starting_model import ModelArguments
        from ltp_pipeline.training.arguments import FineTuningArguments
        from ltp_pipeline.training.starts import FineTuning

        flags = [*origin, "--do_train", "--do_eval", "--learning_rate", f"{rate:g}", "--warmup_steps", "0.1"]
        flags += ["--num_train_epochs", f"{epochs:g}", *self._common(folder, reading or self.reading)]
        classes = (ModelArguments, DataArguments, FineTuningArguments)
        self._run("run_glue_code_metrics.py", FineTuning, classes, flags, folder)

    def prune(self, folder: Path, start: Path, stage: list[str], epochs: float, how: Any = None) -> None:
        """Runs run_code_metrics.py with the flags `stage`. `how`: the class that starts it; None: the command's."""
        from ltp_pipeline.training.arguments import StageArguments, StageTrainingArguments
        from ltp_pipeline.training.starts import PruningStage

        flags = ["--restore", str(start), *stage, "--lr", f"{self.settings.stage_lr:g}", "--epoch", f"{epochs:g}"]
        flags += ["--no_load", *self._common(folder, self.reading)]
        classes = (StageArguments, DataArguments, StageTrainingArguments)
        self._run("run_code_metrics.py", how or PruningStage, classes, flags, folder)

    def _common(self, folder: Path, reading: Reading) -> list[str]:
        from ltp_pipeline.model.precision import default_device

        on_gpu = default_device().type == "cuda"
        most = TOKENS_AT_ONCE_ON_GPU if on_gpu else TOKENS_AT_ONCE
        size = batch_part(self.settings.batch_size, reading.length, most)
        return [
            "--train_file", str(self.files["train"]), "--validation_file", str(self.files["validation"]),
            "--max_seq_length", str(reading.length), "--truncation", reading.truncation,
            "--per_device_train_batch_size", str(size),
            "--gradient_accumulation_steps", str(self.settings.batch_size // size),
            "--dtype", self.settings.dtype, "--seed", str(self.seed), "--line_scores", "none",
            "--disable_tqdm", "True", "--resume_from_checkpoint", "last", "--output_dir", str(folder),
        ]  # fmt: skip

    def _run(self, script: str, how: Any, classes: tuple, flags: list[str], folder: Path) -> None:
        """Runs a command, unless its result is complete: the benchmark may have been interrupted after it."""
        from ltp_pipeline.training.arguments import parse_training_arguments
        from ltp_pipeline.training.run import run

        self.lines.append(shlex.join(["python", script, *flags]))
        print(f"$ {self.lines[-1]}", flush=True)
        if (folder / "all_results.json").is_file():
            return
        try:
            arguments = parse_training_arguments(classes, flags, "", script)
        except SystemExit as end:  # argparse has printed what is wrong
            raise UserError(f"{script} does not accept its flags") from end
        run(how(*arguments))


def batch_part(size: int, length: int, most: int = TOKENS_AT_ONCE) -> int:
    """How many functions of this length are computed at once, of a batch of `size`: a divisor of it, so that they have
    at most `most` tokens, or are one function.
    """
    return max(part for part in range(1, size + 1) if size % part == 0 and part * length <= max(length, most))
