"""Records which layer of a pruned model removed each token of a function, and describes that in words.

The terminal, the HTML page and the figures are all made from a [`FunctionTrace`].
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ltp_pipeline.task.decision import stored_threshold
from ltp_pipeline.view.encode import FunctionTokens
from ltp_pipeline.view.kept_tokens import PrunedFunction

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

    from transformer_revised import LTPForSequenceClassification

TAB = "    "
MAX_LINES_NAMED = 8


@dataclass
class FunctionTrace:
    """
    One function, and what `L` layers did with its `n` tokens.

    Args:
        name: of the function, for headings.
        source: its text as in the data file.
        tokens: `n` token strings of the tokenizer, special tokens included.
        offsets: `[n, 2]` int, the characters of each token in `source`: begin and end.
        is_text: `[n]` bool, False for the special tokens that the tokenizer added.
        kept: `[L, n]` bool, which tokens are alive after each layer.
        scores: `[L, n]` float; NaN if the token was removed before the layer, or the layer does not prune.
        thresholds: `[L]` float; a layer removes tokens whose score is below. NaN for a layer without a threshold.
        label: the true class.
        probabilities: one for each class.
        finding_lines: lines of `source`, counted from 1, in which the analysers of the data set found defects.
        decision_threshold: class 1 is predicted if its probability is above; None: the most probable class.
        unread: `(begin, end)` characters that the model did not read, before the last character that it read.
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
    alive_until: np.ndarray = field(init=False)  # [n] int: number of layers after which the token was alive, 0 to L
    read_to: int = field(init=False)  # characters up to the last one that the model read

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
    def is_right(self) -> bool:
        """Whether the prediction is the label."""
        return self.prediction == self.label

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
        """The printable text of a token, on one line; of a special token its name."""
        if not self.is_text[token]:
            return printable(self.tokens[token])
        text = printable(self.source[slice(*self.offsets[token])])
        return text.replace("\n", "\\n").replace("\t", "\\t").strip(" ") or "(space)"

    def removed_in(self, token: int) -> int | None:
        """The layer that removed a token, counted from 1; None if all layers kept it."""
        layers = int(self.alive_until[token])
        return None if layers == self.num_layers else layers + 1

    def fate(self, token: int) -> str:
        """`"kept"` or `"removed in layer 3"`."""
        layer = self.removed_in(token)
        return "kept" if layer is None else f"removed in layer {layer}"

    def score_range(self, layer: int) -> str:
        """The smallest, median and largest score in a layer, which is counted from 0."""
        scores = self.scores[layer][~np.isnan(self.scores[layer])]
        if not len(scores):
            return "none: this layer does not prune"
        return " / ".join(f"{value:.2g}" for value in (scores.min(), np.median(scores), scores.max()))

    def kept_line(self) -> str:
        """How many tokens are alive after the last layer."""
        first, *_, last = self.alive
        return f"{first} tokens, {last} kept by all layers ({last / first:.1%})"

    def finding_line(self) -> str:
        """How many tokens are kept in the finding lines and in the others; "" without finding lines."""
        if not self.finding_lines:
            return ""
        named = ", ".join(map(str, self.finding_lines[:MAX_LINES_NAMED]))
        if len(self.finding_lines) > MAX_LINES_NAMED:
            named += f" and {len(self.finding_lines) - MAX_LINES_NAMED} more"
        where = f"finding line{'s' if len(self.finding_lines) > 1 else ''} {named}"
        in_them = np.isin(self.token_lines, self.finding_lines)
        if not in_them.any():
            return f"{where}: not read by the model"
        is_kept = self.alive_until == self.num_layers
        return f"{where}: {_share(is_kept[in_them])} kept; other lines: {_share(is_kept[self.is_text & ~in_them])}"

    def special_tokens_line(self) -> str:
        """The fate of each special token."""
        return ", ".join(f"{self.text(i)} {self.fate(i)}" for i in np.flatnonzero(~self.is_text))

    def unread_lines(self) -> list[str]:
        """Which parts of the source the model did not read."""
        lines = [
            f"the model did not read {f'characters {begin + 1} to {end}' if begin else f'the first {end} characters'}"
            for begin, end in self.unread
        ]
        rest = len(self.source) - self.read_to
        return lines + ([f"the model did not read the last {rest} characters"] if rest else [])

    def verdict(self) -> str:
        """The prediction beside the label."""
        probability = self.probabilities[self.prediction]
        mark = "right" if self.is_right else "WRONG"
        return f"predicted {self.prediction} (probability {probability:.3f}), label {self.label}: {mark}"

    def as_json(self) -> dict[str, Any]:
        """The trace as values of JSON; `scores` is `[L][n]`, with null for NaN."""
        return {
            "name": self.name,
            "source": self.source,
            "label": self.label,
            "prediction": self.prediction,
            "probabilities": self.probabilities,
            "finding_lines": self.finding_lines,
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
    """Puts together what is known of one function.

    Args:
        name: of the function, for headings.
        source: the text that `function` was encoded from.
        row: of the data file: `label`, and `finding_lines` if the file has that column.
        function: its tokens.
        pruned: what `model` did with them.
    """
    num_lines = source.count("\n") + 1
    lines = {int(number) for number in re.findall(r"\d+", str(row.get("finding_lines", "")))}
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
        label=int(row["label"]),
        probabilities=torch.from_numpy(pruned.logits).softmax(-1).tolist(),
        finding_lines=tuple(sorted(number for number in lines if 1 <= number <= num_lines)),
        decision_threshold=stored_threshold(model.config),
        unread=tuple((int(function.offsets[i - 1, 1]), int(function.offsets[i, 0])) for i in gaps),
    )


def printable(text: str) -> str:
    """
    Escapes the characters that a terminal would execute or no reader would see: control, format, surrogate and private
    characters, line and paragraph separators. Newlines and tabs stay. `"\\x1b[2J"` becomes `"\\\\x1b[2J"`.
    """
    return "".join(
        char.encode("unicode_escape").decode()
        if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        else char
        for char in text
    )


def source_lines(trace: FunctionTrace) -> list[list[tuple[str, int | None]]]:
    """
    Splits the text that the model read into lines, and each line into pieces `(printable text, token)`.

    The token is None for characters of no token. If a token includes the newline, its line ends with a piece
    `("\\n", token)`. A character that several tokens share (the bytes of one outside ASCII) goes to the token that is
    alive longest.
    """
    owner = np.full(trace.read_to, -1)
    for token in np.argsort(trace.alive_until, kind="stable"):
        owner[slice(*trace.offsets[token])] = token
    lines: list[list[tuple[str, int | None]]] = [[]]
    text = trace.source[: trace.read_to].replace("\r\n", " \n")  # of the same length, so that offsets stay valid
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
