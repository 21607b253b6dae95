"""Finds the comments and the strings of PowerShell, which may hold code with further strings: "a $(f "b") c"."""

from __future__ import annotations

import re
from collections.abc import Iterator

# PowerShell takes the quotes that word processors write for straight ones.
_DOUBLE, _SINGLE = '["\u201c\u201d\u201e]', "['\u2018\u2019\u201a\u201b]"
_OPENING = re.compile(
    rf"""(?P<continued>`\n) | (?P<escape>`.)
    | (?P<block><\#) | (?P<line>(?<![\w`])\#)
    | (?P<verbatim>--%(?!\S))
    | (?P<name>\$\{{(?:[^`}}\n]|`.){{1,200}}\}})
    | (?P<here_double>@{_DOUBLE}[ \t]*(?=\n)) | (?P<here_single>@{_SINGLE}[ \t]*(?=\n))
    | (?P<double>{_DOUBLE}) | (?P<single>{_SINGLE})
    | (?P<open>\() | (?P<close>\))""",
    re.VERBOSE | re.DOTALL,
)
_LINE = re.compile(r"[^\n]*")
_SIMPLE_ENDS = {  # of literals that hold no code
    "single": re.compile(rf"{_SINGLE}(?:{_SINGLE})?"),
    "double": re.compile(rf"`.|{_DOUBLE}(?:{_DOUBLE})?", re.DOTALL),
    "here_single": re.compile(rf"\n{_SINGLE}@"),
    "here_double": re.compile(rf"\n{_DOUBLE}@"),
}
_NESTING_ENDS = {  # of literals that hold code: `$(` begins it
    "double": re.compile(rf"`.|\$\(|{_DOUBLE}(?:{_DOUBLE})?", re.DOTALL),
    "here_double": re.compile(rf"`.|\$\(|\n{_DOUBLE}@", re.DOTALL),
}


class PowerShellStrings:
    """Scans one text. A literal that is never closed is no literal."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.nests = True  # whether `$(` in a string begins code; not after a string that could not be closed so
        self.unclosed: set[str] = set()  # kinds of literals of which no later one is closed

    def spans(self) -> Iterator[tuple[int, int, str]]:
        """The start, end and kind (`comment` or `literal`) of each comment and literal, in order.

        A continued line counts as a comment, an escaped character as a literal.
        """
        position = 0
        while match := _OPENING.search(self.text, position):
            start, position = match.start(), match.end()
            if match.lastgroup in ("open", "close"):
                continue
            end = self._end(match)
            if end is not None:
                position = end
                is_blank = match.lastgroup in ("block", "line", "continued")
                yield start, end, "comment" if is_blank else "literal"

    def _end(self, match: re.Match[str]) -> int | None:
        """The end of what begins with `match`; None if it is not closed."""
        kind = match.lastgroup
        if kind in ("continued", "escape", "name"):
            return match.end()
        if kind in ("line", "verbatim"):
            return _LINE.match(self.text, match.end()).end()
        if kind == "block":
            end = self.text.find("#>", match.end())
            return len(self.text) if end < 0 else end + 2
        if kind in _NESTING_ENDS and self.nests:
            end = self._end_of_nesting(kind, match.end())
            self.nests = end is not None
            if end is not None:
                return end
        return self._simple_end(kind, match.end())

    def _simple_end(self, kind: str, position: int) -> int | None:
        if kind in self.unclosed:
            return None
        for match in _SIMPLE_ENDS[kind].finditer(self.text, position):
            if len(match[0]) != 2:  # neither an escaped character nor a doubled quote
                return match.end()
        self.unclosed.add(kind)
        return None

    def _end_of_nesting(self, kind: str, position: int) -> int | None:
        """The end of a string that may hold code; None if the string, or a literal in its code, is not closed."""
        stack = [kind]
        while stack:
            match = _NESTING_ENDS.get(stack[-1], _OPENING).search(self.text, position)
            if match is None:
                return None
            position = match.end()
            if stack[-1] in _NESTING_ENDS:
                if match[0] == "$(":
                    stack.append("code")
                elif len(match[0]) != 2:
                    stack.pop()
            elif match.lastgroup == "close":
                stack.pop()
            elif match.lastgroup == "open":
                stack.append("code")
            elif match.lastgroup in _NESTING_ENDS:
                stack.append(match.lastgroup)
            else:
                end = self._end(match)
                if end is None:
                    return None
                position = end
        return position
