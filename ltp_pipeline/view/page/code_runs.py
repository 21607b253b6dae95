"""Source code as the page holds it: the text to show, and runs of characters that look alike."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ltp_pipeline.code.languages import Language
from ltp_pipeline.code.syntax import KINDS, syntax_spans
from ltp_pipeline.view.escapes import escapes

NUM_LOOKS = len(KINDS) + 1  # a kind of syntax, or none


def code_runs(text: str, tokens: Iterable[tuple[int, int, int]], language: Language) -> tuple[str, list[int]]:
    """The text with escapes for what a browser would obey or not show, and its runs.

    Args:
        tokens: begin, end and value (0 or more) of tokens. A character of several tokens belongs to the last of them.

    Returns:
        The text, and for each run two numbers: its length in UTF-16 code units, as scripts of a page count, and its
        style `NUM_LOOKS * (value of the token + 1) + place of its syntax in KINDS + 1`, with 0 in place of either sum
        where there is no token or no syntax.
    """
    text = text.replace("\r\n", " \n")  # same length: offsets remain valid
    if not text:
        return "", []
    value = np.zeros(len(text), np.int64)
    for begin, end, number in tokens:
        value[begin:end] = number + 1
    look = np.zeros(len(text), np.int64)
    for begin, end, kind in syntax_spans(text, language):
        look[begin:end] = KINDS.index(kind) + 1
    style = NUM_LOOKS * value + look
    changes = np.flatnonzero(np.diff(style)) + 1
    replaced = escapes(text)
    ends = _shown_lengths(text, replaced)[np.append(changes, len(text)) - 1]
    runs = np.stack([np.diff(ends, prepend=0), style[np.insert(changes, 0, 0)]], axis=1)
    return text.translate(replaced), runs.ravel().tolist()


def _shown_lengths(text: str, replaced: dict[int, str]) -> np.ndarray:
    """`[n]` int: for each character how many code units are shown up to its end."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    lengths = 1 + (codes > 0xFFFF).astype(np.int64)
    for code, shown in replaced.items():
        lengths[codes == code] = len(shown)
    return lengths.cumsum()
