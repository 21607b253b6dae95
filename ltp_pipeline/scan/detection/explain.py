"""Explains findings: the lines that speak for them, and the tokens that a pruned model keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ltp_pipeline.base.out_of_memory import out_of_memory_names
from ltp_pipeline.data.truncation import Truncation
from ltp_pipeline.scan.detection.predict import BATCH_FLAGS, Predictor
from ltp_pipeline.view.encode import FunctionTokens, encode_windows
from ltp_pipeline.view.line_results import NONE, SHARE
from ltp_pipeline.view.line_scores import function_scores, line_maxima
from ltp_pipeline.view.token_batches import padded
from ltp_pipeline.view.token_scores import DEFAULT, TINY, gradient_x_input, layers_survived

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DIGITS = 6  # of line scores


# What is known of a text: pairs of a line (from 1) and its score, the highest first; and the fields of `KeptTokens`,
# or None. JSON can hold it.
Explanation = tuple[list[tuple[int, float]], list | None]


class Explainer:
    """Explains texts with one model.

    Of a text in several windows, a line or a token gets the highest of its values: a token counts as kept if one
    window keeps it.
    """

    def __init__(
        self,
        predictor: Predictor,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        truncation: Truncation,
        method: str,
        one_label: bool,
    ):
        """`method`: how lines are scored. `one_label`: see `Predictor.run`."""
        self._predictor, self._model = predictor, predictor.model
        self._reading = tokenizer, max_length, truncation
        self._method, self._one_label = method, one_label
        self._layers = self._model.config.num_hidden_layers

    def explain(
        self, texts: Sequence[str], labels: Sequence[int], known: Sequence[bool]
    ) -> Iterator[tuple[int, Explanation]]:
        """Yields the index of a text and its explanation, as soon as it is complete.

        Args:
            labels: the index of the label that each text was found for.
            known: texts that need no explanation. They are in the batches all the same if others in them do, because
                the numbers of a text depend on its batch, in their last digits.
        """
        encoded = encode_windows(texts, *self._reading)
        text_of = [number for number, own in enumerate(encoded) for _ in own]
        rows = [window for own in encoded for window in own]
        lines = [np.full(text.count("\n") + 1, -np.inf) for text in texts]
        survived: list[dict[tuple[int, int], int]] = [{} for _ in texts]
        left = Counter(text_of)
        for batch in self._predictor.batches([len(row) for row in rows], SHARE):
            own = [text_of[i] for i in batch]
            if all(known[number] for number in own):
                continue
            functions = [rows[i] for i in batch]
            with out_of_memory_names(*BATCH_FLAGS):
                scores, layers = self._scores_and_layers(functions, [labels[number] for number in own])
            for number, function, values in zip(own, functions, scores):
                np.maximum(lines[number], line_maxima(texts[number], function, values), out=lines[number])
            for number, function, values in zip(own, functions, layers):
                _add_layers(survived[number], function, values)
            left.subtract(own)
            for number in dict.fromkeys(own):
                if not left[number] and not known[number]:
                    kept = _kept(survived[number], self._layers) if self._predictor.prunes else None
                    yield number, (_ranked(lines[number]), kept)

    def _scores_and_layers(
        self, functions: list[FunctionTokens], labels: list[int]
    ) -> tuple[list[np.ndarray], list[list[int]]]:
        """The scores of the tokens of each function, and how many layers kept each; empty if nobody asks."""
        scores, noted = [], []
        prunes = self._predictor.prunes
        if self._method == DEFAULT and prunes:  # its forward pass is that of a prediction: no other is needed
            with _layers_noted(self._model, noted):
                return self._token_scores(functions, labels), noted[0].tolist()
        if self._method != NONE:
            scores = self._token_scores(functions, labels)
        if prunes:
            noted = layers_survived(self._model, padded(functions, self._model)).tolist()
        return scores, noted

    def _token_scores(self, functions: list[FunctionTokens], labels: list[int]) -> list[np.ndarray]:
        """The score of each token of each function, for the function's label; `[n]` float32 each."""
        if self._one_label:
            return function_scores(self._model, self._method, functions)
        chosen = torch.tensor(labels, device=self._model.device)[:, None]
        batch = padded(functions, self._model)
        scores = gradient_x_input(self._model, batch, lambda logits: logits.gather(1, chosen)[:, 0])
        scores = scores.float().masked_fill(batch["attention_mask"] == 0, 0.0)
        scores = scores / scores.abs().sum(1, keepdim=True).clamp(min=TINY)
        return [row[: len(own)] for row, own in zip(scores.cpu().numpy(), functions, strict=True)]


@contextmanager
def _layers_noted(model: PreTrainedModel, noted: list[torch.Tensor]) -> Iterator[None]:
    """Adds to `noted`, after each forward pass of a pruned model, how many layers kept each token, `[B, L]`."""

    def ask(module: PreTrainedModel, inputs: tuple, named: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        return inputs, {**named, "output_pruning": True}

    hooks = [
        model.register_forward_pre_hook(ask, with_kwargs=True),
        model.register_forward_hook(lambda *given: noted.append(torch.stack(given[-1].kept_tokens).sum(0))),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _add_layers(survived: dict[tuple[int, int], int], function: FunctionTokens, layers: list[int]) -> None:
    """Notes the layers that each token of a window survived. Tokens of the same characters count as one."""
    for (begin, end), is_text, number in zip(function.offsets.tolist(), function.is_text, layers):
        if is_text and end > begin:
            survived[begin, end] = max(number, survived.get((begin, end), 0))


def _kept(survived: dict[tuple[int, int], int], num_layers: int) -> list:
    """The fields of `KeptTokens`."""
    places = sorted(survived)
    begins, ends = [begin for begin, _ in places], [end for _, end in places]
    return [begins, ends, [survived[place] for place in places], num_layers]


def _ranked(scores: np.ndarray) -> list[tuple[int, float]]:
    """Lines from 1 with rounded scores, the highest first, equal ones in order. Lines without a score are left out."""
    rounded = [(number, round(float(score), DIGITS)) for number, score in enumerate(scores, 1) if np.isfinite(score)]
    return sorted(rounded, key=lambda one: (-one[1], one[0]))
