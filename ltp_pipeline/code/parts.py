"""What is found in a source file: its functions, and what looks like a function and is not extracted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceFile:
    """A file of a project: `path` is relative to the project, `text` has `\\n` line ends and no NUL."""

    project: str
    path: str
    text: str


@dataclass(frozen=True)
class Function:
    """A function definition: `source` is the text of the file from its first token to its closing brace.

    If a brace or the head of the function depends on an #if, `source` is what one branch gives: the lines of the
    directives and of the other branches are empty in it.
    """

    project: str
    path: str
    first_line: int  # in the file, from 1
    source: str
    left_out: tuple[tuple[int, int], ...] = ()  # those empty lines: first and last line in the file

    @property
    def last_line(self) -> int:
        return self.first_line + self.source.count("\n")

    def has_line(self, line: int) -> bool:
        """Whether a line of the file is part of the function."""
        if not self.first_line <= line <= self.last_line:
            return False
        return not any(first <= line <= last for first, last in self.left_out)


@dataclass(frozen=True)
class NotExtracted:
    """A place of a file that looks like a function and is not extracted."""

    project: str
    path: str
    first_line: int  # in the file, from 1
    last_line: int
    head: str  # its first line
    reason: str  # a few words, the same for all places of the kind
