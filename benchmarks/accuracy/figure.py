"""Draws relative FLOPs against F1 and AUC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.accuracy.cells import DENSE, EXTRACTED, EXTRACTED_RANDOM, LEARNED, Row
from benchmarks.accuracy.settings import TEACHERS, UNPRUNED
from benchmarks.common import save_figure

MARKS = {
    UNPRUNED: "*", "random": "x", "topk": "^", "fixed": "s", "truncation": "v", "first_layer": "P",
    "first_layer_attention": "p", "first_layer_magnitude": "H", "first_layer_untaught": "h", "random_first_layer": "X",
}  # fmt: skip
MARKS |= {EXTRACTED: "D", EXTRACTED_RANDOM: "d", DENSE: "o"}
LABELS = {teacher: f"learned, taught by {teacher}" for teacher in TEACHERS} | {"none": "learned"}


def draw(path: Path, rows: list[dict[str, Any]]) -> None:
    """A line of two plots for each data set, reading and test. Bands and bars are the range over seeds."""
    from matplotlib.figure import Figure

    keys = list(dict.fromkeys((row["data"], row["reading"], row["test"]) for row in rows))
    figure = Figure(figsize=(11, 3.6 * len(keys)), layout="constrained")
    grid = figure.subplots(len(keys), 2, squeeze=False)
    for key, line in zip(keys, grid, strict=True):
        own = [row for row in rows if (row["data"], row["reading"], row["test"]) == key]
        for axes, (measure, title) in zip(line, (("f1", "F1"), ("auc", "AUC")), strict=True):
            plot_measure(axes, [row for row in own if measure in row], measure)
            axes.set(xlabel="executed relative FLOPs", ylabel=title, title=f"{key[0]}, {key[1]} tokens, {key[2]}")
        line[0].legend(fontsize="x-small")
    save_figure(path, figure)


def plot_measure(axes: Any, rows: list[dict[str, Any]], measure: str) -> None:
    """Plots a measure of the rows of one test over their relative FLOPs. Bands and bars are the range over seeds."""
    unpruned = [row for row in rows if row["kind"] == UNPRUNED]
    for teacher, label in LABELS.items():
        own = [row for row in rows if row["kind"] == LEARNED and (row["teacher"] or "none") == teacher]
        line = sorted(own + (unpruned if own else []), key=lambda row: row["relative_flops"]["mean"])
        if line:
            flops = [row["relative_flops"]["mean"] for row in line]
            (drawn,) = axes.plot(flops, [row[measure]["mean"] for row in line], "o-", markersize=4, label=label)
            low, high = ([row[measure][end] for row in line] for end in ("min", "max"))
            axes.fill_between(flops, low, high, color=drawn.get_color(), alpha=0.15)
    others = {row["row"]: _way(row) for row in rows if row["kind"] != LEARNED}
    for way in dict.fromkeys(others.values()):
        own = [row for row in rows if others.get(row["row"]) == way]
        if "relative_flops" not in own[0]:
            axes.axhline(own[0][measure]["mean"], color="grey", linestyle=":", label=way)
            continue
        means = [row[measure]["mean"] for row in own]
        bars = [[abs(row[measure][end] - row[measure]["mean"]) for row in own] for end in ("min", "max")]
        flops = [row["relative_flops"]["mean"] for row in own]
        axes.errorbar(flops, means, bars, fmt=MARKS.get(way, "D"), color="black", linewidth=0.8, label=way)


def _way(row: dict[str, Any]) -> str:
    return Row(row["kind"], row["budget"], row["teacher"] or "none").way
