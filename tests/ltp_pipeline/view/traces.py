"""Traces made by hand, for the tests of what is made from them."""

import numpy as np

from ltp_pipeline.view.trace import FunctionTrace

SOURCE = 'if (x < 1)\n\tputs("a");\n\nend();\n'
WORDS = ["if", "(", "x", "<", "1", ")", "\n", "\t", "puts", '("', "a", '");', "\n\n", "end", "();", "\n"]
# The layer that removes each token of <s> WORDS </s>; 0: none.
REMOVED_IN = [0, 1, 1, 2, 3, 1, 1, 1, 1, 0, 2, 3, 1, 1, 2, 1, 1, 2]


def offsets_of(source: str, words: list[str]) -> np.ndarray:
    """Begin and end of `<s>`, of each word in order, and of `</s>`."""
    spans, end = [(0, 0)], 0
    for word in words:
        begin = source.index(word, end)
        end = begin + len(word)
        spans.append((begin, end))
    return np.array([*spans, (0, 0)])


def make_trace(source=SOURCE, words=WORDS, removed_in=REMOVED_IN, **changes) -> FunctionTrace:
    """Three layers; the score of a token is 0.9 in the layers that keep it and 0.01 in the layer that removes it."""
    removed = np.array([layer or 4 for layer in removed_in])
    layers = np.array([1, 2, 3])[:, None]
    fields = {
        "name": "test.csv row 7",
        "source": source,
        "tokens": ["<s>", *(f"Ġ{word}" for word in words), "</s>"],
        "offsets": offsets_of(source, words),
        "is_text": np.array([False, *[True] * len(words), False]),
        "kept": layers < removed,
        "scores": np.where(layers < removed, 0.9, np.where(layers == removed, 0.01, np.nan)),
        "thresholds": np.array([0.1, 0.2, 0.3]),
        "label": 1,
        "probabilities": [0.125, 0.875],
        "flaw_lines": (2,),
    }
    return FunctionTrace(**{**fields, **changes})
