"""The tables of finished cells: means and ranges over seeds, and intervals of the difference to the unpruned model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.cells import (
    ALL_CONTROLS,
    BAG,
    COMPARED_WITH,
    DENSE,
    EXTRACTED,
    EXTRACTED_RANDOM,
    TWO_STAGES,
)
from benchmarks.accuracy.compared import Comparison, arrays, measures_of, spread
from benchmarks.accuracy.figure import draw
from benchmarks.accuracy.records import read_record
from benchmarks.accuracy.settings import LOWEST, TEACHERS, UNPRUNED
from benchmarks.accuracy.shown import markdown
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import write_csv, write_json, write_text
from ltp_pipeline.measures.lengths import by_length

MEASURES = ("f1", "mcc", "auc", "pr_auc", "vd_s_0.5", "recall", "precision", "false_alarm_rate")
FIGURES = ("relative_flops", "gflops_per_function", "extraction_relative_flops")
SPEEDS = ("functions_per_second", "speedup")
NOT_THE_READING = (DENSE, BAG, "truncation", EXTRACTED, EXTRACTED_RANDOM)  # these kinds read other tokens
ORDER = (UNPRUNED, *TWO_STAGES, EXTRACTED, EXTRACTED_RANDOM, *ALL_CONTROLS, DENSE, BAG)


def write_tables(output: Path, draws: int, reference: str = UNPRUNED) -> str:
    """Writes accuracy.json, .csv, .md and .png of the cells in `output`. Returns what to print.

    Args:
        draws: of the functions, for the intervals.
        reference: the row with which others are compared, `ROW` or `READING/ROW`.

    Raises UserError if there are no cells, or none of the reference.
    """
    import pandas as pd

    cells = read_cells(output)
    if reference.partition("/")[2] or reference != UNPRUNED:
        if not any(_named(cell["cell"]["row"], reference.rpartition("/")[2]) for cell in cells):
            raise UserError(f"--reference {reference}: no finished cell of such a row; expected one of another row")
    rows = summarise(cells, draws, reference)
    machines = {(cell["machine"].get("cpu"), cell["machine"].get("gpu")): cell["machine"] for cell in cells}
    report = {"reference": reference, "cells": len(cells), "bootstrap": draws, "machines": list(machines.values())}
    write_json(output / "accuracy.json", {**report, "rows": rows})
    write_csv(output / "accuracy.csv", pd.DataFrame([flat({**row, "against": {}}) for row in rows]))
    text = "\n\n".join(markdown(rows, reference))
    write_text(output / "accuracy.md", text + "\n")
    draw(output / "accuracy.png", rows)
    return f"{text}\n\nwritten: " + ", ".join(f"{output}/accuracy.{end}" for end in ("json", "csv", "md", "png"))


def read_cells(output: Path) -> list[dict[str, Any]]:
    """The records of all finished cells. Raises UserError if there is none."""
    files = sorted((output / "cells").glob("*/*/*.json"))
    if not files:
        raise UserError(f"--output_dir {output}: holds no finished cell; expected some, in {output / 'cells'}")
    return [read_record(file, None, overwrite=False) for file in files]


def summarise(cells: list[dict[str, Any]], draws: int, reference: str = UNPRUNED) -> list[dict[str, Any]]:
    """A row for each data set, reading, test and row of the table, over the seeds of which there are cells.

    Each measure is `{"mean", "min", "max"}` over seeds. `differences` are those to the reference with the same seeds,
    on the same draws of functions: `{"mean", "low", "high"}`. `against` has those of learned pruning to each control
    with the same budget. `fewer_tokens` compares with the unpruned model that reads the fewest tokens, if the row's
    model reads more: its `reading`, `times_flops` and `differences`. Raises UserError if cells have different test
    functions.
    """
    comparison = Comparison(draws)
    groups: dict[tuple, dict[int, dict[str, Any]]] = {}
    for cell in cells:
        about = cell["cell"]
        for test in cell["tests"]:
            groups.setdefault((about["data"], about["reading"], test, about["row"]), {})[about["seed"]] = cell
    rows = []
    for (data, reading, test, name), own in sorted(groups.items(), key=_order):
        other = _reference(groups, data, reading, test, reference)
        one = next(iter(own.values()))
        row = {"data": data, "reading": reading, "test": test, "row": name, "seeds": sorted(own)}
        row |= {name: one["cell"][name] for name in ("kind", "budget", "teacher")}
        row |= _functions(one["tests"][test])
        row |= {measure: spread(values) for measure, values in _measures(own, test).items()}
        row |= _computed(own, test)
        if other is not None and other is not own:
            row |= comparison.of(own, other, test)
        if row["kind"] in TWO_STAGES:
            against = {}
            for control in (f"{kind} {row['budget']}" for kind in COMPARED_WITH[row["kind"]]):
                if (data, reading, test, control) in groups:
                    others = groups[data, reading, test, control]
                    against[control] = comparison.of(own, others, test)["differences"]
            row |= {"against": against} if against else {}
        row |= _fewer_tokens(groups, (data, reading, test), own, comparison)
        rows.append(row)
    return rows


def _reference(groups: dict[tuple, Any], data: str, reading: str, test: str, reference: str) -> Any:
    """The cells by seed of the row `reference`, `ROW` or `READING/ROW`; None if there are none."""
    other, _, name = reference.rpartition("/")
    keys = (key for key in groups if key[:3] == (data, other or reading, test) and _named(key[3], name))
    return next((groups[key] for key in keys), None)


def _fewer_tokens(
    groups: dict[tuple, Any], place: tuple[str, str, str], own: dict[int, dict], comparison: Comparison
) -> dict[str, Any]:
    """The field `fewer_tokens` of a row of the data, reading and test of `place`.

    {} if its model reads the fewest tokens, or not the reading's. Of two readings of the fewest tokens the one that
    cuts as the row's does is preferred (head, tail, ...).
    """
    data, reading, test = place
    if next(iter(own.values()))["cell"]["kind"] in NOT_THE_READING:
        return {}
    readings = sorted(key[1] for key in groups if (key[0], key[2], key[3]) == (data, test, UNPRUNED))
    shortest = min(readings, key=lambda one: (_length(one), _cut(one) != _cut(reading)), default=reading)
    others = groups.get((data, shortest, test, UNPRUNED), {})
    common = sorted(set(own) & set(others))
    if _length(shortest) >= _length(reading) or not common:
        return {}
    pairs = [(own[seed]["tests"][test], others[seed]["tests"][test]) for seed in common]
    name = "gflops_per_function"
    times = [one[name] / other[name] for one, other in pairs if name in one and name in other]
    differences = comparison.of(own, others, test)["differences"]
    return {
        "fewer_tokens": {"reading": shortest, "differences": differences}
        | ({"times_flops": float(np.mean(times))} if times else {})
    }


def _length(reading: str) -> int:
    """The number of tokens that a reading such as 512tail has."""
    return int(re.match(r"\d*", reading).group() or 0)


def _cut(reading: str) -> str:
    """How a reading such as 512tail cuts a function: tail."""
    return reading.lstrip("0123456789")


def _named(row: str, name: str) -> bool:
    """Whether `name` is that of the row, or of its file."""
    return row.replace(" ", "_") == name.replace(" ", "_")


def _order(item: tuple[tuple, Any]) -> tuple:
    (data, reading, test, name), cells = item
    about = next(iter(cells.values()))["cell"]
    place = -float({None: "1", LOWEST: "0"}.get(about["budget"], about["budget"]))
    ranks = ORDER.index(about["kind"]), TEACHERS.index(about["teacher"] or "none")
    return data, _length(reading), reading, test != "test", test, *ranks, place


def _functions(test: dict[str, Any]) -> dict[str, int]:
    return {"functions": len(test["labels"]), "positives": int(sum(test["labels"]))}


def _measures(cells: dict[int, dict], test: str) -> dict[str, list[float]]:
    """The values of each measure, one for each seed."""
    each = [measures_of(*arrays(cell, test)) for cell in cells.values()]
    return {name: [one[name] for one in each] for name in MEASURES if all(name in one for one in each)}


def _computed(cells: dict[int, dict], test: str) -> dict[str, Any]:
    """FLOPs, tokens by layer, speed, line measures, and what is found by length."""
    tests = [cell["tests"][test] for cell in cells.values()]
    row: dict[str, Any] = {
        name: spread([one[name] for one in tests]) for name in FIGURES if all(name in one for one in tests)
    }
    budgets = [cell["about"]["budget"] for cell in cells.values() if "budget" in cell["about"]]
    if budgets:
        row["asked_flops"] = float(np.mean(budgets))
    if all("tokens_kept_per_layer" in one for one in tests):
        row["tokens_per_layer"] = np.mean([one["tokens_kept_per_layer"] for one in tests], axis=0).round(1).tolist()
    speeds = [cell["speed"] for cell in cells.values() if "speed" in cell]
    if speeds and test == "test":  # the speed is measured on this test
        row |= {name: spread([one[name] for one in speeds]) for name in SPEEDS}
    training = {
        "training_seconds": [cell["about"].get("training_seconds") for cell in cells.values()],
        "training_tokens": [cell.get("training_tokens") for cell in cells.values()],
    }
    row |= {name: spread(own) for name, own in training.items() if None not in own}
    lines = [one["lines"] for one in tests if one.get("lines")]
    for method in dict.fromkeys(name for one in lines for name in one):
        own = [one[method] for one in lines if method in one]
        names = [name for name in own[0] if name != "functions" and all(one.get(name) is not None for one in own)]
        row.setdefault("lines", {})[method] = {name: spread([one[name] for one in own]) for name in names}
    lengths = next((one["lengths"] for one in tests if "lengths" in one), None)
    if lengths is not None:
        row["recall_by_length"] = _by_length(cells, test, np.array(lengths))
    return row


def _by_length(cells: dict[int, dict], test: str, lengths: np.ndarray) -> dict[str, dict[str, float]]:
    """The share of the functions of class 1 that is found, by length in tokens: mean over seeds."""
    groups: dict[str, dict[str, Any]] = {}
    for cell in cells.values():
        labels, scores, threshold = arrays(cell, test)
        found = scores > threshold

        def recall(at: np.ndarray, labels=labels, found=found) -> dict[str, float]:
            own = labels[at] == 1
            return {"recall": float(found[at][own].mean())} if own.any() else {}

        for one in by_length(lengths, labels, recall):
            if "recall" in one:
                own = groups.setdefault(one["tokens"], {"positives": one["positives"], "recalls": []})
                own["recalls"].append(one["recall"])
    return {
        name: {"positives": own["positives"], "recall": float(np.mean(own["recalls"]))} for name, own in groups.items()
    }


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row for the CSV file: a column for each number."""
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            cells |= {f"{name}_{key}": inner for key, inner in flat(value).items()}
        else:
            cells[name] = " ".join(map(str, value)) if isinstance(value, list) else value
    return cells
