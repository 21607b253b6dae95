"""The figures of docs/results.md. Each file says in its metadata of which numbers it was made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.accuracy.cells import ALL_CONTROLS, EXTRACTED, LEARNED, TWO_STAGES
from benchmarks.accuracy.figure import plot_measure
from benchmarks.accuracy.settings import UNPRUNED
from benchmarks.accuracy.shown import by_test
from benchmarks.results.lengths import LENGTHS, LOWEST, gflops_by_length
from benchmarks.results.stored import Store, digest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path("docs")
METADATA = "Numbers-SHA256"  # name of the text in a PNG file
VERSION = 1  # increase it when the drawing changes, so that the present figures count as out of date
PLOTTED = {"f1": "F1", "vd_s_0.5": "VD-S (lower is better)"}
BUDGET = "0.3"  # at which kinds of pruning are compared


class Drawing(NamedTuple):
    """A figure: the numbers that it shows, and how it is drawn."""

    numbers: Any
    draw: Callable[[Any], Figure]

    @property
    def digest(self) -> str:
        """SHA-256 of the numbers and of the version of the drawing."""
        return digest([VERSION, self.numbers])


def figures_of(store: Store) -> dict[Path, Drawing]:
    """The figures of the stored measurements, by their paths below the checkout."""
    found = {FOLDER / "results_length.png": Drawing(gflops_by_length(), _draw_lengths)}
    for name in store.names("measured"):
        rows = store.costs(name)["rows"]
        found[flops_figure(name)] = Drawing([_numbers(row, *PLOTTED) for row in rows], _draw_flops)
        found[tokens_figure(name)] = Drawing([_numbers(row, "tokens_per_layer") for row in rows], _draw_tokens)
    return found


def flops_figure(name: str) -> Path:
    """Where the figure of FLOPs against measures of a stored file is, below the checkout."""
    return FOLDER / f"results_{name}_flops.png"


def tokens_figure(name: str) -> Path:
    """Where the figure of tokens by layer of a stored file is, below the checkout."""
    return FOLDER / f"results_{name}_tokens.png"


def save(path: Path, drawing: Drawing) -> None:
    """Draws a figure into a file."""
    from benchmarks.common import save_figure

    save_figure(path, drawing.draw(drawing.numbers), {METADATA: drawing.digest})


def problem_of(path: Path, drawing: Drawing) -> str:
    """What is wrong with the file of a figure, in words; "" if nothing is."""
    from PIL import Image

    if not path.is_file():
        return "is missing"
    try:
        with Image.open(path) as image:
            found = getattr(image, "text", {}).get(METADATA)
    except OSError:
        return "is no image"
    return "" if found == drawing.digest else "was made of other numbers"


def _numbers(row: dict[str, Any], *names: str) -> dict[str, Any]:
    kept = ("data", "reading", "test", "row", "kind", "budget", "teacher", "relative_flops", *names)
    return {name: row[name] for name in kept if name in row}


def _draw_lengths(gflops: dict[str, tuple[float, ...]]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, values in gflops.items():
        axes.plot(LENGTHS, values, "o:" if name == LOWEST else "o-", markersize=3, label=name)
    axes.set(xscale="log", yscale="log", xlabel="tokens of a function", ylabel="GFLOPs of a function")
    axes.set_xticks(LENGTHS, [f"{length:,}" for length in LENGTHS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def _draw_flops(rows: list[dict[str, Any]]) -> Figure:
    """A line of plots for each test: F1 and VD-S over relative FLOPs."""
    from matplotlib.figure import Figure

    groups = by_test(rows)
    figure = Figure(figsize=(9, 2.9 * len(groups)), layout="constrained")
    for (key, own), line in zip(groups.items(), figure.subplots(len(groups), 2, squeeze=False), strict=True):
        for axes, (measure, title) in zip(line, PLOTTED.items(), strict=True):
            plot_measure(axes, [row for row in own if measure in row], measure)
            axes.set(xlabel="executed relative FLOPs", ylabel=title)
            axes.grid(alpha=0.3)
        line[0].set_title(f"{key[0]}, {key[1]} tokens, {key[2]}", fontsize="medium", loc="left")
        if not figure.legends:
            figure.legend(
                *line[0].get_legend_handles_labels(), fontsize="x-small", loc="outside upper center", ncols=5
            )
    return figure


def _draw_tokens(rows: list[dict[str, Any]]) -> Figure:
    """A line of plots for each data set, on its test: rows of one budget, and budgets of learned pruning."""
    from matplotlib.figure import Figure

    groups = {key: own for key, own in by_test(rows).items() if key[2] == "test"}
    figure = Figure(figsize=(9, 2.6 * len(groups)), layout="constrained")
    for (key, own), line in zip(groups.items(), figure.subplots(len(groups), 2, squeeze=False), strict=True):
        learned = [row for row in own if row["kind"] == LEARNED]
        budgets = dict.fromkeys(row["budget"] for row in own if row["kind"] in TWO_STAGES)
        budget = BUDGET if BUDGET in budgets else next(iter(budgets), None)
        kinds = (*TWO_STAGES, EXTRACTED, *ALL_CONTROLS)
        at_one = [row for row in own if row["kind"] in kinds and row["budget"] == budget]
        teacher = "relevance" if any(row["teacher"] == "relevance" for row in learned) else "none"
        at_all = [row for row in learned if (row["teacher"] or "none") == teacher]
        for axes, part in zip(line, (at_one, at_all), strict=True):
            for row in [row for row in own if row["kind"] == UNPRUNED] + part:
                if "tokens_per_layer" in row:
                    tokens = row["tokens_per_layer"]
                    axes.plot(range(1, len(tokens) + 1), tokens, "o-", markersize=3, label=row["row"])
            axes.set(xlabel="layer", ylabel="tokens", yscale="log")
            axes.grid(alpha=0.3)
            axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
        line[0].set_title(f"{key[0]}, {key[1]} tokens", fontsize="medium", loc="left")
    return figure
