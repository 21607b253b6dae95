"""Shows characters that a screen would obey or hide as escapes, such as `\\u202e`."""

from __future__ import annotations

import re

TAB = "    "  # how a tab is shown

# Printable by their category, and shown as nothing or as a space: fillers, joiners, variation selectors, an empty cell
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def escapes(text: str) -> dict[int, str]:
    """For each character of `text` that a screen would obey or not show, its code and its escape.

    These are control and format characters, marks of writing direction, half and private characters, all spaces and
    line ends but `" "`, newlines and tabs, and what else is invisible. The result is for `str.translate`.
    """
    return {
        ord(char): char.encode("unicode_escape").decode()
        for char in set(text)
        if char not in "\n\t" and (not char.isprintable() or _INVISIBLE.match(char))
    }


def printable(text: str) -> str:
    """`text` with `escapes`. `"\\x1b[2J"` becomes `"\\\\x1b[2J"`."""
    return text.translate(escapes(text))


def on_one_line(text: str) -> str:
    """As `printable`, also with escapes for newlines and tabs."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")
