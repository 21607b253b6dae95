"""Which files a Git repository ignores: its .gitignore files and .git/info/exclude."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

GITIGNORE = ".gitignore"
_DOUBLE = re.compile(r"\A\*{3,}\Z")  # Git reads it as `**`
_ANYTHING, _END = "[^/]*", "(?:(?P<ps_d>/)|$)"  # in the library's regular expressions: `*`, and the end of a pattern


def repository_root(folder: str) -> str | None:
    """The folder with `.git` in which an absolute path is; None if it is in no repository."""
    while not os.path.lexists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    return folder


@dataclass(frozen=True)
class _Pattern:
    """A line of a .gitignore file, which says of an entry whether it is ignored.

    The time of a match is bounded: the tree may be that of an attacker, and regular expressions for several `*` or
    `**` take exponential time. So each name is matched by itself.
    """

    names: tuple[re.Pattern[str] | None, ...]  # of the path; None: any number of folders
    is_ignored: bool
    of_folders: bool  # whether it holds for folders only

    def matches(self, path: Sequence[str], is_folder: bool) -> bool:
        """Whether it matches an entry by itself, not for a folder around it. `path`: its names, from the folder on."""
        if (self.of_folders and not is_folder) or not self.names[-1].match(path[-1]):
            return False
        place = name = 0
        retry: tuple[int, int] | None = None  # after `**`: the next part of the pattern, and the name to go on with
        while name < len(path):
            if place < len(self.names) and self.names[place] is None:
                place, retry = place + 1, (place + 1, name)
            elif place < len(self.names) and self.names[place].match(path[name]):
                place, name = place + 1, name + 1
            elif retry is not None:
                place, name = retry[0], retry[1] + 1
                retry = place, name
            else:
                return False
        return place == len(self.names)


@dataclass(frozen=True)
class IgnoreRules:
    """The rules that hold in a folder, the weakest first.

    A rule decides about the entries of a folder one by one: what is inside an ignored folder is ignored with it, so
    ask about the folder first.
    """

    rules: tuple[tuple[str, tuple[_Pattern, ...]], ...] = ()  # folder, and its patterns from the last to the first

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
        for folder, patterns in reversed(self.rules):
            inner = os.path.relpath(path, folder).split(os.sep)
            for pattern in patterns:
                if pattern.matches(inner, is_folder):
                    return pattern.is_ignored
        return False


def patterns_of(lines: Sequence[str]) -> list[GitIgnoreSpecPattern]:
    """The patterns of a .gitignore file. Git leaves out lines that are no pattern, and so does this."""
    patterns = []
    for line in lines:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of `re`, for a bracket such as [[:alpha:]]
                pattern = GitIgnoreSpecPattern(line)
        except (GitIgnorePatternError, re.error):  # re.error: such as [z-a]
            continue
        if pattern.include is not None:
            patterns.append(pattern)
    return patterns


def glob_patterns(glob: str) -> list[GitIgnoreSpecPattern]:
    """The pattern of a glob that a user wrote, where `./a.c` names one file, as in a shell. Empty if it is none."""
    return patterns_of(["/" + glob.removeprefix("./") if glob.startswith("./") else glob])


def _pattern(line: str) -> _Pattern | None:
    """The pattern in a line; None if there is none."""
    read = patterns_of([line])
    if not read:
        return None
    text = line if line.endswith("\\ ") else line.rstrip()
    text = text.removeprefix("!") if not read[0].include else text
    parts = [_DOUBLE.sub("**", part) for part in text.removesuffix("/").removeprefix("/").split("/")]
    if "/" not in text.removesuffix("/"):
        parts.insert(0, "**")
    if parts[-1] == "**":
        parts.append("*")  # what is in the folder, not the folder
    names = [None if part == "**" else _name(part) for part in parts]
    return _Pattern(tuple(names), bool(read[0].include), text.endswith("/"))


def _name(part: str) -> re.Pattern[str]:
    """What matches a name, for a part of a pattern without slashes. Takes time that is linear in the name."""
    bare = part.rstrip(" ")
    read = patterns_of([f"/{bare}" + "\\ " * (len(part) - len(bare))])
    if not read:
        return re.compile("(?!)")  # such as the part between two slashes: nothing matches
    first, *more = read[0].regex.pattern.removeprefix("^").removesuffix(_END).split(_ANYTHING)
    # what follows a `*` is taken where it occurs first, if another `*` comes later
    steps = [f"(?=(?P<step{number}>{_ANYTHING}?{text}))(?P=step{number})" for number, text in enumerate(more[:-1])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile("".join([first, *steps, *(_ANYTHING + text for text in more[-1:])]) + r"\Z")


def _read(folder: str, path: str) -> tuple[tuple[str, tuple[_Pattern, ...]], ...]:
    """The rules of a file, which hold below `folder`; none if it cannot be read."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return ()
    lines = os.fsdecode(content.removeprefix(b"\xef\xbb\xbf")).split("\n")
    patterns = tuple(pattern for line in reversed(lines) if (pattern := _pattern(line)))
    return ((folder, patterns),) if patterns else ()


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
