"""Trains the model of a cell, and shares what cells have in common.

Every row continues the same fine-tuned model of its seed for the same number of epochs: `soft_epochs + hard_epochs`.
Only the model with dense attention is fine-tuned on its own.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.accuracy.cells import (
    DENSE,
    DENSE_LENGTH,
    EXTRACTED,
    FIRST_LAYER_RANDOM,
    TWO_STAGES,
    Cell,
    Row,
    needs,
    soft_budget,
)
from benchmarks.accuracy.commands import Commands
from benchmarks.accuracy.controls import (
    NUMBERS,
    RandomStage,
    equal_length,
    lowest_budget,
    number_for_budget,
    replace_pruners,
    with_random_scores,
)
from benchmarks.accuracy.data_sets import TRAIN, VALIDATION, DataSet
from benchmarks.accuracy.extraction import extract, extracted_text
from benchmarks.accuracy.records import difference, identity, read_record, write_record
from benchmarks.accuracy.settings import LOWEST, UNPRUNED, Reading, Settings
from benchmarks.common import ROOT
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import write_json
from ltp_pipeline.data.flags import TruncationArguments

if TYPE_CHECKING:
    import pandas as pd

    from ltp_pipeline.comparison import Candidate

FLAT = "1e-6"  # --final_token_threshold with which all layers that prune have nearly the same threshold


@dataclass
class Trained:
    """The model of a cell."""

    folder: Path  # the checkpoint
    reading: Reading
    dtype: str
    changes: dict[str, Any] = field(default_factory=dict)  # of its configuration, before it is measured
    prepare: Callable[[Any], Any] | None = None  # changes the loaded model, before it is measured
    texts: dict[str, list[str]] | None = None  # by table what it reads in place of functions; None: functions
    extraction_flops: dict[str, int] = field(default_factory=dict)  # by table what the extraction of `texts` executed
    about: dict[str, Any] = field(default_factory=dict)  # for the cell's file

    def candidate(self, frame: pd.DataFrame) -> Candidate:
        """The model, and `frame` tokenized for it."""
        candidate = load(self.folder, frame, self.reading, self.dtype)
        for name, value in self.changes.items():
            setattr(candidate.model.config, name, value)
        if self.changes:
            replace_pruners(candidate.model)
        if self.prepare is not None:
            self.prepare(candidate.model)
        return candidate

    def reads(self, data: DataSet, table: str) -> pd.DataFrame:
        """The table as the model reads it."""
        frame = data.frames[table]
        return frame if self.texts is None else frame.assign(functionSource=self.texts[table])


@dataclass
class Workshop:
    """Where cells are trained, and with what.

    models/GROUP/NAME/ holds record.json, whose `complete` says whether the model is trained, and the model, or the
    text that a model has extracted.
    """

    output: Path
    settings: Settings
    data: dict[str, DataSet]
    overwrite: bool = False

    def train(self, cell: Cell) -> Trained:
        """Trains the model of a cell that is no bag of words. Remove its `work` folder when it has been measured."""
        lines: list[str] = []
        start, shared_seconds, continued = None, 0.0, False
        for name in needs(cell, self.settings):
            start, record = self._shared(cell, name, start)
            lines += record["commands"]
            shared_seconds += record["seconds"]
            continued |= record.get("continued", False)
        commands = self._commands(cell)
        present = identity(cell, self.settings, self.data[cell.data].hashes)
        began = time.monotonic()
        with self.logged(cell):
            work = begun(self.work(cell), present)
            again = _holds_work(work)
            trained = self._own(cell, start, work, commands)
        own_seconds = time.monotonic() - began
        seconds = {"seconds": round(own_seconds, 1), "shared_seconds": round(shared_seconds, 1)}
        if cell.row.is_extracted:  # what came before is another model, and the text that it has extracted
            shared_seconds, continued = 0.0, False
        if not (again or continued):  # else the time before an interruption is not known
            seconds["training_seconds"] = round(own_seconds + shared_seconds, 1)
        trained.about |= {"commands": lines + commands.lines, **seconds}
        return trained

    def work(self, cell: Cell, name: str | None = None) -> Path:
        """The folder of a shared model, or of the cell's own."""
        return self.output / "models" / cell.group / (name or cell.row.name.replace(" ", "_"))

    def base(self, cell: Cell) -> Path:
        """The fine-tuned model of the cell's group."""
        return self.work(cell, "base") / "model"

    @contextlib.contextmanager
    def logged(self, cell: Cell) -> Iterator[None]:
        """Writes what the block prints to a file. An error names it."""
        path = self.output / "logs" / f"{cell.name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as log:
            try:
                with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                    yield
            except UserError as error:
                raise UserError(f"{cell.name}: {error} (the whole output is in {path})") from error

    def complete(self, cell: Cell, name: str) -> dict[str, Any] | None:
        """The record of a shared model; None if it is not trained, or may be overwritten. Raises UserError."""
        file = self.work(cell, name) / "record.json"
        try:
            if not json.loads(file.read_text(encoding="utf-8"))["complete"]:
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        present = identity(cell, self.settings, self.data[cell.data].hashes, shared=name)
        return read_record(file, present, self.overwrite)

    def _shared(self, cell: Cell, name: str, start: Path | None) -> tuple[Path, dict[str, Any]]:
        """Returns the shared model `name` of the cell's group, trained from `start` if need be, and its record.

        A text is extracted by the model `start`.
        """
        stage = name.partition("_")[0]
        record = self.complete(cell, name)
        model = self.work(cell, name) / ("text" if stage == "text" else "model")
        if record is not None and model.is_dir():
            return model, record
        present = identity(cell, self.settings, self.data[cell.data].hashes, shared=name)
        began, commands, settings = time.monotonic(), self._commands(cell), self.settings
        with self.logged(cell):
            work = begun(self.work(cell, name), present)
            again = _holds_work(work)
            if stage == "base":
                commands.fine_tune(model, self._origin(cell), settings.base_epochs, settings.base_lr)
            elif stage == "soft":
                commands.prune(model, start, self._soft_flags(cell), settings.soft_epochs)
            elif stage == "hard":
                target = self._number(cell, cell.row.budget)
                commands.prune(model, start, self._hard_flags(cell, target), settings.hard_epochs)
            else:
                commands.lines.append(extract(start, self.data[cell.data], cell, settings, model, commands.files))
        seconds = round(time.monotonic() - began, 1)
        record = {"commands": commands.lines, "seconds": seconds, "continued": again}
        write_record(work / "record.json", {"identity": present, "complete": True, **record})
        return model, record

    def _own(self, cell: Cell, start: Path, work: Path, commands: Commands) -> Trained:
        """What only this cell trains."""
        settings, row, rate = self.settings, cell.row, self.settings.stage_lr
        epochs = settings.soft_epochs + settings.hard_epochs
        trained = Trained(work / "model", cell.reading, settings.dtype)
        further = ["--model_name_or_path", str(start)]
        if row.kind == UNPRUNED:
            commands.fine_tune(trained.folder, further, epochs, rate)
        elif row.is_extracted:
            trained.texts, files, about = extracted_text(start, row, self.data[cell.data], work)
            trained.about["extraction"] = about
            if row.kind == EXTRACTED:
                trained.extraction_flops = {table: own["flops"] for table, own in about["tables"].items()}
            commands.files, origin = files, [*self._origin(cell), "--on_bad_rows", "skip"]
            commands.fine_tune(work / "base", origin, settings.base_epochs, settings.base_lr)
            further = ["--model_name_or_path", str(work / "base"), "--on_bad_rows", "skip"]
            commands.fine_tune(trained.folder, further, epochs, rate)
        elif row.kind == DENSE:
            trained.reading = replace(cell.reading, length=min(DENSE_LENGTH, cell.reading.length))
            origin = [*self._origin(cell), "--window_size", str(2 * trained.reading.length)]
            commands.fine_tune(work / "base", origin, settings.base_epochs, settings.base_lr, trained.reading)
            further = ["--model_name_or_path", str(work / "base")]
            commands.fine_tune(trained.folder, further, epochs, rate, trained.reading)
        elif row.kind == "truncation":
            budget = self._budget(cell, row.budget, trained)
            length = equal_length(self._calibration(cell, start), budget)
            trained.reading = replace(cell.reading, length=length)
            trained.about["length"] = length
            commands.fine_tune(trained.folder, further, epochs, rate, trained.reading)
        elif row.kind in TWO_STAGES:
            target = self._budget(cell, row.budget, trained)
            if needs(cell, settings)[-1].startswith("hard"):
                trained.folder = start
            else:
                commands.prune(trained.folder, start, self._hard_flags(cell, target), settings.hard_epochs)
        elif row.kind in ("random", FIRST_LAYER_RANDOM):
            target = self._budget(cell, row.budget, trained)
            flags = ["--masking_mode", "hard", "--target_flops", f"{target:g}", "--final_token_threshold", FLAT]
            flags += _first_layer_flags(row)
            commands.prune(trained.folder, start, flags, epochs, RandomStage)
            trained.prepare = with_random_scores
        else:
            self._fixed(cell, start, trained, epochs, commands)
        return trained

    def _fixed(self, cell: Cell, start: Path, trained: Trained, epochs: float, commands: Commands) -> None:
        """Pruning that learns nothing. Its number is chosen before training, and again afterwards."""
        mode, name = NUMBERS[cell.row.kind]
        budget = self._budget(cell, cell.row.budget, trained)
        number = number_for_budget(self._calibration(cell, start), mode, budget)
        flags = ["--masking_mode", "hard", "--prune_mode", mode, f"--{name}", repr(number)]
        commands.prune(trained.folder, start, flags, epochs)
        again = number_for_budget(self._calibration(cell, trained.folder), mode, budget)
        trained.changes = {name: again}
        trained.about |= {name: number, f"{name}_after_training": again}

    def _budget(self, cell: Cell, budget: str, trained: Trained) -> float:
        """A budget of a row as a number, which is also recorded."""
        trained.about["budget"] = self._number(cell, budget)
        return trained.about["budget"]

    def _number(self, cell: Cell, budget: str) -> float:
        if budget != LOWEST:
            return float(budget)
        candidate = self._calibration(cell, self.base(cell))
        lengths, model = np.asarray(candidate.tokens["length"]), candidate.model
        return lowest_budget(model.config, lengths, model.device, cell.row.prunes_first_layer)

    def _calibration(self, cell: Cell, model: Path) -> Candidate:
        """A model and validation functions on which a number is chosen: as many as `meet_target` uses."""
        frame = self.data[cell.data].frames[VALIDATION]
        places = np.linspace(0, len(frame) - 1, min(128, len(frame))).astype(int)
        return load(model, frame.iloc[places], cell.reading, self.settings.dtype)

    def _soft_flags(self, cell: Cell) -> list[str]:
        target = self._number(cell, soft_budget(cell.row.pruned, self.settings))
        first = _first_layer_flags(cell.row)  # the hard stage keeps to it
        return ["--masking_mode", "soft", "--target_flops", f"{target:g}", *first, *self._rank_flags(cell)]

    def _hard_flags(self, cell: Cell, target: float) -> list[str]:
        return ["--masking_mode", "hard", "--target_flops", f"{target:g}", *self._rank_flags(cell)]

    def _rank_flags(self, cell: Cell) -> list[str]:
        """How both stages teach the ranking."""
        teacher = cell.row.pruned.teacher
        if teacher == "none":
            return ["--rank_distillation", "0"]
        return ["--rank_distillation", f"{self.settings.rank_weight:g}", "--rank_teacher", teacher]

    def _origin(self, cell: Cell) -> list[str]:
        """The flags of the model from which fine-tuning starts."""
        if self.settings.model_name_or_path is not None:
            return ["--model_name_or_path", self.settings.model_name_or_path]
        config = self.work(cell, "base") / "config.json"
        write_json(config, model_config(self.settings, cell.reading.length))
        return ["--config_name", str(config), "--tokenizer_name", str(self.output / "tokenizers" / cell.data)]

    def _commands(self, cell: Cell) -> Commands:
        files = {table: self.data[cell.data].file(self.output, table) for table in (TRAIN, VALIDATION)}
        return Commands(self.settings, cell.reading, cell.seed, files)


def _first_layer_flags(row: Row) -> list[str]:
    return ["--prune_first_layer"] if row.prunes_first_layer else []


def begun(work: Path, present: dict[str, Any]) -> Path:
    """Makes the folder in which a model is trained. What is there of other data or settings is removed."""
    file = work / "record.json"
    try:
        differs = difference(json.loads(file.read_text(encoding="utf-8"))["identity"], present)
    except (OSError, ValueError, KeyError, TypeError):
        differs = "there is no record"
    if differs:
        shutil.rmtree(work, ignore_errors=True)
        write_record(file, {"identity": present, "complete": False})
    return work


def _holds_work(work: Path) -> bool:
    """Whether an earlier process has begun to train in this folder."""
    return any(path.is_dir() for path in work.iterdir())


def model_config(settings: Settings, length: int) -> dict[str, Any]:
    """The configuration of a model with random weights: that of the demo in other sizes."""
    config = json.loads((ROOT / "configs" / "ltp_small.json").read_text(encoding="utf-8"))
    return config | {
        "vocab_size": settings.vocab_size, "hidden_size": settings.hidden_size,
        "num_hidden_layers": settings.num_layers, "num_attention_heads": settings.hidden_size // 64,
        "intermediate_size": 4 * settings.hidden_size, "attention_window": settings.attention_window,
        "max_position_embeddings": length + 2,
    }  # fmt: skip


def load(folder: Path, frame: pd.DataFrame, reading: Reading, dtype: str) -> Candidate:
    """A checkpoint, and functions tokenized for it, as ltp_pipeline.comparison loads them."""
    from ltp_pipeline.comparison import load_candidate
    from ltp_pipeline.model.precision import chosen_dtype, default_device
    from ltp_pipeline.task.tasks import CODE

    device, truncation = default_device(), TruncationArguments(truncation=reading.truncation)
    sizes: dict[str, int | None] = {"max_tokens": None, "size": None}
    options = sizes, chosen_dtype(dtype, None, device), device, CODE, truncation
    return load_candidate(str(folder), frame, reading.length, *options)


def tokens_read(folder: Path, frame: pd.DataFrame, reading: Reading) -> int:
    """The tokens that the model of a checkpoint reads of these functions."""
    from ltp_pipeline.data.tokenization import tokenize
    from ltp_pipeline.data.truncation import choose_truncation
    from ltp_pipeline.model.checkpoints import load_config, load_tokenizer
    from ltp_pipeline.task.tasks import CODE

    config, tokenizer = load_config(str(folder), flag="--restore"), load_tokenizer(str(folder), flag="--restore")
    flags = TruncationArguments(truncation=reading.truncation)
    cut = choose_truncation(flags, config, CODE, tokenizer, reading.length)
    tokens = tokenize(frame, tokenizer, reading.length, CODE, config.type_vocab_size > 1, cut)
    return int(np.sum(tokens["length"]))


def make_tokenizer(output: Path, data: DataSet, settings: Settings) -> None:
    """Trains the tokenizer of a data set, unless it is there already and of the same functions."""
    from ltp_pipeline.train_tokenizer import train_tokenizer

    place = output / "tokenizers" / data.name
    record = place.with_name(f"{data.name}.json")
    longest = max(int(text.partition(":")[0]) for text in settings.readings)
    about = {"train": data.hashes[TRAIN], "vocab_size": settings.vocab_size}
    if record.is_file() and json.loads(record.read_text(encoding="utf-8")) == about:
        return
    train_tokenizer(data.frames[TRAIN]["functionSource"], settings.vocab_size, longest).save_pretrained(place)
    write_json(record, about)
