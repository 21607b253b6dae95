"""Draws what a pruned model keeps: tokens alive in each layer over many functions, and the scores of one function."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ltp_pipeline.view.trace import FunctionTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

MAX_TOKENS_NAMED = 90
MAX_LINES_NAMED = 30
MAX_TOKEN_LENGTH = 14  # characters
NOTE_WIDTH = 190  # characters


def save_figure(path: str | Path, alive: np.ndarray, trace: FunctionTrace, note: str | None = None) -> None:
    """Writes `draw_figure` as a PNG file of 2250 x 750 pixels."""
    draw_figure(alive, trace, note).savefig(path, dpi=150, format="png")


def draw_figure(alive: np.ndarray, trace: FunctionTrace, note: str | None = None) -> Figure:
    """Two panels: tokens alive after each layer, and a heat map of the scores of one function.

    Args:
        alive: `[functions, L + 1]`, the share of tokens alive before the first layer and after each layer.
        trace: the function of the heat map.
        note: what it means that the model keeps a token, see `ranking_note`; it stands below the panels.
    """
    figure = Figure(figsize=(15, 5), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2.4))
    if note:
        figure.supxlabel(fill(note, NOTE_WIDTH), x=0.005, ha="left", fontsize=9)
    _draw_alive(left, alive)
    image = _draw_scores(right, trace)
    if image is not None:
        figure.colorbar(image, ax=right, label="score (log scale)", pad=0.01)
    return figure


def _draw_alive(axes: Axes, alive: np.ndarray) -> None:
    layers = np.arange(alive.shape[1])
    low, median, high = 100 * np.percentile(alive, (25, 50, 75), axis=0)
    axes.fill_between(layers, low, high, alpha=0.25, linewidth=0, label="quartiles")
    axes.plot(layers, median, marker="o", label="median")
    for x, y in zip(layers, median, strict=True):
        axes.annotate(f"{y:.0f}", (x, y), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=9)
    axes.set(
        title=f"Tokens alive, {len(alive)} function{'s' if len(alive) != 1 else ''}",
        xlabel="after layer (0: input)",
        ylabel="% of the function's tokens",
        ylim=(0, 108),
        xticks=layers,
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="best")


def _draw_scores(axes: Axes, trace: FunctionTrace) -> AxesImage | None:
    """Draws a heat map of layers and tokens. If no layer has scores, draws a sentence instead and returns None."""
    scores = np.ma.masked_invalid(trace.scores)
    axes.set(
        title=f"Score of each token in {_as_ascii(trace.heading())}\n{trace.verdict()}",
        ylabel="layer",
        yticks=range(trace.num_layers),
        yticklabels=range(1, trace.num_layers + 1),
        facecolor="0.88",
    )
    axes.title.set_parse_math(False)
    if not scores.count():
        axes.text(0.5, 0.5, "no layer prunes", ha="center", transform=axes.transAxes)
        return None
    top = max(float(scores.max()), 1e-30)  # a logarithmic scale has no zero
    low = max(float(np.percentile(scores.compressed(), 1)), top * 1e-6)
    image = axes.imshow(
        np.ma.maximum(scores, low), aspect="auto", interpolation="nearest", cmap="viridis", norm=LogNorm(low, top)
    )
    layers, tokens = np.nonzero(~trace.kept & ~np.isnan(trace.scores))
    axes.scatter(tokens, layers, s=7, color="red", marker="x", linewidths=0.8)
    _name_tokens(axes, trace)
    return image


def _name_tokens(axes: Axes, trace: FunctionTrace) -> None:
    """Labels the axis of the heat map: with every token of a short function, else with some source lines."""
    legend = "(red cross: removed by this layer; grey: removed before)"
    if len(trace.tokens) <= MAX_TOKENS_NAMED:
        texts = [_as_ascii(trace.text(token))[:MAX_TOKEN_LENGTH] for token in range(len(trace.tokens))]
        axes.set_xticks(range(len(texts)), texts, rotation=90, fontsize=7, family="monospace", parse_math=False)
        axes.set_xlabel(f"token {legend}")
        return
    lines, first = np.unique(trace.token_lines, return_index=True)
    first = first[lines > 0]
    lines = lines[lines > 0]
    step = max(1, len(lines) // MAX_LINES_NAMED)
    axes.set_xticks(first[::step], lines[::step], fontsize=8)
    axes.set_xlabel(f"token, by source line {legend}")


def _as_ascii(text: str) -> str:
    """Escapes characters that the font of the figure may lack."""
    return text.encode("ascii", "backslashreplace").decode()
