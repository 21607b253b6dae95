"""Turns what a command has written into a stored file: an output folder of `benchmarks.accuracy`, comparison.json."""

from __future__ import annotations

import re
import shlex
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks.results.stored import FORMAT, KINDS
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import parse_json

CELL_FIELDS = ("budget", "length", "training_seconds", "extraction")  # of `about` in a cell's file
INSIDE = ("models", "tokenizers", "data")  # folders of an output folder that commands name


def stored_costs(output: Path, title: str, about: str, draws: int, commit: str | None) -> dict[str, Any]:
    """The stored form of all finished cells in `output`.

    Args:
        title: heading of its tables.
        about: a paragraph for the reader: what was run, what is special.
        draws: of the test functions, for the intervals.
        commit: of the code that was run, for cells that do not say it.

    Raises UserError if there are no cells, or if no commit is known.
    """
    from benchmarks.accuracy.tables import read_cells, summarise

    cells = read_cells(output)
    commits = sorted({one for cell in cells if (one := cell.get("commit") or commit)})
    if any(not (cell.get("commit") or commit) for cell in cells):
        raise UserError(f"--add {output}: its cells do not say which commit was run; expected --commit HASH")
    rows = summarise(cells, draws)
    models = {(c["cell"]["data"], c["cell"]["reading"]): model for c in cells if (model := model_of(c))}
    for row in rows:
        row["model"] = models.get((row["data"], row["reading"]), "-")
    runs, settings, commands = _Unique(), _Unique(), _Unique()
    kept = [_cell(cell, runs, settings, commands) for cell in cells]
    return {
        "format": FORMAT, "kind": KINDS[0], "title": title, "about": about, "commits": commits,
        "reference": "unpruned", "bootstrap": draws, "seeds": sorted({cell["cell"]["seed"] for cell in cells}),
        "runs": runs.values, "settings": settings.values, "tables": _hashes(cells), "commands": commands.values,
        "cells": kept, "rows": rows,
    }  # fmt: skip


def stored_comparison(file: Path) -> dict[str, Any]:
    """comparison.json without the folders of checkpoints. Raises UserError if `file` is no such file."""
    try:
        found = parse_json(file.read_text(encoding="utf-8"))
        rows = [{name: value for name, value in row.items() if name != "path"} for row in found["checkpoints"]]
        return {"test_file": PurePosixPath(found["test_file"]).name, "checkpoints": rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"--add {file}: expected comparison.json of ltp_pipeline.comparison") from error


def model_of(cell: dict[str, Any]) -> str | None:
    """The model that a cell has trained, in words; None if its settings do not say it."""
    settings = cell["identity"]["settings"]
    if settings.get("model_name_or_path"):
        return PurePosixPath(settings["model_name_or_path"]).name
    if "hidden_size" not in settings:
        return None
    return f"{settings['num_layers']} layers of {settings['hidden_size']}"


def without_folders(command: str) -> str:
    """A command whose folders say nothing of the machine: OUT, DATA, and names alone.

    >>> without_folders("python x.py --restore /home/me/out/models/d@512/seed_0/base/model --lr 0.1")
    'python x.py --restore OUT/models/d@512/seed_0/base/model --lr 0.1'
    """
    words, flag = [], ""
    for word in shlex.split(command):
        place = re.match(rf".*/((?:{'|'.join(INSIDE)})/.*)", word)
        if flag in ("--data_dir", "--output_dir") and place is None:
            word = {"--data_dir": "DATA", "--output_dir": "OUT"}[flag]
        elif place is not None:
            word = f"OUT/{place.group(1)}"
        elif word.startswith("/"):
            word = PurePosixPath(word).name
        words.append(word)
        flag = word
    return shlex.join(words)


def _without_places(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a cell with the name alone of what an absolute path names."""
    return {
        name: PurePosixPath(value).name if isinstance(value, str) and value.startswith("/") else value
        for name, value in settings.items()
    }


class _Unique:
    """Different values, each kept once."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def place(self, value: Any) -> int:
        """Where the value is in `values`; it is added if it is new."""
        if value not in self.values:
            self.values.append(value)
        return self.values.index(value)


def _cell(cell: dict[str, Any], runs: _Unique, settings: _Unique, commands: _Unique) -> dict[str, Any]:
    """What is kept of a cell: its place in the lists of what cells share, its choices, its measures."""
    from benchmarks.accuracy.compared import arrays, measures_of
    from benchmarks.accuracy.tables import MEASURES

    own, about = cell["cell"], cell["about"]
    machine = {name: value for name, value in cell["machine"].items() if name != "load_before"}
    run = {
        "command": without_folders(cell["command"]), "versions": cell["versions"], "machine": machine,
        "dtype": cell["dtype"],
    }  # fmt: skip
    measures = {test: measures_of(*arrays(cell, test)) for test in cell["tests"]}
    return {
        "data": own["data"], "reading": own["reading"], "seed": own["seed"], "row": own["row"],
        "run": runs.place(run), "settings": settings.place(_without_places(cell["identity"]["settings"])),
        "commands": [commands.place(without_folders(line)) for line in about.get("commands", [])],
        "threshold": cell["threshold"],
        **{name: about[name] for name in CELL_FIELDS if name in about},
        "measures": {
            test: {name: each[name] for name in MEASURES if name in each} for test, each in measures.items()
        },
    }  # fmt: skip


def _hashes(cells: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """SHA-256 of each table that was drawn, by data set."""
    tables: dict[str, dict[str, str]] = {}
    for cell in cells:
        own = tables.setdefault(cell["cell"]["data"], {})
        for name, value in cell["identity"]["data"].items():
            if own.setdefault(name, value) != value:
                about = cell["cell"]
                raise UserError(
                    f"--add: {about['data']}: {about['row']} of seed {about['seed']} was made of another table {name} "
                    "than other cells; expected one"
                )
    return tables
