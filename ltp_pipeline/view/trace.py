"""Records which layer of a pruned model removed each token of a function, and describes it in words.

The terminal view, the HTML page and the figures all show a [`FunctionTrace`].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from ltp_pipeline.task.decision import stored_threshold
from ltp_pipeline.task.tasks import has_labels
from ltp_pipeline.view.encode import FunctionTokens
from ltp_pipeline.view.escapes import TAB, on_one_line, printable
from ltp_pipeline.view.kept_tokens import PrunedFunction

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

    from transformer_revised import LTPForSequenceClassification

MAX_LINES_NAMED = 8
MAX_TOKEN_TEXT = 256  # characters


class LayerSummary(NamedTuple):
    """A line of the table of layers."""

    alive: int  # number of tokens alive after the layer
    removed: int  # number of tokens that the layer removed
    share: float  # share of the function's tokens alive after the layer
    threshold: float
    scores: str  # the smallest, median and largest score


@dataclass(repr=False)
class FunctionTrace:
    """One function, and which of its `n` tokens each of `L` layers removed."""

    name: str  # for headings
    source: str  # the text as in the data file
    tokens: list[str]  # [n] token strings of the tokenizer, special tokens included
    offsets: np.ndarray  # [n, 2] int, begin and end of each token in `source`, in characters
    is_text: np.ndarray  # [n] bool, False for the special tokens that the tokenizer added
    kept: np.ndarray  # [L, n] bool, which tokens are alive after each layer
    scores: np.ndarray  # [L, n] float; NaN: the token was removed before the layer, or the layer does not prune
    thresholds: np.ndarray  # [L] float; a layer removes tokens with a score below it; NaN: the layer has no threshold
    label: int | None  # the true class; None: unknown
    probabilities: list[float]  # one for each class
    flaw_lines: tuple[int, ...] = ()  # lines of `source`, from 1, that hold the flaw, in order; (): none known
    line_scores: np.ndarray | None = None  # float, of each line of `source`; -inf: not read; None: not computed
    decision_threshold: float | None = None  # predicts class 1 if its probability is above; None: the likeliest class
    origin: dict[str, str] = field(default_factory=dict)  # id, cwe, project, path and first_line, where they are known
    unread: tuple[tuple[int, int], ...] = ()  # begin and end of each gap of unread characters before `read_to`
    alive_until: np.ndarray = field(init=False)  # [n] int, the number of layers that kept the token, 0 to L
    read_to: int = field(init=False)  # number of characters up to the last one that the model read

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
        """The predicted class."""
        if self.decision_threshold is None:
            return int(np.argmax(self.probabilities))
        return int(self.probabilities[1] > self.decision_threshold)

    @property
    def is_right(self) -> bool | None:
        """Whether the prediction equals the label; None without a label."""
        return None if self.label is None else self.prediction == self.label

    @property
    def alive(self) -> list[int]:
        """Number of tokens alive before the first layer and after each layer, `L + 1` counts."""
        return [len(self.tokens), *self.kept.sum(axis=1).tolist()]

    @property
    def token_lines(self) -> np.ndarray:
        """`[n]` int, the line of `source` in which each token begins, counted from 1; 0 for special tokens."""
        ends = np.array([i for i, char in enumerate(self.source) if char == "\n"])
        return np.where(self.is_text, 1 + np.searchsorted(ends, self.offsets[:, 0]), 0)

    def text(self, token: int) -> str:
        """The printable text of a token, on one line; for a special token its name.

        It has at most about `MAX_TOKEN_TEXT` characters: each line that a token includes shows it.
        """
        if not self.is_text[token]:
            return on_one_line(self.tokens[token])
        begin, end = self.offsets[token]
        shown = on_one_line(self.source[begin : min(end, begin + MAX_TOKEN_TEXT)]).strip(" ") or "(space)"
        return f"{shown}..." if end - begin > MAX_TOKEN_TEXT else shown

    def heading(self) -> str:
        """The printable name, on one line."""
        return on_one_line(self.name)

    def fate(self, token: int) -> str:
        """`"kept"` or `"removed in layer 3"`."""
        layers = int(self.alive_until[token])
        return "kept" if layers == self.num_layers else f"removed in layer {layers + 1}"

    def scores_of(self, token: int) -> list[float]:
        """The score of a token in each layer up to the one that removes it; NaN for a layer that does not prune."""
        return self.scores[: self.alive_until[token] + 1, token].tolist()

    def layers(self) -> list[LayerSummary]:
        """A summary of each layer."""
        summaries = []
        for layer, (before, after) in enumerate(zip(self.alive, self.alive[1:], strict=False)):
            scores = self.scores[layer][~np.isnan(self.scores[layer])]
            text = "none: this layer does not prune"
            if len(scores):
                text = " / ".join(f"{value:.2g}" for value in (scores.min(), np.median(scores), scores.max()))
            summaries.append(LayerSummary(after, before - after, after / self.alive[0], self.thresholds[layer], text))
        return summaries

    def describe_kept(self) -> str:
        """Says how many tokens all layers keep."""
        first, *_, last = self.alive
        return f"{first} tokens, {last} kept by all layers ({last / first:.1%})"

    def describe_flaws(self) -> str:
        """Says how many tokens are kept in the flaw lines and in the others; "" if no flaw lines are known."""
        if not self.flaw_lines:
            return ""
        named = ", ".join(map(str, self.flaw_lines[:MAX_LINES_NAMED]))
        if len(self.flaw_lines) > MAX_LINES_NAMED:
            named += f" and {len(self.flaw_lines) - MAX_LINES_NAMED} more"
        where = f"flaw line{'s' if len(self.flaw_lines) > 1 else ''} {named}"
        in_them = np.isin(self.token_lines, self.flaw_lines)
        if not in_them.any():
            return f"{where}: not read by the model"
        is_kept = self.alive_until == self.num_layers
        return f"{where}: {_share(is_kept[in_them])} kept; other lines: {_share(is_kept[self.is_text & ~in_them])}"

    def describe_lines(self) -> str:
        """Names the lines with the highest scores above 0, the highest first; "" without any."""
        if self.line_scores is None:
            return ""
        order = np.argsort(-self.line_scores, kind="stable")[:MAX_LINES_NAMED]
        named = [f"{line + 1} ({self.line_scores[line]:.3g})" for line in order if self.line_scores[line] > 0]
        return f"lines that speak most for class 1: {', '.join(named)}" if named else ""

    def line_shade(self, line: int) -> float:
        """The score of a line, from 1, as a share of the highest: 0 (at most 0, or not known) to 1."""
        if self.line_scores is None or not self.line_scores[line - 1] > 0:
            return 0.0
        return float(self.line_scores[line - 1] / self.line_scores.max())

    def describe_special_tokens(self) -> str:
        """Says of each special token whether it is kept, or which layer removed it."""
        return ", ".join(f"{self.text(i)} {self.fate(i)}" for i in np.flatnonzero(~self.is_text))

    def describe_unread(self) -> list[str]:
        """Says which parts of the source the model did not read."""
        lines = [
            f"the model did not read {f'characters {begin + 1} to {end}' if begin else f'the first {end} characters'}"
            for begin, end in self.unread
        ]
        rest = len(self.source) - self.read_to
        return lines + ([f"the model did not read the last {rest} characters"] if rest else [])

    def tooltip(self, token: int) -> str:
        """The text and the `fate` of a token, then a line with its score for each of `scores_of`."""
        lines = [f"{self.text(token)}  (token {token}): {self.fate(token)}"]
        for layer, (score, threshold) in enumerate(zip(self.scores_of(token), self.thresholds), start=1):
            if not np.isnan(score):
                lines.append(f"layer {layer}: score {score:.3g}, threshold {threshold:.3g}")
        return "\n".join(lines)

    def verdict(self) -> str:
        """Says the prediction, the label and whether they are equal."""
        predicted = f"predicted {self.prediction} (probability {self.probabilities[self.prediction]:.3f})"
        if self.label is None:
            return predicted
        return f"{predicted}, label {self.label}: {'right' if self.is_right else 'WRONG'}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {self.describe_kept()}>"

    def _repr_html_(self) -> str:
        """What a notebook shows of the trace, see `notebook.trace_html`."""
        from ltp_pipeline.view.notebook import trace_html

        return trace_html(self)

    def as_json(self) -> dict[str, Any]:
        """The trace as values of JSON: `scores`, `[L][n]`, has null for NaN, `line_scores` has null for -inf."""
        lines = None if self.line_scores is None else self.line_scores.tolist()
        return {
            "name": self.name,
            **self.origin,
            "source": self.source,
            "label": self.label,
            "prediction": self.prediction,
            "probabilities": self.probabilities,
            "flaw_lines": self.flaw_lines,
            "line_scores": lines and [float(f"{score:.6g}") if np.isfinite(score) else None for score in lines],
            "tokens": self.tokens,
            "offsets": self.offsets.tolist(),
            "alive_until": self.alive_until.tolist(),
            "thresholds": [None if np.isnan(t) else t for t in self.thresholds.tolist()],
            "scores": [[None if np.isnan(s) else float(f"{s:.6g}") for s in layer] for layer in self.scores],
        }


def trace_function(
    name: str,
    source: str,
    row: pd.Series,
    function: FunctionTokens,
    pruned: PrunedFunction,
    model: LTPForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
) -> FunctionTrace:
    """Makes a trace from a row of a data file, its tokens and the model's results."""
    gaps = () if function.after_gap is None else np.flatnonzero(function.after_gap & function.is_text)
    return FunctionTrace(
        name=name,
        source=source,
        tokens=tokenizer.convert_ids_to_tokens(function.input_ids.tolist()),
        offsets=function.offsets,
        is_text=function.is_text,
        kept=pruned.kept,
        scores=pruned.scores,
        thresholds=model.thresholds().double().numpy(),
        label=int(row["label"]) if has_labels([row["label"]]) else None,
        probabilities=torch.from_numpy(pruned.logits).softmax(-1).tolist(),
        decision_threshold=stored_threshold(model.config),
        unread=tuple((int(function.offsets[i - 1, 1]), int(function.offsets[i, 0])) for i in gaps),
    )


def source_lines(trace: FunctionTrace) -> list[list[tuple[str, int | None]]]:
    """Splits the text that the model read into lines, and each line into pieces `(printable text, token)`.

    The token is None for characters outside all tokens. If a token includes the newline, its line ends with a piece
    `("\\n", token)`. A character that several tokens share (each holds some bytes of it) is given to the token that is
    alive in the most layers.
    """
    owner = np.full(trace.read_to, -1)
    for token in np.argsort(trace.alive_until, kind="stable"):
        owner[slice(*trace.offsets[token])] = token
    lines: list[list[tuple[str, int | None]]] = [[]]
    text = trace.source[: trace.read_to].replace("\r\n", " \n")  # same length: offsets remain valid
    for token, characters in groupby(range(len(text)), key=owner.__getitem__):
        token = None if token < 0 else int(token)
        for number, part in enumerate("".join(text[i] for i in characters).split("\n")):
            if number:
                if token is not None:
                    lines[-1].append(("\n", token))
                lines.append([])
            if part:
                lines[-1].append((printable(part).replace("\t", TAB), token))
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    return lines


def _share(kept: np.ndarray) -> str:
    share = f" ({kept.mean():.1%})" if len(kept) else ""
    return f"{kept.sum()} of {len(kept)} tokens{share}"
