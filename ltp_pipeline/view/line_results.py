"""Scores the lines of the functions of a file whose flaw lines are known, and measures and writes the result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import write_text
from ltp_pipeline.data.batches import DEFAULT_MAX_TOKENS
from ltp_pipeline.files.layouts import LAYOUT, flaw_lines_of
from ltp_pipeline.measures.lengths import by_length
from ltp_pipeline.measures.lines import line_measures
from ltp_pipeline.task.tasks import CODE, Task
from ltp_pipeline.view.line_scores import FLAGS, line_scores
from ltp_pipeline.view.token_scores import DEFAULT, METHODS, NEED_LTP, NEED_PRUNING

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ltp_pipeline.data.truncation import Truncation

NONE = "none"
CHOICES = (*METHODS, NONE)
HELP = (
    "How lines are scored (docs/line_scores.md); none: they are not. Runs and comparisons score lines only of data "
    "with flaw lines."
)
SHARE = 4  # of an evaluation's batch: a pass that computes gradients stores the activations of all layers


@dataclass(frozen=True)
class LineScoring:
    """How the lines of functions are scored."""

    method: str  # a name in `METHODS`
    tokenizer: PreTrainedTokenizerBase
    max_length: int  # tokens that the model reads at once
    truncation: Truncation
    batch_size: int | None  # functions in a batch of a plain evaluation; None: see `max_tokens`
    max_tokens: int | None  # tokens in such a batch; None, without `batch_size`: DEFAULT_MAX_TOKENS
    flags: tuple[str, ...] = FLAGS  # what limits the memory of a batch

    def scores(self, model: PreTrainedModel, frame: pd.DataFrame) -> list[np.ndarray] | None:
        """The [`line_scores`] of the functions in `frame`. Batches have a quarter of the size of an evaluation's."""
        max_tokens = DEFAULT_MAX_TOKENS if self.batch_size is None else None
        sizes = (size and max(1, size // SHARE) for size in (self.batch_size, self.max_tokens or max_tokens))
        texts, training = frame["functionSource"].tolist(), model.training
        model.eval()
        try:
            return line_scores(
                model, self.tokenizer, texts, self.max_length, self.truncation, self.method, *sizes, self.flags
            )
        finally:
            model.train(training)


def has_lines_to_find(frame: pd.DataFrame, task: Task) -> bool:
    """Whether a function with label 1 has flaw lines, so that line scores can be measured."""
    layout = frame.attrs.get(LAYOUT)
    if task is not CODE or layout is None or layout.flaw_lines is None:
        return False
    return any(flaw_lines_of(frame[frame["label"] == 1]))


def check_method(method: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """The method to use: `method`, or `NONE` with a note if no method can score the model.

    Raises UserError if the model cannot be scored by `method`.
    """
    prunes = getattr(model.config, "prune_mode", None) is not None
    if method in NEED_LTP and model.config.model_type != "ltp":
        raise UserError(f"--line_scores {method}: expected a model of type ltp, not {model.config.model_type}")
    if method in NEED_PRUNING and not prunes:
        raise UserError(f"--line_scores {method}: this checkpoint does not prune; the default is {DEFAULT}")
    reason = ""
    if not tokenizer.is_fast:
        reason = "the tokenizer gives no character offsets (there is no tokenizer.json)"
    elif getattr(model.config, "is_encoder_decoder", False):  # its decoder reads the tokens, too
        reason = f"a model of type {model.config.model_type} has a decoder"
    if method == NONE or not reason:
        return method
    print(f"note: lines are not scored: {reason}")
    return NONE


def measures_of(
    scores: list[np.ndarray],
    frame: pd.DataFrame,
    probabilities: np.ndarray,
    predictions: np.ndarray,
    lengths: np.ndarray,
) -> dict[str, Any]:
    """The `line_measures` of the functions in `frame` and, as line_by_length, of each group of similar length.

    `lengths`: tokens of each function before it is truncated, `[N]`.
    """
    flaws, labels = flaw_lines_of(frame), frame["label"].to_numpy()

    def measure(at: np.ndarray) -> dict[str, float]:
        own = [scores[i] for i in at], [flaws[i] for i in at]
        return line_measures(*own, probabilities[at], predictions[at], labels[at])

    return measure(np.arange(len(labels))) | {"line_by_length": by_length(lengths, labels, measure)}


def write_line_scores(path: Path, frame: pd.DataFrame, scores: list[np.ndarray]) -> None:
    """Writes a JSON object for each function, each in a line: `row` (in the file, from 1), `id` (if the file has ids)
    and `lines`, pairs of a line and its score, the highest first. Lines without a score are left out.
    """
    layout = frame.attrs.get(LAYOUT)
    ids = frame[layout.id].tolist() if layout is not None and layout.id is not None else None
    written = []
    for place, (row, lines) in enumerate(zip(frame.index, scores, strict=True)):
        record: dict[str, Any] = {"row": int(row) + 1} | ({} if ids is None else {"id": ids[place]})
        order = [int(line) for line in np.argsort(-lines, kind="stable") if np.isfinite(lines[line])]
        record["lines"] = [[line + 1, float(f"{lines[line]:.6g}")] for line in order]
        written.append(json.dumps(record, ensure_ascii=False, default=str) + "\n")
    write_text(path, "".join(written))
