"""Turns the tokens that a model keeps back into source text."""

from __future__ import annotations

import numpy as np

from ltp_pipeline.view.encode import FunctionTokens, second_text_begins


def kept_texts(texts: tuple[str, ...], function: FunctionTokens, kept: np.ndarray) -> list[str]:
    """The `kept_text` of each text of an item.

    `texts`: the text, or the two texts, from which `function` was encoded. `kept`: `[n]` bool.
    """
    if function.is_second is None:
        return [kept_text(texts[0], function, kept)]
    begins = (0, second_text_begins(texts[0]))
    result = []
    for text, begin, own in zip(texts, begins, (~function.is_second, function.is_second), strict=True):
        part = FunctionTokens(function.input_ids[own], function.offsets[own] - begin, function.is_text[own])
        result.append(kept_text(text, part, kept[own]))
    return result


def kept_text(source: str, function: FunctionTokens, kept: np.ndarray) -> str:
    """The text of the tokens in `kept` (`[n]` bool), without special tokens.

    Neighbouring kept tokens are written as in `source`, with the characters between them. Removed tokens between two
    kept ones become one space. For example, `strcpy(buf, argv[1]);` without `(`, `[` and `]` becomes
    `strcpy buf, argv 1 );`. If all tokens are kept, the result is `source` up to the last token that the model read.

    The text is copied from `source` by character offsets. Decoding token ids could change characters: unknown tokens,
    parts of a character outside ASCII, or white space that the decoder cleans up.
    """
    text_tokens = np.flatnonzero(function.is_text)
    kept = kept[text_tokens]
    gap = np.zeros_like(kept) if function.after_gap is None else function.after_gap[text_tokens]
    spans = function.offsets[text_tokens]
    # The white space before a token belongs to it, but some tokenizers exclude it from the offsets.
    begins = np.minimum(np.concatenate([[0], spans[:-1, 1]]), spans[:, 0])
    begins = np.where(gap, spans[:, 0], begins)
    continues = kept[1:] & kept[:-1] & ~gap[1:]  # [n - 1]: tokens i and i + 1 are in one run of kept tokens
    run_starts = np.flatnonzero(kept & ~np.concatenate([[False], continues]))
    run_ends = np.flatnonzero(kept & ~np.concatenate([continues, [False]]))
    pieces, written_to = [], 0
    for first, last in zip(run_starts, run_ends):
        # Several tokens can share a character (each holds some bytes of it); it is written once.
        begin, end = max(written_to, int(begins[first])), int(spans[last, 1])
        piece = source[begin:end]
        if first > 0:
            piece = piece.lstrip(" ")
        if last + 1 < len(text_tokens):
            piece = piece.rstrip(" ")
        if piece:
            pieces.append(piece)
            written_to = end
    return " ".join(pieces)
