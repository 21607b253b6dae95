"""The tables of finished cells: means and ranges over seeds, and intervals of the difference to the unpruned model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.cells import BAG, CONTROLS, DENSE, EXTRACTED, EXTRACTED_RANDOM, TWO_STAGES
from benchmarks.accuracy.figure import draw
from benchmarks.accuracy.records import read_record
from benchmarks.accuracy.settings import LOWEST, TEACHERS, UNPRUNED
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import format_table, write_csv, write_json, write_text
from ltp_pipeline.measures.intervals import interval, resampled_measures
from ltp_pipeline.measures.lengths import by_length
from ltp_pipeline.task.metrics import score_metrics

SEED = 0  # of the draws
# Measures of the predicted classes and probabilities, and those of them whose difference to the reference is drawn
MEASURES = ("f1", "mcc", "auc", "pr_auc", "vd_s_0.5", "recall", "precision", "false_alarm_rate")
COMPARED = ("f1", "auc", "mcc", "pr_auc", "vd_s_0.5", "recall")
FIGURES = ("relative_flops", "gflops_per_function", "extraction_relative_flops")
SPEEDS = ("functions_per_second", "speedup")
ORDER = (UNPRUNED, *TWO_STAGES, EXTRACTED, EXTRACTED_RANDOM, *CONTROLS, DENSE, BAG)


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
        name = reference.rpartition("/")[2].replace("_", " ")
        if not any(cell["cell"]["row"] == name for cell in cells):
            raise UserError(f"--reference {reference}: no finished cell of such a row; expected one of another row")
    rows = summarise(cells, draws, reference)
    machines = {(cell["machine"].get("cpu"), cell["machine"].get("gpu")): cell["machine"] for cell in cells}
    report = {"reference": reference, "cells": len(cells), "bootstrap": draws, "machines": list(machines.values())}
    write_json(output / "accuracy.json", {**report, "rows": rows})
    write_csv(output / "accuracy.csv", pd.DataFrame([flat(row) for row in rows]))
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
    on the same draws of functions: `{"mean", "low", "high"}`. Raises UserError if cells have different test functions.
    """
    groups: dict[tuple, dict[int, dict[str, Any]]] = {}
    for cell in cells:
        about = cell["cell"]
        for test in cell["tests"]:
            groups.setdefault((about["data"], about["reading"], test, about["row"]), {})[about["seed"]] = cell
    rows = []
    for (data, reading, test, name), own in sorted(groups.items(), key=_order):
        other = groups.get(_reference(data, reading, test, reference))
        one = next(iter(own.values()))
        row = {"data": data, "reading": reading, "test": test, "row": name, "seeds": sorted(own)}
        row |= {name: one["cell"][name] for name in ("kind", "budget", "teacher")}
        row |= _functions(one["tests"][test])
        row |= {measure: _spread(values) for measure, values in _measures(own, test).items()}
        row |= _computed(own, test)
        if other is not None and other is not own:
            row |= _compared(own, other, test, draws, f"{data}, {test}: {name}")
        rows.append(row)
    return rows


def _reference(data: str, reading: str, test: str, reference: str) -> tuple[str, str, str, str]:
    other, _, row = reference.rpartition("/")
    return data, other or reading, test, row.replace("_", " ")


def _order(item: tuple[tuple, Any]) -> tuple:
    (data, reading, test, name), cells = item
    about = next(iter(cells.values()))["cell"]
    place = -float({None: "1", LOWEST: "0"}.get(about["budget"], about["budget"]))
    length = int(re.match(r"\d*", reading).group() or 0)
    ranks = ORDER.index(about["kind"]), TEACHERS.index(about["teacher"] or "none")
    return data, length, reading, test != "test", test, *ranks, place


def _functions(test: dict[str, Any]) -> dict[str, int]:
    return {"functions": len(test["labels"]), "positives": int(sum(test["labels"]))}


def _arrays(cell: dict[str, Any], test: str) -> tuple[np.ndarray, np.ndarray, float]:
    own = cell["tests"][test]
    return np.array(own["labels"]), np.array(own["probabilities"]), cell["threshold"]


def measures_of(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    """The measures of one cell on one test, each from 0 to 1 (mcc: from -1)."""
    return score_metrics(scores, scores > threshold, labels)


def _measures(cells: dict[int, dict], test: str) -> dict[str, list[float]]:
    """The values of each measure, one for each seed."""
    each = [measures_of(*_arrays(cell, test)) for cell in cells.values()]
    return {name: [one[name] for one in each] for name in MEASURES if all(name in one for one in each)}


def _computed(cells: dict[int, dict], test: str) -> dict[str, Any]:
    """FLOPs, tokens by layer, speed, line measures, and what is found by length."""
    tests = [cell["tests"][test] for cell in cells.values()]
    row: dict[str, Any] = {
        name: _spread([one[name] for one in tests]) for name in FIGURES if all(name in one for one in tests)
    }
    budgets = [cell["about"]["budget"] for cell in cells.values() if "budget" in cell["about"]]
    if budgets:
        row["asked_flops"] = float(np.mean(budgets))
    if all("tokens_kept_per_layer" in one for one in tests):
        row["tokens_per_layer"] = np.mean([one["tokens_kept_per_layer"] for one in tests], axis=0).round(1).tolist()
    speeds = [cell["speed"] for cell in cells.values() if "speed" in cell]
    if speeds and test == "test":  # the speed is measured on this test
        row |= {name: _spread([one[name] for one in speeds]) for name in SPEEDS}
    training = {
        "training_seconds": [cell["about"].get("training_seconds") for cell in cells.values()],
        "training_tokens": [cell.get("training_tokens") for cell in cells.values()],
    }
    row |= {name: _spread(own) for name, own in training.items() if None not in own}
    lines = [one["lines"] for one in tests if one.get("lines")]
    for method in dict.fromkeys(name for one in lines for name in one):
        own = [one[method] for one in lines if method in one]
        names = [name for name in own[0] if name != "functions" and all(one.get(name) is not None for one in own)]
        row.setdefault("lines", {})[method] = {name: _spread([one[name] for one in own]) for name in names}
    lengths = next((one["lengths"] for one in tests if "lengths" in one), None)
    if lengths is not None:
        row["recall_by_length"] = _by_length(cells, test, np.array(lengths))
    return row


def _by_length(cells: dict[int, dict], test: str, lengths: np.ndarray) -> dict[str, dict[str, float]]:
    """The share of the functions of class 1 that is found, by length in tokens: mean over seeds."""
    groups: dict[str, dict[str, Any]] = {}
    for cell in cells.values():
        labels, scores, threshold = _arrays(cell, test)
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


def _compared(cells: dict[int, dict], others: dict[int, dict], test: str, draws: int, where: str) -> dict[str, Any]:
    """The differences to the reference, and the share of what it finds that is found, too."""
    differences: dict[str, list[np.ndarray]] = {}
    points: dict[str, list[float]] = {}
    found = []
    for seed in sorted(set(cells) & set(others)):
        (labels, scores, threshold), (theirs, other, their_threshold) = (
            _arrays(one[seed], test) for one in (cells, others)
        )
        if len(labels) != len(theirs) or (labels != theirs).any():
            raise UserError(f"{where}: its cells were measured on other functions than those of the reference")
        pairs = cells[seed]["tests"][test].get("pairs")
        pairs = None if pairs is None else np.array(pairs, dtype=object)
        drawn = [
            resampled_measures(values, values > limit, labels, pairs, draws, SEED)
            for values, limit in ((scores, threshold), (other, their_threshold))
        ]
        own, reference = measures_of(labels, scores, threshold), measures_of(labels, other, their_threshold)
        for name in COMPARED:
            if name in own and name in reference:
                differences.setdefault(name, []).append(drawn[0][name] - drawn[1][name])
                points.setdefault(name, []).append(own[name] - reference[name])
        hits = (labels == 1) & (other > their_threshold)
        if hits.any():
            found.append(float((scores > threshold)[hits].mean()))
    compared = {}
    for name, values in differences.items():
        bounds = interval(np.mean(values, axis=0))
        compared[name] = {"mean": float(np.mean(points[name]))} | dict(zip(("low", "high"), bounds or (None, None)))
    return {"differences": compared} | ({"found_of_reference": _spread(found)} if found else {})


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "min": float(min(values)), "max": float(max(values))}


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row for the CSV file: a column for each number."""
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            cells |= {f"{name}_{key}": inner for key, inner in flat(value).items()}
        else:
            cells[name] = " ".join(map(str, value)) if isinstance(value, list) else value
    return cells


def markdown(rows: list[dict[str, Any]], reference: str) -> list[str]:
    """The tables of each data set, reading and test as Markdown, measures in percent."""
    parts = []
    for key in dict.fromkeys((row["data"], row["reading"], row["test"]) for row in rows):
        own = [row for row in rows if (row["data"], row["reading"], row["test"]) == key]
        first = own[0]
        parts.append(f"## {key[0]}, {key[1]} tokens, {key[2]}")
        parts.append(
            f"{first['functions']} functions, {first['positives']} of class 1. Mean over seeds [lowest, highest]; "
            f"differences to {reference} with 95 % interval."
        )
        parts.append(format_table([_shown(row) for row in own], markdown=True))
        parts.append(format_table([_shown_compute(row) for row in own], markdown=True))
    return parts


def _shown(row: dict[str, Any]) -> dict[str, str]:
    differences = row.get("differences", {})
    cells = {"row": row["row"], "seeds": str(len(row["seeds"])), "FLOPs": _three(row.get("relative_flops"))}
    for name, title in (("f1", "F1"), ("auc", "AUC"), ("mcc", "MCC"), ("pr_auc", "PR-AUC"), ("vd_s_0.5", "VD-S")):
        cells[title] = _percent(row.get(name))
        if name in ("f1", "auc"):
            cells[f"{title} difference"] = _difference(differences.get(name))
    cells["recall"] = _percent(row.get("recall"))
    return cells | {"found of reference": _percent(row.get("found_of_reference"))}


def _shown_compute(row: dict[str, Any]) -> dict[str, str]:
    cells = {
        "row": row["row"],
        "functions/s": f"{row['functions_per_second']['mean']:.1f}" if "functions_per_second" in row else "-",
        "speedup": f"{row['speedup']['mean']:.2f}" if "speedup" in row else "-",
        "tokens by layer": " ".join(f"{count:.0f}" for count in row.get("tokens_per_layer", [])) or "-",
        "extraction FLOPs": _three(row.get("extraction_relative_flops")),
        "training tokens": f"{row['training_tokens']['mean'] / 1e6:.2f} M" if "training_tokens" in row else "-",
        "training seconds": f"{row['training_seconds']['mean']:.0f}" if "training_seconds" in row else "-",
    }
    titles = {"layers_survived": "survival", "gradient_x_input": "gradient", "relevance": "relevance"}
    for method, title in titles.items():
        own = row.get("lines", {}).get(method, {})
        cells[f"{title}: token AUC"] = _percent(own.get("token_auc"), spread=False)
        cells[f"{title}: Top-10"] = _percent(own.get("line_top_10_any"), spread=False)
        cells[f"{title}: IFA"] = f"{own['line_ifa_mean']['mean']:.1f}" if "line_ifa_mean" in own else "-"
    for name, own in row.get("recall_by_length", {}).items():
        cells[f"found, {name} tokens"] = f"{100 * own['recall']:.1f} of {own['positives']}"
    return cells


def _percent(value: dict[str, float] | None, spread: bool = True) -> str:
    if value is None:
        return "-"
    mean = f"{100 * value['mean']:.1f}"
    return f"{mean} [{100 * value['min']:.1f}, {100 * value['max']:.1f}]" if spread else mean


def _three(value: dict[str, float] | None) -> str:
    return "-" if value is None else f"{value['mean']:.3f}"


def _difference(value: dict[str, float | None] | None) -> str:
    if value is None or value["low"] is None:
        return "-"
    return f"{100 * value['mean']:+.1f} [{100 * value['low']:+.1f}, {100 * value['high']:+.1f}]"
