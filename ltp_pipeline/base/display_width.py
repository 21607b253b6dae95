"""How many columns of a terminal a text takes, and texts cut to a number of columns."""

from __future__ import annotations

import unicodedata

GAP = "..."


def columns(text: str) -> int:
    """The columns that printable text takes: two for a wide character (such as Chinese), none for a combining one.

    >>> columns("a漢")
    3
    """
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def cut(text: str, width: int) -> str:
    """`text` if it fits into `width` columns, else its begin and "..."."""
    return text if len(_begin(text, width)) == len(text) else _begin(text, width - len(GAP)) + GAP


def cut_begin(text: str, width: int) -> str:
    """`text` if it fits into `width` columns, else "..." and its end."""
    return cut(text[::-1], width)[::-1]


def _columns_of(letter: str) -> int:
    if unicodedata.east_asian_width(letter) in "WF":
        return 2
    return 0 if unicodedata.category(letter) in ("Mn", "Me") else 1


def _begin(text: str, width: int) -> str:
    """As much of `text` as fits into `width` columns. Reads no more of it."""
    used = 0
    for end, letter in enumerate(text):
        used += _columns_of(letter)
        if used > width:
            return text[:end]
    return text
