"""What pruning left of a function, layer by layer: as terminal text, as one HTML page, as a figure.

Rendering only: a [`FunctionTrace`] holds the tokens and what the model said about each; nothing here runs a model.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from string import Template

import numpy as np

TEMPLATE = Path(__file__).with_name("visualise_template.html")
TAB = "    "
BAR_WIDTH = 24
# 256-colour codes legible on dark and on light ground, for tokens that left early (first) to late (last).
RAMP = (245, 67, 32, 37, 71, 136, 166, 161)
STAYS = "1;38;5;16;48;5;220"


@dataclass
class FunctionTrace:
    """
    One function and what became of its `n` tokens in `L` layers.

    Args:
        name: where it stands, for headings.
        source: its text as the data file has it.
        tokens: `n` token strings of the tokenizer, special tokens included.
        offsets: `[n, 2]` int, each token's span of characters in `source`.
        is_text: `[n]` bool, False for the special tokens the tokenizer added.
        kept: `[L, n]` bool, alive after the layer.
        scores: `[L, n]` float, importance in the layer; NaN where the token was gone or the layer does not prune.
        thresholds: `[L]` float; a token leaves if its score is below.
        label: the true class.
        probabilities: one per class.
        finding_lines: lines of `source`, the first is 1, that the data set says the label comes from.
        decision_threshold: probability above which class 1 is predicted; None: the more probable class.
        unread: spans of characters before the last token that the model was not given.
    """

    name: str
    source: str
    tokens: list[str]
    offsets: np.ndarray
    is_text: np.ndarray
    kept: np.ndarray
    scores: np.ndarray
    thresholds: np.ndarray
    label: int
    probabilities: list[float]
    finding_lines: tuple[int, ...] = ()
    decision_threshold: float | None = None
    unread: tuple[tuple[int, int], ...] = ()
    alive_until: np.ndarray = field(init=False)  # [n] int: layers survived, 0 to L
    read_to: int = field(init=False)  # characters the model was given

    def __post_init__(self) -> None:
        self.alive_until = self.kept.sum(axis=0)
        self.read_to = int(self.offsets[self.is_text, 1].max(initial=0))
        if not self.source[self.read_to :].strip():
            self.read_to = len(self.source)

    @property
    def num_layers(self) -> int:
        return len(self.kept)

    @property
    def prediction(self) -> int:
        if self.decision_threshold is None:
            return int(np.argmax(self.probabilities))
        return int(self.probabilities[1] > self.decision_threshold)

    @property
    def alive(self) -> list[int]:
        """Tokens alive before layer 1 and after each layer, `L + 1` counts."""
        return [len(self.tokens), *self.kept.sum(axis=1).tolist()]

    @property
    def token_lines(self) -> np.ndarray:
        """`[n]` int, the line of `source` (the first is 1) on which each token starts; 0 for special tokens."""
        ends = np.array([i for i, char in enumerate(self.source) if char == "\n"])
        return np.where(self.is_text, 1 + np.searchsorted(ends, self.offsets[:, 0]), 0)

    def text(self, token: int) -> str:
        """What a token stands for, on one line; the token itself where it is a special one."""
        if not self.is_text[token]:
            return self.tokens[token]
        text = printable(self.source[slice(*self.offsets[token])])
        return text.replace("\n", "\\n").replace("\t", "\\t").strip(" ") or "(space)"

    def fate(self, token: int) -> str:
        """`"stays"` or `"leaves in layer 3"`."""
        survived = int(self.alive_until[token])
        return "stays" if survived == self.num_layers else f"leaves in layer {survived + 1}"

    def score_range(self, layer: int) -> str:
        """Smallest, median and largest score in a layer (0-based)."""
        scores = self.scores[layer][~np.isnan(self.scores[layer])]
        if not len(scores):
            return "none: this layer does not prune"
        return " / ".join(f"{value:.2g}" for value in (scores.min(), np.median(scores), scores.max()))

    def findings(self) -> str:
        """How much is kept on the finding lines and elsewhere; `""` without finding lines."""
        if not self.finding_lines:
            return ""
        stays = self.alive_until == self.num_layers
        on = np.isin(self.token_lines, self.finding_lines)
        off = self.is_text & ~on
        lines = f"line{'s' if len(self.finding_lines) > 1 else ''} {', '.join(map(str, self.finding_lines[:8]))}"
        if len(self.finding_lines) > 8:
            lines += f" and {len(self.finding_lines) - 8} more"
        if not on.any():
            return f"finding {lines}: beyond what the model read"
        elsewhere = f"elsewhere {stays[off].sum()} of {off.sum()}{_share(stays[off])}"
        return f"finding {lines}: {stays[on].sum()} of {on.sum()} tokens kept{_share(stays[on])}, {elsewhere}"

    def specials(self) -> str:
        """What became of the special tokens."""
        return ", ".join(f"{self.tokens[i]} {self.fate(i)}" for i in np.flatnonzero(~self.is_text))

    def unread_notes(self) -> list[str]:
        """What of the source the model was not given, in words."""
        notes = [
            f"the model did not read {f'characters {begin + 1} to {end}' if begin else f'the first {end} characters'}"
            for begin, end in self.unread
        ]
        left = len(self.source) - self.read_to
        return notes + ([f"the model did not read the last {left} characters"] if left else [])

    def verdict(self) -> str:
        mark = "right" if self.prediction == self.label else "WRONG"
        probability = self.probabilities[self.prediction]
        return f"predicted {self.prediction} (probability {probability:.3f}), label {self.label}: {mark}"


def _share(mask: np.ndarray) -> str:
    return f" ({mask.mean():.1%})" if len(mask) else ""


def printable(text: str) -> str:
    """
    `text` with what a terminal would act on, or no reader would see (control, format and surrogate characters), as
    escapes: `"\\x1b[2J"` becomes `"\\\\x1b[2J"`. Newlines and tabs stay.
    """
    return "".join(
        char.encode("unicode_escape").decode()
        if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        else char
        for char in text
    )


def source_lines(trace: FunctionTrace) -> list[list[tuple[str, int | None]]]:
    """
    The text the model read, as lines of pieces `(printable text, token)`; `None` for text of no token. A newline that
    belongs to a token is a last piece `"\\n"` of its line. A character that several tokens share (parts of one outside
    ASCII) goes to the one that lived longest.
    """
    owner = np.full(trace.read_to, -1)
    for token in np.argsort(trace.alive_until, kind="stable"):
        owner[slice(*trace.offsets[token])] = token
    lines: list[list[tuple[str, int | None]]] = [[]]
    text = trace.source[: trace.read_to].replace("\r\n", " \n")  # as long as before: offsets stay true
    for token, characters in groupby(range(len(text)), key=owner.__getitem__):
        token = None if token < 0 else int(token)
        span = "".join(text[i] for i in characters)
        for i, part in enumerate(span.split("\n")):
            if i:
                if token is not None:
                    lines[-1].append(("\n", token))
                lines.append([])
            if part:
                lines[-1].append((printable(part).replace("\t", TAB), token))
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    return lines


class TerminalView:
    """
    Terminal text of a trace.

    Args:
        color: whether to use SGR colour codes; without them dropped tokens are shown as dots.
        max_lines: source lines shown in each view, 0 for all.
    """

    def __init__(self, color: bool, max_lines: int = 0):
        self.color = color
        self.max_lines = max_lines

    def _sgr(self, codes: str, text: str) -> str:
        return f"\x1b[{codes}m{text}\x1b[0m" if self.color and text else text

    def _ink(self, codes: str, text: str) -> str:
        """`_sgr` from the first to the last visible character: no struck or coloured indentation."""
        return re.sub(r"\S(.*\S)?", lambda match: self._sgr(codes, match[0]), text)

    def _source(self, trace: FunctionTrace, paint: Callable[[str, int], str], alive: np.ndarray | None = None) -> str:
        """
        Numbered source lines, each piece of a token through `paint(text, token)`; `>` marks finding lines. With
        `alive` (`[n]` bool), several lines in a row that hold no such token are one.
        """
        out = []
        numbered = enumerate(source_lines(trace), start=1)
        for quiet, group in groupby(
            numbered, lambda item: alive is not None and not any(t is not None and alive[t] for _, t in item[1])
        ):
            lines = list(group)
            if quiet and len(lines) > 1:
                out.append(self._note(f"lines {lines[0][0]}-{lines[-1][0]}: nothing alive"))
                continue
            for number, line in lines:
                gutter = f"{'>' if number in trace.finding_lines else ' '}{number:>4} | "
                painted = (text if token is None else paint(text, token) for text, token in line if text != "\n")
                out.append(self._sgr("2", gutter) + "".join(painted).rstrip(" "))
        if 0 < self.max_lines < len(out):
            out[self.max_lines :] = [self._note(f"{len(out) - self.max_lines} more; --max_lines 0 prints all")]
        out += map(self._note, trace.unread_notes())
        return "\n".join(out)

    def _note(self, text: str) -> str:
        return self._sgr("2", f"       ({text})")

    def _ramp(self, survived: int, num_layers: int) -> str:
        if survived == num_layers:
            return STAYS
        return f"38;5;{RAMP[round(survived * (len(RAMP) - 1) / max(1, num_layers - 1))]}"

    def overview(self, trace: FunctionTrace) -> str:
        """Every token coloured by the layer it survived to, under a legend; `""` without colour."""
        if not self.color:
            return ""
        num_layers = trace.num_layers
        chips = " ".join(self._sgr(self._ramp(k, num_layers), str(k + 1)) for k in range(num_layers))
        legend = f"  each token by the layer it leaves in: {chips} {self._sgr(STAYS, 'stays')}\n"
        return legend + self._source(
            trace, lambda text, token: self._ink(self._ramp(int(trace.alive_until[token]), num_layers), text)
        )

    def layer(self, trace: FunctionTrace, layer: int) -> str:
        """The source after a layer (0-based): what left in it struck out, what left before dim (dots: no colour)."""

        def paint(text: str, token: int) -> str:
            if trace.kept[layer, token]:
                return text
            if not self.color:
                return re.sub(r"\S", "·", text)
            return self._ink("31;9" if layer == 0 or trace.kept[layer - 1, token] else "2;9", text)

        alive = trace.alive
        title = f"  after layer {layer + 1}: {alive[layer + 1]} of {alive[0]} tokens alive"
        return self._sgr("1", title) + "\n" + self._source(trace, paint, trace.kept[layer])

    def table(self, trace: FunctionTrace) -> str:
        """One line a layer: tokens alive, how many left, threshold, range of scores."""
        alive = trace.alive
        width = len(str(alive[0]))
        heads = f"{'tokens alive after it':<{BAR_WIDTH + 1 + width}}  {'left':>{max(4, width)}}  threshold"
        out = [f"  layer  {heads}  scores: min / median / max"]
        for layer, (before, after) in enumerate(zip(alive, alive[1:], strict=False)):
            full = round(after / alive[0] * BAR_WIDTH) or int(after > 0)
            bar = self._sgr("32", "█" * full) + self._sgr("2", "░" * (BAR_WIDTH - full))
            out.append(
                f"  {layer + 1:>5}  {bar} {after:>{width}}  {before - after:>{max(4, width)}}  "
                f"{trace.thresholds[layer]:>9.3g}  {trace.score_range(layer)}"
            )
        return "\n".join(out)

    def function(self, trace: FunctionTrace) -> str:
        """Everything about a function: heading, table, overview, then each layer in which something left."""
        verdict = self._sgr("32" if trace.prediction == trace.label else "31;1", trace.verdict())
        alive = trace.alive
        parts = [
            self._sgr("1", f"== {printable(trace.name)} ==") + f"  {verdict}",
            f"  {alive[0]} tokens, {alive[-1]} left at the end ({alive[-1] / alive[0]:.1%}); {trace.specials()}",
            f"  {trace.findings()} (marked >)" if trace.finding_lines else "",
            self.table(trace),
            self.overview(trace),
            *(self.layer(trace, k) for k in range(trace.num_layers) if alive[k + 1] < alive[k]),
        ]
        return "\n".join(part for part in parts if part) + "\n"


def _tooltip(trace: FunctionTrace, token: int) -> str:
    """A token's text, place and fate, then its score in each layer it entered."""
    lines = [f"{trace.text(token)}  (token {token}): {trace.fate(token)}"]
    for layer in range(min(int(trace.alive_until[token]) + 1, trace.num_layers)):
        score, threshold = trace.scores[layer, token], trace.thresholds[layer]
        if not np.isnan(score):
            lines.append(f"layer {layer + 1}: score {score:.3g}, threshold {threshold:.3g}")
    return "\n".join(lines)


def _token_span(trace: FunctionTrace, text: str, token: int) -> str:
    """`data-a`: layers survived; `data-left`: the layer it left in, if any; `data-s`: score per layer entered."""
    survived = int(trace.alive_until[token])
    left = f' data-left="{survived + 1}"' if survived < trace.num_layers else ""
    entered = trace.scores[: survived + 1, token]
    scores = " ".join(f"{score:.3g}" for score in entered)
    shape = " nl" if text == "\n" else " special" if not trace.is_text[token] else " space" if text.isspace() else ""
    shown = "↵" if text == "\n" else text
    return (
        f'<span class="t a{survived}{shape}" data-a="{survived}"{left} data-s="{scores}" '
        f'title="{html.escape(_tooltip(trace, token))}">{html.escape(shown)}</span>'
    )


def _html_function(trace: FunctionTrace, number: int) -> str:
    alive = trace.alive
    rows = "".join(
        f'<tr data-l="{layer + 1}"><td>{layer + 1}</td>'
        f'<td class="bar"><i style="width:{after / alive[0]:.2%}"></i></td>'
        f"<td>{after}</td><td>{before - after}</td><td>{trace.thresholds[layer]:.3g}</td>"
        f"<td>{trace.score_range(layer)}</td></tr>"
        for layer, (before, after) in enumerate(zip(alive, alive[1:], strict=False))
    )
    body = []
    for line_number, line in enumerate(source_lines(trace), start=1):
        pieces = (html.escape(text) if token is None else _token_span(trace, text, token) for text, token in line)
        finding = " finding" if line_number in trace.finding_lines else ""
        body.append(f'<div class="line{finding}" data-n="{line_number}">{"".join(pieces)}</div>')
    specials = "".join(_token_span(trace, trace.tokens[i], i) for i in np.flatnonzero(~trace.is_text))
    notes = [
        f"{alive[0]} tokens, {alive[-1]} left at the end ({alive[-1] / alive[0]:.1%})",
        trace.findings(),
        *trace.unread_notes(),
    ]
    verdict = "right" if trace.prediction == trace.label else "wrong"
    return (
        f'<section id="f{number}"><h2>{html.escape(printable(trace.name))} '
        f'<small class="{verdict}">{html.escape(trace.verdict())}</small></h2>'
        f"<p>{html.escape('; '.join(note for note in notes if note))}</p>"
        '<div class="scroll"><table><thead><tr><th>layer</th><th>alive after it</th><th>tokens</th><th>left</th>'
        f"<th>threshold</th><th>scores: min / median / max</th></tr></thead><tbody>{rows}</tbody></table></div>"
        f'<p class="specials">special tokens: {specials}</p><div class="code">{"".join(body)}</div></section>'
    )


def html_page(traces: list[FunctionTrace], title: str) -> str:
    """One self-contained page for all `traces`, which come from one model; `title` names it."""
    num_layers = traces[0].num_layers
    palette = "".join(
        f".map .a{k}{{background:hsl({250 - 170 * k / num_layers:.0f} 90% 50%/{0.16 + 0.2 * k / num_layers:.2f})}}"
        for k in range(1, num_layers)
    )
    steps = "".join(f'<button data-step="{k}">{k or "input"}</button>' for k in range(num_layers + 1))
    legend = "".join(f'<span class="a{k}">{k + 1}</span>' for k in range(num_layers))
    names = [html.escape(f"{printable(trace.name)}: label {trace.label}") for trace in traces]
    links = "".join(f'<a href="#f{i}">{name}</a>' for i, name in enumerate(names))
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(printable(title)),
        palette=palette + f".map .a{num_layers}{{background:hsl(38 100% 50%/.6);font-weight:700}}",
        steps=steps,
        legend=f'{legend}<span class="a{num_layers}">stays</span>',
        links=links,
        functions="\n".join(_html_function(trace, i) for i, trace in enumerate(traces)),
    )


def save_figure(path: str | Path, alive: np.ndarray, trace: FunctionTrace) -> None:
    """
    Two panels as PNG: tokens alive after each layer over many functions, and one function's importance.

    Args:
        alive: `[functions, L + 1]`, share of each function's tokens alive before layer 1 and after each layer.
        trace: the function of the heat map, token x layer.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(15, 5), width_ratios=(1, 2.4), layout="constrained", facecolor="white"
    )
    _draw_alive(left, alive)
    image = _draw_importance(right, trace)
    if image is not None:
        figure.colorbar(image, ax=right, label="importance (log scale)", pad=0.01)
    figure.savefig(path, dpi=150, format="png")
    plt.close(figure)


def _draw_alive(axes, alive: np.ndarray) -> None:
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


def _draw_importance(axes, trace: FunctionTrace):
    """Heat map of `trace.scores`, grey where a token is gone and dotted where it leaves; the image, or None."""
    from matplotlib.colors import LogNorm

    scores = np.ma.masked_invalid(trace.scores)
    axes.set(
        title=f"Importance of each token in {_ascii(printable(trace.name))}\n{trace.verdict()}",
        ylabel="layer",
        yticks=range(trace.num_layers),
        yticklabels=range(1, trace.num_layers + 1),
        facecolor="0.88",
    )
    axes.title.set_parse_math(False)
    if not scores.count():
        axes.text(0.5, 0.5, "no layer prunes", ha="center", transform=axes.transAxes)
        return None
    top = float(scores.max())
    low = max(float(np.percentile(scores.compressed(), 1)), top * 1e-6)
    image = axes.imshow(
        np.ma.maximum(scores, low), aspect="auto", interpolation="nearest", cmap="viridis", norm=LogNorm(low, top)
    )
    leaves_in, tokens = np.nonzero(~trace.kept & ~np.isnan(trace.scores))
    axes.scatter(tokens, leaves_in, s=7, color="red", marker="x", linewidths=0.8)
    _label_tokens(axes, trace)
    return image


def _ascii(text: str) -> str:
    """Escapes what the figure's font may not have."""
    return text.encode("ascii", "backslashreplace").decode()


def _label_tokens(axes, trace: FunctionTrace) -> None:
    """Below the heat map: the tokens where there is room, else the first token of some source lines."""
    if len(trace.tokens) <= 90:
        texts = [_ascii(trace.text(token))[:14] for token in range(len(trace.tokens))]
        axes.set_xticks(range(len(texts)), texts, rotation=90, fontsize=7, family="monospace", parse_math=False)
        axes.set_xlabel("token (red cross: leaves in this layer; grey: gone)")
        return
    lines, first = np.unique(trace.token_lines, return_index=True)
    first = first[lines > 0]
    lines = lines[lines > 0]
    step = max(1, len(lines) // 30)
    axes.set_xticks(first[::step], lines[::step], fontsize=8)
    axes.set_xlabel("token, by source line (red cross: leaves in this layer; grey: gone)")
