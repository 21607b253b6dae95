"""A place where a function can be mutated, and the mutated text."""

from __future__ import annotations

from dataclasses import dataclass

Edit = tuple[int, int, str]  # of a text: the first character, the first after it, and what replaces them


@dataclass(frozen=True)
class Site:
    """One possible mutation of a function.

    `before` and `after` say what stands at the site without and with the mutation, as far as it shows in statistics
    of tokens: an operator, or the number of statements of a kind. The classes are balanced by it. Without `edits` the
    site only serves functions that stay as they are.
    """

    kind: str
    before: str
    after: str
    edits: tuple[Edit, ...]


def mutated(text: str, site: Site) -> tuple[str, tuple[int, ...]]:
    """The text with the edits of a site, and the lines of the mutation in it, from 1.

    The lines of a replacement are those of the new text. A statement that was dropped has no line: the lines are the
    nearest ones before and after the place that are not blank.
    """
    parts: list[str] = []
    lines: set[int] = set()
    position = line = 0
    for start, end, new in site.edits:
        kept = text[position:start]
        line += kept.count("\n")
        parts += [kept, new]
        position = end
        lines.add(line + 1)
    result = "".join([*parts, text[position:]])
    if not any(new for _, _, new in site.edits):
        lines = _around(result, site.edits[0][0])
    return result, tuple(sorted(lines))


def _around(text: str, place: int) -> set[int]:
    """The lines of the nearest characters before and after a place that are no white space."""
    before, after = len(text[:place].rstrip()) - 1, len(text) - len(text[place:].lstrip())
    return {text.count("\n", 0, before) + 1, text.count("\n", 0, after) + 1}
