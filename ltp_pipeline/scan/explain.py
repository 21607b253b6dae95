"""Explains findings: the lines that speak for them, and the tokens that a pruned model keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.out_of_memory import out_of_memory_names
from ltp_pipeline.scan.checkpoint import Checkpoint
from ltp_pipeline.scan.finding import KeptTokens
from ltp_pipeline.scan.predict import BATCH_FLAGS, Predictor
from ltp_pipeline.task.tasks import CODE
from ltp_pipeline.view.encode import FunctionTokens, encode_windows
from ltp_pipeline.view.line_results import CHOICES, NONE, SHARE, check_method
from ltp_pipeline.view.line_scores import function_scores, line_maxima
from ltp_pipeline.view.token_batches import padded
from ltp_pipeline.view.token_scores import DEFAULT, TINY, gradient_x_input, layers_survived

DIGITS = 6  # of line scores


@dataclass(frozen=True)
class Explanation:
    """What speaks for a unit."""

    lines: tuple[tuple[int, float], ...]  # (line in the unit from 1, score), the highest first
    kept: KeptTokens | None


def check_line_scores(method: str, checkpoint: Checkpoint, predictor: Predictor) -> str:
    """The method by which lines are scored. Raises UserError if the model cannot be scored by it."""
    if method not in CHOICES:
        raise UserError(f"--line_scores {method}: expected {', '.join(CHOICES)}")
    if checkpoint.task is not CODE and method not in (DEFAULT, NONE):
        raise UserError(f"--line_scores {method}: is for the task code; expected {DEFAULT} or {NONE}")
    return check_method(method, predictor.model, checkpoint.tokenizer)


def explain(
    texts: Sequence[str], labels: Sequence[int], checkpoint: Checkpoint, predictor: Predictor, method: str
) -> list[Explanation]:
    """Explains why the model finds each of `texts`.

    Of a text in several windows, a line or a token gets the highest of its values: it counts as kept if a window keeps
    it.

    `labels`: the index in `checkpoint.labels` of each text's finding. `method`: how lines are scored.
    """
    windows = encode_windows(texts, checkpoint.tokenizer, checkpoint.max_length, checkpoint.truncation)
    text_of = [number for number, own in enumerate(windows) for _ in own]
    rows = [window for own in windows for window in own]
    lines = [np.full(text.count("\n") + 1, -np.inf) for text in texts]
    survived: list[dict[tuple[int, int], int]] = [{} for _ in texts]
    for batch in predictor.batches([len(row) for row in rows], SHARE):
        own = [rows[i] for i in batch]
        with out_of_memory_names(*BATCH_FLAGS):
            if method != NONE:
                chosen = [labels[text_of[i]] for i in batch]
                for i, scores in zip(batch, _token_scores(own, chosen, predictor, method)):
                    number = text_of[i]
                    np.maximum(lines[number], line_maxima(texts[number], rows[i], scores), out=lines[number])
            if checkpoint.prunes:
                for i, layers in zip(batch, layers_survived(predictor.model, padded(own, predictor.model)).tolist()):
                    _add_layers(survived[text_of[i]], rows[i], layers)
    layers = checkpoint.config.num_hidden_layers
    kept = [_kept(own, layers) if checkpoint.prunes else None for own in survived]
    return [Explanation(_ranked(scores), own) for scores, own in zip(lines, kept, strict=True)]


def _token_scores(
    functions: list[FunctionTokens], labels: list[int], predictor: Predictor, method: str
) -> list[np.ndarray]:
    """The score of each token of each function, for the function's label; `[n]` float32 each."""
    if predictor.num_labels == 1:
        return function_scores(predictor.model, method, functions)
    chosen = torch.tensor(labels, device=predictor.model.device)[:, None]
    batch = padded(functions, predictor.model)
    scores = gradient_x_input(predictor.model, batch, lambda logits: logits.gather(1, chosen)[:, 0])
    scores = scores.float().masked_fill(batch["attention_mask"] == 0, 0.0)
    scores = scores / scores.abs().sum(1, keepdim=True).clamp(min=TINY)
    return [row[: len(own)] for row, own in zip(scores.cpu().numpy(), functions, strict=True)]


def _add_layers(survived: dict[tuple[int, int], int], function: FunctionTokens, layers: list[int]) -> None:
    for (begin, end), is_text, number in zip(function.offsets.tolist(), function.is_text, layers):
        if is_text and end > begin:
            survived[begin, end] = max(number, survived.get((begin, end), 0))


def _kept(survived: dict[tuple[int, int], int], num_layers: int) -> KeptTokens:
    places = sorted(survived)
    begins, ends = tuple(begin for begin, _ in places), tuple(end for _, end in places)
    return KeptTokens(begins, ends, tuple(survived[place] for place in places), num_layers)


def _ranked(scores: np.ndarray) -> tuple[tuple[int, float], ...]:
    """Lines from 1 with their rounded scores, the highest first; equal ones in order. Lines without a score are left
    out.
    """
    rounded = [(number, round(float(score), DIGITS)) for number, score in enumerate(scores, 1) if np.isfinite(score)]
    return tuple(sorted(rounded, key=lambda one: (-one[1], one[0])))
