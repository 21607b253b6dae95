"""Turns source text into tokens, each with the range of characters that it covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ltp_pipeline.data.truncation import Truncation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHUNK_SIZE = 512  # texts in one call of the tokenizer
PAIR_SEPARATOR = "\n"


@dataclass
class FunctionTokens:
    """The `n` tokens of one function, or of one pair of texts."""

    input_ids: np.ndarray  # [n] int
    offsets: np.ndarray  # [n, 2] int, begin and end of each token in the `joined` text, in characters
    is_text: np.ndarray  # [n] bool, False for the special tokens that the tokenizer added
    is_second: np.ndarray | None = None  # [n] bool, whether a token comes from the second text of a pair
    token_type_ids: np.ndarray | None = None  # [n] int, if the tokenizer gives them for a pair
    full_length: int | None = None  # tokens before truncation; None for a pair
    after_gap: np.ndarray | None = None  # [n] bool, whether truncation removed the tokens before; None: none

    def __len__(self) -> int:
        return len(self.input_ids)


def joined(texts: tuple[str, ...]) -> str:
    """One text unchanged, or two texts on separate lines."""
    return PAIR_SEPARATOR.join(texts)


def second_text_begins(first_text: str) -> int:
    """The index of the character in the `joined` text at which the second text begins."""
    return len(first_text) + len(PAIR_SEPARATOR)


def encode(
    items: Sequence[str | tuple[str, ...]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    truncation: Truncation | None = None,
) -> list[FunctionTokens]:
    """Tokenizes texts, or pairs of texts, and truncates each to `max_length` tokens, including special tokens.

    Args:
        tokenizer: a fast one, because only those give character offsets.
        truncation: which tokens of a single text are read (for windows see `encode_windows`); None: the first. From
            pairs the last tokens are cut.
    """
    return [function for (function,) in encode_windows(items, tokenizer, max_length, truncation)]


def encode_windows(
    items: Sequence[str | tuple[str, ...]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    truncation: Truncation | None = None,
) -> list[list[FunctionTokens]]:
    """As [`encode`], with the tokens of each window of each item; without windows one list of tokens for each item."""
    texts = [(item,) if isinstance(item, str) else item for item in items]
    truncation = truncation or Truncation()
    functions = []
    for start in range(0, len(texts), CHUNK_SIZE):
        functions += _encode_chunk(texts[start : start + CHUNK_SIZE], tokenizer, max_length, truncation)
    return functions


def _encode_chunk(
    chunk: list[tuple[str, ...]], tokenizer: PreTrainedTokenizerBase, max_length: int, truncation: Truncation
) -> list[list[FunctionTokens]]:
    are_pairs = len(chunk[0]) == 2
    batch = tokenizer(
        *map(list, zip(*chunk, strict=True)),
        **({"truncation": True, "max_length": max_length} if are_pairs else {}),
        split_special_tokens=True,  # as in training: </s> inside the code is ordinary text
        verbose=False,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
    )
    functions = []
    for row, texts in enumerate(chunk):
        function = FunctionTokens(
            input_ids=np.array(batch["input_ids"][row], dtype=np.int32),
            offsets=np.array(batch["offset_mapping"][row], dtype=np.int32).reshape(-1, 2),
            is_text=np.array(batch["special_tokens_mask"][row]) == 0,
        )
        if are_pairs:
            function.is_second = np.array([number == 1 for number in batch.sequence_ids(row)])
            function.offsets[function.is_second] += second_text_begins(texts[0])
            if "token_type_ids" in batch:
                function.token_type_ids = np.array(batch["token_type_ids"][row])
            functions.append([function])
        else:
            readings = truncation.readings(~function.is_text, max_length)
            functions.append([_cut(function, read) for read in readings])
    return functions


def _cut(function: FunctionTokens, read: np.ndarray) -> FunctionTokens:
    if len(read) == len(function):
        return replace(function, full_length=len(function))
    return FunctionTokens(
        function.input_ids[read],
        function.offsets[read],
        function.is_text[read],
        full_length=len(function),
        after_gap=np.diff(read, prepend=-1) > 1,
    )
