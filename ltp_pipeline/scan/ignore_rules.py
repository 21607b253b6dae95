"""Which files a Git repository ignores: its .gitignore files and .git/info/exclude."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

GITIGNORE = ".gitignore"
_MARK = "(?P<ps_d>"  # of the library: the group that matches the slash after a folder


def repository_root(folder: str) -> str | None:
    """The folder with `.git` in which an absolute path is; None if it is in no repository."""
    while not os.path.lexists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    return folder


class _Patterns:
    """The patterns of a file, which hold below a folder."""

    def __init__(self, folder: str, patterns: Sequence[GitIgnoreSpecPattern]) -> None:
        self._begin = len(folder.rstrip("/")) + 1
        self._patterns = patterns[::-1]
        # one search for all patterns: most paths match none
        self._any = re.compile("|".join(one.regex.pattern.replace(_MARK, "(?:") for one in patterns))

    def verdict(self, path: str, is_folder: bool) -> bool | None:
        """What the last pattern says that matches an entry: whether it is ignored. None if no pattern matches."""
        inner = path[self._begin :]
        if not self._any.search(f"{inner}/" if is_folder else inner):
            return None
        return next((bool(one.include) for one in self._patterns if _matches(one, inner, is_folder)), None)


@dataclass(frozen=True)
class IgnoreRules:
    """The rules that hold in a folder, the weakest first.

    A rule decides about the entries of a folder one by one: what is inside an ignored folder is ignored with it, so
    ask about the folder first.
    """

    rules: tuple[_Patterns, ...] = ()

    @classmethod
    def around(cls, folder: str) -> IgnoreRules:
        """The rules for a folder (a real path), without those of its own .gitignore.

        They are those of the folders above it up to the root of its repository. There are none if one of these
        folders is itself ignored: who names such a folder wants its files.
        """
        root = repository_root(folder)
        if root is None or root == folder:
            return cls()
        rules, parent = cls().inside(root), root
        for name in os.path.relpath(folder, root).split(os.sep):
            parent = os.path.join(parent, name)
            if rules.ignores(parent, is_folder=True):
                return cls()
            rules = rules.inside(parent) if parent != folder else rules
        return rules

    def inside(self, folder: str) -> IgnoreRules:
        """The rules for the entries of a folder, if these are the rules around it."""
        rules = self.rules
        if os.path.lexists(os.path.join(folder, ".git")):  # the rules of a repository end where another one begins
            rules = _read(folder, os.path.join(_common_folder(folder), "info", "exclude"))
        return IgnoreRules(rules + _read(folder, os.path.join(folder, GITIGNORE)))

    def ignores(self, path: str, is_folder: bool = False) -> bool:
        """Whether an entry (an absolute path) is ignored. The last rule that matches it decides."""
        verdicts = (rule.verdict(path, is_folder) for rule in reversed(self.rules))
        return next((verdict for verdict in verdicts if verdict is not None), False)


def patterns_of(lines: Sequence[str]) -> list[GitIgnoreSpecPattern]:
    """The patterns of a .gitignore file. Git leaves out lines that are no pattern, and so does this."""
    patterns = []
    for line in lines:
        try:
            pattern = GitIgnoreSpecPattern(line)
        except GitIgnorePatternError:
            continue
        if pattern.include is not None:
            patterns.append(pattern)
    return patterns


def _matches(pattern: GitIgnoreSpecPattern, path: str, is_folder: bool) -> bool:
    """Whether a pattern matches an entry by itself. The library also matches what is inside a folder that matches."""
    match = pattern.regex.search(path)
    if match and (match.groupdict().get("ps_d") is None or match.end("ps_d") == len(path)):
        return True
    if not is_folder:
        return False
    marked = f"{path}/"
    for start in (0, len(path)):  # from the end: a pattern such as `*/` is a search for any slash
        match = pattern.regex.search(marked, start)
        if match and match.groupdict().get("ps_d") is not None and match.end("ps_d") == len(marked):
            return True
    return False


def _read(folder: str, path: str) -> tuple[_Patterns, ...]:
    """The rules of a file, which hold below `folder`; none if it cannot be read."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return ()
    patterns = patterns_of(os.fsdecode(content.removeprefix(b"\xef\xbb\xbf")).split("\n"))
    return (_Patterns(folder, patterns),) if patterns else ()


def _common_folder(root: str) -> str:
    """The folder that holds `info/exclude` of a repository. In a work tree or a submodule, `.git` is a file."""
    folder = os.path.join(root, ".git")
    try:
        if os.path.isfile(folder):
            with open(folder, "rb") as file:
                folder = os.path.join(root, os.fsdecode(file.read().removeprefix(b"gitdir:").strip()))
            with open(os.path.join(folder, "commondir"), "rb") as file:
                folder = os.path.join(folder, os.fsdecode(file.read().strip()))
    except OSError:
        pass
    return folder
