"""Runs the cells that are not finished, so that a run can be interrupted and continued, also by several processes."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.accuracy.cells import (
    BAG,
    LEARNED,
    TWO_STAGES,
    Cell,
    needs,
    soft_budget,
    training_cost,
)
from benchmarks.accuracy.controls import lowest_budget
from benchmarks.accuracy.data_sets import VALIDATION
from benchmarks.accuracy.measuring import bag_of_words, measure
from benchmarks.accuracy.records import cell_file, identity, read_record, write_record
from benchmarks.accuracy.settings import LOWEST, Settings, parse_reading
from benchmarks.accuracy.training import Workshop, make_tokenizer, model_config
from benchmarks.common import free_unused_memory, machine_facts, software_versions
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import format_table
from ltp_pipeline.training.run_record import present_commit

if TYPE_CHECKING:
    from transformer_revised import LTPConfig

MARGIN = 0.02  # of the lowest budget, because lengths are estimated before there is a tokenizer


def finished(workshop: Workshop, cell: Cell) -> bool:
    """Whether the cell is finished. Raises UserError if it is of other data or settings and may not be replaced."""
    present = identity(cell, workshop.settings, workshop.data[cell.data].hashes)
    return read_record(cell_file(workshop.output, cell), present, workshop.overwrite) is not None


def check_shared(workshop: Workshop, cells: list[Cell]) -> set[str]:
    """The shared models, `GROUP/NAME`, of these cells that are there. Raises UserError as `finished` does."""
    needed = [(cell, name) for cell in cells for name in needs(cell, workshop.settings)]
    return {f"{cell.group}/{name}" for cell, name in needed if workshop.complete(cell, name) is not None}


def check_budgets(workshop: Workshop, cells: list[Cell]) -> None:
    """Raises UserError if learned pruning cannot meet a budget, as far as the lengths of the functions can tell, or if
    the models have no layer --keep_layer.
    """
    settings, config = workshop.settings, _config(workshop.settings)
    if settings.keep_layer > config.num_hidden_layers and any(cell.row.is_extracted for cell in cells):
        raise UserError(
            f"--keep_layer {settings.keep_layer}: expected 0 to {config.num_hidden_layers}, the layers of the model"
        )
    for data, reading in dict.fromkeys((cell.data, cell.reading) for cell in cells):
        lengths = np.minimum(workshop.data[data].lengths(VALIDATION, reading), reading.length)
        rows = [cell.row for cell in cells if (cell.data, cell.reading) == (data, reading)]
        asked = [("budgets", row.budget) for row in rows if row.kind == LEARNED]
        asked += [("extracted_budgets", row.budget) for row in rows if row.is_extracted]
        asked += [("soft_budget", soft_budget(row.pruned, settings)) for row in rows if row.pruned.kind == LEARNED]
        asked += [("control_budgets", row.budget) for row in rows if row.kind == "random"]  # others take the nearest
        asked += [("first_layer_budgets", row.budget) for row in rows if row.prunes_first_layer]
        floors = {first: lowest_budget(config, lengths, torch.device("cpu"), first) for first in (False, True)}
        for flag, budget in asked:
            floor = floors[flag == "first_layer_budgets"]
            if budget != LOWEST and float(budget) < floor - MARGIN:
                raise UserError(
                    f"--{flag} {budget}: on {data} about {floor:.2f} of the FLOPs remain if all tokens are removed "
                    f"that can be; expected at least as much, or {LOWEST}"
                )


def _config(settings: Settings) -> LTPConfig:
    """The configuration of the models that are trained."""
    from ltp_pipeline.model.checkpoints import as_ltp_config, load_config
    from transformer_revised import LTPConfig

    if settings.model_name_or_path is None:
        config = LTPConfig(**model_config(settings, max(parse_reading(text).length for text in settings.readings)))
    else:
        config = load_config(settings.model_name_or_path, flag="--model_name_or_path")
        config = as_ltp_config(config, prune_mode=None)
    if isinstance(config.attention_window, int):  # a model makes a list of it
        config.attention_window = [config.attention_window] * config.num_hidden_layers
    return config


def listed(workshop: Workshop, cells: list[Cell]) -> str:
    """A table of the cells with the tokens that they would train on, in millions."""
    rows, done = [], set()
    for cell in cells:
        read, cost = training_cost(cell, workshop.settings, workshop.data[cell.data].tokens(cell.reading), done)
        state = "finished" if cell_file(workshop.output, cell).is_file() else ""
        rows.append({"cell": cell.name, "training": read / 1e6, "as unpruned": cost / 1e6, "state": state})
    total = {"cell": f"{len(rows)} cells", "state": ""}
    total |= {name: sum(row[name] for row in rows) for name in ("training", "as unpruned")}
    about = (
        "Millions of tokens, estimated from the characters. training: tokens that training reads. as unpruned: tokens "
        "of unpruned training that cost as much, teachers and evaluation included. The first cell of a group that "
        "needs a shared model trains it."
    )
    return f"{format_table([*rows, total])}\n\n{about}"


def result_of(workshop: Workshop, cell: Cell) -> dict[str, Any]:
    """Trains and measures a cell: what its file holds beside `identity`, `cell` and what is known of the machine."""
    data = workshop.data[cell.data]
    if cell.row.kind == BAG:
        return {"about": {"commands": []}, **bag_of_words(data)}
    trained = workshop.train(cell)
    with workshop.logged(cell):
        measured = measure(cell, trained, workshop.base(cell), data, workshop.settings)
    return {"about": trained.about, **measured}


def run_cells(
    workshop: Workshop, cells: list[Cell], result: Callable[[Workshop, Cell], dict[str, Any]] = result_of
) -> int:
    """Runs the cells that are not finished, group by group. A group that another process is running is left to it.

    A cell that fails does not end the run. Returns how many cells were left to others. Raises UserError at the end, if
    a cell has failed.
    """
    from filelock import FileLock, Timeout

    todo = [cell for cell in cells if not finished(workshop, cell)]
    there = check_shared(workshop, todo)
    print(f"{len(cells)} cells, {len(cells) - len(todo)} of them finished", flush=True)
    if not todo:
        return 0
    with FileLock(_lock(workshop, "data")):
        for name in dict.fromkeys(cell.data for cell in todo):
            workshop.data[name].write(workshop.output)
            if workshop.settings.model_name_or_path is None:
                make_tokenizer(workshop.output, workshop.data[name], workshop.settings)
    costs = {
        cell: training_cost(cell, workshop.settings, workshop.data[cell.data].tokens(cell.reading), there)[1]
        for cell in todo
    }
    clock, left, failed = _Clock(costs), 0, []
    for group in dict.fromkeys(cell.group for cell in todo):
        own = [cell for cell in todo if cell.group == group]
        try:
            with FileLock(_lock(workshop, group)).acquire(timeout=0):
                failed += [cell.name for cell in own if not _run(workshop, cell, clock, result)]
        except Timeout:
            left += len(own)
            clock.skip(own)
            print(f"{group}: {len(own)} cells are left to another process, which runs them now", flush=True)
    if failed:
        raise UserError(
            f"{len(failed)} cells failed, see above: {', '.join(failed)}; the same command tries them again"
        )
    return left


def _lock(workshop: Workshop, name: str) -> Path:
    path = workshop.output / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _run(workshop: Workshop, cell: Cell, clock: _Clock, result: Callable) -> bool:
    """Runs a cell and writes its file. Returns whether it is finished."""
    if finished(workshop, cell):  # by another process, meanwhile
        clock.skip([cell])
        return True
    from ltp_pipeline.model.precision import default_device

    print(clock.begins(cell), flush=True)
    record = {
        "identity": identity(cell, workshop.settings, workshop.data[cell.data].hashes),
        "cell": {
            "data": cell.data, "reading": cell.reading.name, "row": cell.row.name, "kind": cell.row.kind,
            "budget": cell.row.budget, "teacher": cell.row.teacher if cell.row.kind in TWO_STAGES else None,
            "seed": cell.seed,
        },
        "command": shlex.join(["python", "-m", "benchmarks.accuracy", *sys.argv[1:]]),
        "versions": software_versions(),
        "commit": present_commit(),
        "machine": machine_facts(str(default_device())),
        "dtype": workshop.settings.dtype,
    }  # fmt: skip
    try:
        record |= result(workshop, cell)
    except KeyboardInterrupt as interruption:
        interruption.args = (f"{cell.name} is not finished; the same command goes on, and keeps the finished cells",)
        raise
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        clock.fails(cell)
        return False
    finally:
        free_unused_memory()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    write_record(cell_file(workshop.output, cell), record)
    shutil.rmtree(workshop.work(cell), ignore_errors=True)
    print(clock.ends(cell), flush=True)
    return True


class _Clock:
    """Says how far the run is, and how long the rest takes if it goes on at the same speed."""

    def __init__(self, costs: dict[Cell, float]):
        least = max(costs.values()) / 100 or 1.0  # what a cell takes that trains nothing
        self._left = {cell: max(cost, least) for cell, cost in costs.items()}
        self._all, self._number, self._spent, self._done = len(costs), 0, 0.0, 0.0
        self._began = time.monotonic()

    def skip(self, cells: list[Cell]) -> None:
        for cell in cells:
            self._left.pop(cell, None)
            self._all -= 1

    def fails(self, cell: Cell) -> None:
        self._left.pop(cell)

    def begins(self, cell: Cell) -> str:
        self._began, self._number = time.monotonic(), self._number + 1
        return f"[{self._number}/{self._all}] {cell.name} begins{self._rest()}"

    def ends(self, cell: Cell) -> str:
        seconds = time.monotonic() - self._began
        self._spent, self._done = self._spent + seconds, self._done + self._left.pop(cell)
        return f"[{self._number}/{self._all}] {cell.name} took {_time(seconds)}{self._rest()}"

    def _rest(self) -> str:
        return f"; about {_time(sum(self._left.values()) / self._done * self._spent)} left" if self._done else ""


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"
