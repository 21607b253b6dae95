"""Shows in a terminal, layer by layer, which tokens of a function a pruned model keeps."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby

import numpy as np

from ltp_pipeline.view.trace import FunctionTrace, source_lines

BAR_WIDTH = 24
# Parameters of SGR, the escape codes for colours.
# 256-colour codes, readable on dark and on light backgrounds, for tokens removed in the first to the last layer.
REMOVED_IN = (245, 67, 32, 37, 71, 136, 166, 161)
KEPT = "1;38;5;16;48;5;220"
REMOVED_NOW = "31;9"
REMOVED_BEFORE = "2;9"
DIM = "2"


class TerminalView:
    """Formats a trace as terminal text.

    Args:
        color: whether to use colours; without them, dots stand for removed tokens.
        max_lines: maximum number of source lines in each view; 0: all.
    """

    def __init__(self, color: bool, max_lines: int = 0):
        self.color = color
        self.max_lines = max_lines

    def function(self, trace: FunctionTrace) -> str:
        """A heading, a table of the layers, an overview, and a view of each layer that removed tokens."""
        verdict = self._sgr({True: "32", False: "31;1", None: "1"}[trace.is_right], trace.verdict())
        parts = [
            self._sgr("1", f"== {trace.heading()} ==") + f"  {verdict}",
            f"  {trace.describe_kept()}; {trace.describe_special_tokens()}",
            f"  {trace.describe_flaws()}; flaw lines are marked >" if trace.flaw_lines else "",
            f"  {trace.describe_lines()}" if trace.describe_lines() else "",
            self.table(trace),
            self.overview(trace),
            *(self.layer(trace, number) for number, layer in enumerate(trace.layers()) if layer.removed),
        ]
        return "\n".join(part for part in parts if part) + "\n"

    def table(self, trace: FunctionTrace) -> str:
        """One line for each layer: tokens alive after it, tokens removed, threshold and range of the scores."""
        width = len(str(len(trace.tokens)))
        head = f"{'alive after the layer':<{BAR_WIDTH + 1 + width}}  {'removed':>{max(7, width)}}  threshold"
        out = [f"  layer  {head}  scores: min / median / max"]
        for number, layer in enumerate(trace.layers(), start=1):
            full = round(layer.share * BAR_WIDTH) or int(layer.alive > 0)
            bar = self._sgr("32", "█" * full) + self._sgr(DIM, "░" * (BAR_WIDTH - full))
            out.append(
                f"  {number:>5}  {bar} {layer.alive:>{width}}  {layer.removed:>{max(7, width)}}  "
                f"{layer.threshold:>9.3g}  {layer.scores}"
            )
        return "\n".join(out)

    def overview(self, trace: FunctionTrace) -> str:
        """The source with each token in the colour of the layer that removes it; "" if colours are off."""
        if not self.color:
            return ""
        colors = [_color_of(layers, trace.num_layers) for layers in range(trace.num_layers + 1)]
        chips = " ".join(self._sgr(color, str(layer)) for layer, color in enumerate(colors[:-1], start=1))
        legend = f"  colour of a token: the layer that removes it: {chips} {self._sgr(KEPT, 'kept')}\n"
        return legend + self._source(trace, lambda text, token: self._ink(colors[trace.alive_until[token]], text))

    def layer(self, trace: FunctionTrace, layer: int) -> str:
        """The source after `layer`, counted from 0. The tokens that the layer removed are struck through."""

        def paint(text: str, token: int) -> str:
            if trace.kept[layer, token]:
                return text
            if not self.color:
                return re.sub(r"\S", "·", text)
            return self._ink(REMOVED_NOW if layer == 0 or trace.kept[layer - 1, token] else REMOVED_BEFORE, text)

        alive = trace.alive
        title = self._sgr("1", f"  after layer {layer + 1}: {alive[layer + 1]} of {alive[0]} tokens alive")
        return f"{title}\n{self._source(trace, paint, alive=trace.kept[layer])}"

    def _sgr(self, codes: str, text: str) -> str:
        return f"\x1b[{codes}m{text}\x1b[0m" if self.color and text else text

    def _ink(self, codes: str, text: str) -> str:
        """Colours `text` from its first to its last visible character, so that indentation is not struck through."""
        return re.sub(r"\S(.*\S)?", lambda match: self._sgr(codes, match[0]), text)

    def _source(self, trace: FunctionTrace, paint: Callable[[str, int], str], alive: np.ndarray | None = None) -> str:
        """Numbered source lines.

        Args:
            paint: called with the text and the number of each token; returns what to print.
            alive: `[n]` bool; a note replaces neighbouring lines in which no token is alive. None: print all lines.
        """

        def is_empty(numbered_line: tuple[int, list[tuple[str, int | None]]]) -> bool:
            return alive is not None and not any(token is not None and alive[token] for _, token in numbered_line[1])

        out = []
        for empty, group in groupby(enumerate(source_lines(trace), start=1), is_empty):
            lines = list(group)
            if empty and len(lines) > 1:
                out.append(self._note(f"lines {lines[0][0]}-{lines[-1][0]}: no token alive"))
                continue
            for number, line in lines:
                gutter = f"{'>' if number in trace.flaw_lines else ' '}{number:>4} | "
                painted = (text if token is None else paint(text, token) for text, token in line if text != "\n")
                out.append(self._sgr(DIM, gutter) + "".join(painted).rstrip(" "))
        if 0 < self.max_lines < len(out):
            out[self.max_lines :] = [self._note(f"more lines: {len(out) - self.max_lines}; --max_lines 0 prints all")]
        return "\n".join([*out, *map(self._note, trace.describe_unread())])

    def _note(self, text: str) -> str:
        return self._sgr(DIM, f"       ({text})")


def _color_of(layers: int, num_layers: int) -> str:
    """SGR codes for a token that is alive after `layers` of `num_layers` layers."""
    if layers == num_layers:
        return KEPT
    return f"38;5;{REMOVED_IN[round(layers * (len(REMOVED_IN) - 1) / max(1, num_layers - 1))]}"
