"""Scores the lines of functions by the scores of their tokens.

A line's score is that of its highest token. docs/line_scores.md compares it with the sum and the mean.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ltp_pipeline.base import processes
from ltp_pipeline.view.encode import FunctionTokens, encode_windows
from ltp_pipeline.view.token_batches import in_batches, padded
from ltp_pipeline.view.token_scores import DEFAULT, token_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ltp_pipeline.data.truncation import Truncation

FLAGS = ("--per_device_eval_batch_size", "--max_tokens_per_batch", "--max_seq_length")


def line_scores(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int,
    truncation: Truncation | None = None,
    method: str = DEFAULT,
    batch_size: int | None = None,
    max_tokens: int | None = None,
    flags: tuple[str, ...] = FLAGS,
) -> list[np.ndarray] | None:
    """The score of each line of `text.split("\\n")` of each text, higher for lines that speak for class 1.

    Of a text in several windows, a line gets the highest of its scores. Blank lines, and lines that the model did not
    read, get minus infinity. Several processes share the batches; the result is None in all of them
    except the main one.

    Args:
        model: a classifier of two classes in evaluation mode.
        tokenizer: a fast one, because only those give character offsets.
        max_length, truncation: which tokens of a text the model reads; see [`encode_windows`].
        method: a name in `token_scores.METHODS`.
        batch_size, max_tokens, flags: see [`in_batches`].
    """
    windows = encode_windows(texts, tokenizer, max_length, truncation)
    text_of = [number for number, own in enumerate(windows) for _ in own]
    functions = [function for own in windows for function in own]
    compute = partial(function_scores, model, method)
    own = {
        index: line_maxima(texts[text_of[index]], functions[index], scores)
        for index, scores in in_batches(compute, functions, flags, batch_size, max_tokens, "scoring lines")
    }
    shares = processes.gather(own)
    if shares is None:
        return None
    everything = {index: lines for share in shares for index, lines in share.items()}
    best = [np.full(text.count("\n") + 1, -np.inf) for text in texts]
    for index, text in enumerate(text_of):
        np.maximum(best[text], everything[index], out=best[text])
    return best


def function_scores(model: PreTrainedModel, method: str, functions: list[FunctionTokens]) -> list[np.ndarray]:
    """The `token_scores` of the `n` tokens of each function, `[n]` float32."""
    scores: torch.Tensor = token_scores(model, padded(functions, model), method)
    return [row[: len(function)] for row, function in zip(scores.cpu().numpy(), functions, strict=True)]


def lines_of_function(model: PreTrainedModel, method: str, text: str, function: FunctionTokens) -> np.ndarray:
    """The [`line_scores`] of one function that is read once."""
    return line_maxima(text, function, function_scores(model, method, [function])[0])


def line_maxima(text: str, function: FunctionTokens, scores: np.ndarray) -> np.ndarray:
    """The highest score of the tokens in each line of `text`, float64; minus infinity for a line without tokens.

    `scores`: of each token of `function`, `[n]`.
    """
    tokens, lines = lines_of_tokens(text, function)
    maxima = np.full(text.count("\n") + 1, -np.inf)
    np.maximum.at(maxima, lines, scores[tokens].astype(np.float64))
    return maxima


def lines_of_tokens(text: str, function: FunctionTokens) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a token and a line that holds a character of it, white space aside; two int arrays, `[pairs]`.

    Lines count from 0. A token of white space alone is in no pair, a token over several lines in a pair with each that
    is not blank.
    """
    is_space = np.array([char.isspace() for char in text], dtype=bool)
    line_of = np.cumsum([0, *(char == "\n" for char in text)])
    places = np.arange(len(text))
    # The first other character from each place on (else the length of the text), and the last one up to it (else -1).
    after = np.minimum.accumulate(np.where(is_space, len(text), places)[::-1])[::-1]
    before = np.maximum.accumulate(np.where(is_space, -1, places))
    tokens = np.flatnonzero(function.is_text & (function.offsets[:, 1] > function.offsets[:, 0]))
    begin, end = function.offsets[tokens].T
    first, last = after[begin], before[end - 1]
    tokens, first, last = (values[first <= last] for values in (tokens, first, last))
    first, count = line_of[first], line_of[last] - line_of[first] + 1
    lines = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
    has_text = np.bincount(line_of[:-1][~is_space], minlength=len(line_of)) > 0
    return np.repeat(tokens, count)[has_text[lines]], lines[has_text[lines]]
