"""Removes what gives the label of a function away: comments, and names such as `badSink`."""

from __future__ import annotations

import random
import re
from hashlib import blake2b

from ltp_pipeline.code.languages import Language
from ltp_pipeline.code.literals import COMMENT, spans
from ltp_pipeline.code.telling_names import telling_words, without_telling_words

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_TO_NAME = "\0"  # stands for a name that is not chosen yet; no source text has it


def without_comments(text: str, language: Language) -> tuple[str, list[int]]:
    """The text without comments, and where its lines are.

    A line that held nothing but comments is removed, because an empty line would still show where a comment was.

    Returns the new text, and for each line of the old text its number in the new one, from 1, or 0 if it is removed.
    """
    pieces, touched = [], set()
    position = line = 0
    for start, end, kind in spans(text, language):
        if kind == COMMENT:
            line += text.count("\n", position, start)
            breaks = text.count("\n", start, end)
            touched.update(range(line, line + breaks + 1))
            between_words = text[start - 1 : start].strip() and text[end : end + 1].strip()
            pieces += [text[position:start], "\n" * breaks or (" " if between_words else "")]
            position, line = end, line + breaks
    lines, numbers = [], []
    for number, line in enumerate("".join([*pieces, text[position:]]).split("\n")):
        removed = number in touched and not line.strip()
        if not removed:
            lines.append(line.rstrip() if number in touched else line)
        numbers.append(0 if removed else len(lines))
    return "\n".join(lines), numbers


def without_telling_names(text: str, language: Language) -> str:
    """The text in which no identifier, string or comment contains a word that tells the label.

    Each such identifier becomes `name1`, `name2` and so on, everywhere in the text the same. The order of the numbers
    depends on the rest of the text, so that no number stands for the same thing in all functions. In strings and
    comments each such word becomes `text`.
    """
    names: dict[str, int] = {}  # telling identifier -> its number, in the order in which they occur

    def numbered(match: re.Match[str]) -> str:
        if not telling_words(match[0]):
            return match[0]
        return f"{_TO_NAME}{names.setdefault(match[0], len(names))}{_TO_NAME}"

    pieces, position = [], 0
    for start, end, _ in spans(text, language):
        pieces += [_IDENTIFIER.sub(numbered, text[position:start]), without_telling_words(text[start:end], "text")]
        position = end
    changed = "".join([*pieces, _IDENTIFIER.sub(numbered, text[position:])])
    prefix = "name"
    while re.search(rf"\b{prefix}\d", text):
        prefix += "_"
    numbers = list(range(1, len(names) + 1))
    rest = re.sub(f"{_TO_NAME}\\d+{_TO_NAME}", _TO_NAME, changed).encode("utf-8", "replace")
    random.Random(blake2b(rest, digest_size=8).digest()).shuffle(numbers)
    return re.sub(f"{_TO_NAME}(\\d+){_TO_NAME}", lambda match: f"{prefix}{numbers[int(match[1])]}", changed)
