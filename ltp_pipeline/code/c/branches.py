"""Chooses branches of #if where the branches cannot be read one after the other.

Most branches hold whole statements or whole declarations: all of them are read as they stand in the file. Where a
branch opens or closes a brace, or ends inside a declaration, only one branch of the group fits. A `View` is a reading
of the file that takes one branch of each such group, and the same side wherever the condition is the same. The views
of a file together read every branch, as far as MAX_VIEWS allows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from ltp_pipeline.code.c.lexer import Tokens

MAX_VIEWS = 8
BETWEEN, INSIDE, PARENTHESES = "between", "inside", "parentheses"  # places of an #if
LONGEST_CONDITION = 1000  # characters of a condition that are compared
_EVENT = re.compile("[{}IEFD]")
_CONDITION = re.compile(r"\W*(?:el)?if(n?)(def)?\b(.*)", re.DOTALL)
_DEFINED = re.compile(r"(!?)\s*defined\s*\(?\s*(\w+)\s*\)?")
_NOT = re.compile(r"!\s*(\w+|\(.*\))", re.DOTALL)
_CONSTANTS = {"": True, "0": False, "1": True}  # "" is the condition of #else


@dataclass(eq=False)
class Group:
    """An #if, its branches and its #endif."""

    marks: list[int]  # the tokens of its directives: branch `i` is between marks `i` and `i + 1`
    conditions: list[tuple[str, bool]]  # of each branch: a text, and the value of it for which the branch is taken
    splits_braces: bool = False  # whether a branch opens or closes a brace of the text around it
    leaves_open: bool = False  # whether a branch has more braces of one kind than of the other
    starts_inside: bool = False  # whether a branch can only go on with a declaration, not begin one
    ends_inside: bool = False  # whether a branch ends inside a declaration
    branches_read: set[int | None] = field(
        default_factory=set
    )  # by the views so far that had to choose; None: no branch

    @property
    def has_alternatives(self) -> bool:
        return len(self.conditions) > 1 or (self.leaves_open and self.conditions[0][0] in _CONSTANTS)

    @property
    def is_read(self) -> bool:
        """Whether every branch was read."""
        return len(self.branches_read - {None}) == len(self.conditions)


@dataclass
class _Open:
    """A group that is being read: the open braces of its present branch, and those of the first branch."""

    group: Group
    depth: int = 0
    lowest: int = 0
    first: tuple[int, int] | None = None

    def end_branch(self, last: str) -> None:
        """Called at the end of a branch, whose last token is of the kind `last`."""
        self.group.splits_braces |= (self.depth, self.lowest) != (0, 0)
        self.group.leaves_open |= self.depth != 0
        if _CONSTANTS.get(self.group.conditions[-1][0]) is not False:
            self.group.ends_inside |= last not in "{};:"
            self.first = self.first or (self.depth, self.lowest)
        self.depth = self.lowest = 0

    def add(self, depth: int, lowest: int) -> None:
        self.lowest = min(self.lowest, self.depth + lowest)
        self.depth += depth


class Branches:
    """The groups of a file. `at[token]` is the group of a directive, and the number of the directive in it."""

    def __init__(self, tokens: Tokens):
        self.tokens = tokens
        self.events = [match.start() for match in _EVENT.finditer(tokens.kinds)]
        self.groups: list[Group] = []
        self.at: dict[int, tuple[Group, int]] = {}
        kinds, last = tokens.kinds, ";"
        open_groups = [_Open(Group([], [("", True)]))]
        for event in self.events:
            kind, inner = kinds[event], open_groups[-1]
            if event and kinds[event - 1] not in "IEFD":
                last = kinds[event - 1]
            if kind == "I":
                self.groups.append(Group([], []))
                open_groups.append(_Open(self.groups[-1]))
                self._mark(self.groups[-1], event)
                last = ";"
            elif kind in "{}":
                inner.add(*((1, 0) if kind == "{" else (-1, -1)))
            elif kind != "D" and len(open_groups) > 1:
                inner.end_branch(last)
                self._mark(inner.group, event)
                if kind == "F":
                    open_groups.pop()
                    open_groups[-1].add(*inner.first or (0, 0))
                else:
                    last = ";"
        for inner in open_groups[1:]:
            inner.end_branch(last)
            inner.group.marks.append(len(kinds))

    def _mark(self, group: Group, token: int) -> None:
        self.at[token] = group, len(group.marks)
        group.marks.append(token)
        if self.tokens.kinds[token] != "F":
            group.starts_inside |= self.tokens.kinds[token + 1 : token + 2] in tuple("{:,=)")
            group.conditions.append(_condition(self.tokens.text[self.tokens.starts[token] : self.tokens.ends[token]]))


def _condition(directive: str) -> tuple[str, bool]:
    """A text and a value, so that the branch of a directive is taken if the condition in the text has the value.

    >>> _condition("#ifndef X"), _condition("#elif  A > 1"), _condition("#else")
    (('defined X', False), ('A > 1', True), ('', True))
    """
    match = _CONDITION.match(directive[:LONGEST_CONDITION])
    if match is None:
        return "", True
    no, define, text = match.groups()
    text = " ".join(re.sub(r"//.*|/\*.*?\*/|\\\n", " ", text, flags=re.DOTALL).split())
    if define:
        return f"defined {text}", not no
    if defined := _DEFINED.fullmatch(text):
        return f"defined {defined[2]}", not defined[1]
    if negated := _NOT.fullmatch(text):
        return negated[1], False
    return text, True


class View:
    """A reading of a file that takes one branch of each group in which a choice has to be made.

    It takes a branch that no earlier view has read, if the conditions allow, otherwise the first one. `chosen[group]`
    is the number of the branch, or None if none is read. Groups that are not in it are read whole.
    """

    def __init__(self, branches: Branches, must_choose: Collection[Group] = ()):
        """`must_choose`: groups in which earlier views have had to choose."""
        self.branches = branches
        self.chosen: dict[Group, int | None] = {}
        self.reads_new = False  # whether a branch is read for the first time
        self._known: dict[str, bool] = {}
        values = defaultdict(set)
        for group in branches.groups:
            if group.splits_braces or group in must_choose:
                for text, value in group.conditions:
                    values[text] |= {True, False} if len(group.conditions) > 1 else {value}
        self._open_conditions = {text for text, both in values.items() if len(both) > 1}

    def closing_braces(self) -> dict[int, int]:
        """The closing brace of each opening brace that this view reads. Chooses in groups that split braces."""
        kinds, pairs, opened, skip = self.branches.tokens.kinds, {}, [], 0
        for event in self.branches.events:
            if event < skip:
                continue
            kind = kinds[event]
            if kind == "{":
                opened.append(event)
            elif kind == "}":
                if opened:
                    pairs[opened.pop()] = event
            elif kind != "D":
                skip = self.after(event)
        return pairs

    def after(self, directive: int, place: str = "") -> int:
        """The token to read after a directive. At an #if the view decides which branches it reads.

        `place`: where the #if stands: BETWEEN declarations, INSIDE one, in its PARENTHESES, or elsewhere ("").
        """
        group, number = self.branches.at.get(directive, (None, 0))
        if group is None:
            return directive + 1
        if number == 0 and group not in self.chosen and self._must_choose(group, place):
            self._choose(group)
        if group not in self.chosen:
            return directive + 1
        choice = self.chosen[group]
        if number == 0 and choice is not None:
            return group.marks[choice] + 1
        return group.marks[-1] + 1

    def _must_choose(self, group: Group, place: str) -> bool:
        if group.splits_braces and (group.has_alternatives or group.conditions[0][0] in self._open_conditions):
            return True
        if len(group.conditions) == 1 or not place:
            return False
        return place == PARENTHESES or group.ends_inside or (place == INSIDE and group.starts_inside)

    def _choose(self, group: Group) -> None:
        live, dead, forced = [], [], False
        for branch, (text, value) in enumerate(group.conditions):
            known = _CONSTANTS.get(text, self._known.get(text))
            (dead if forced or known not in (None, value) else live).append(branch)
            forced |= known == value
        candidates: list[int | None] = live
        if len(group.conditions) == 1:
            candidates = live if forced else [*live, None]
        elif not live or {text for text, _ in group.conditions} & {"0", "1"}:
            candidates = [*live, *dead]  # a branch of `#if 0` is read as well
        choice = next((branch for branch in candidates if branch not in group.branches_read), candidates[0])
        for text, value in group.conditions[: len(group.conditions) if choice is None else choice]:
            self._known.setdefault(text, not value)
        if choice is not None:
            self._known.setdefault(*group.conditions[choice])
        self.reads_new |= choice not in group.branches_read
        group.branches_read.add(choice)
        self.chosen[group] = choice

    def leaves_branch(self, start: int, end: int) -> bool:
        """Whether the first #-line of some tokens ends a branch of a group that is read whole."""
        directive = next((token for token in range(start, end) if self.branches.tokens.kinds[token] in "IEF"), None)
        if directive is None or self.branches.tokens.kinds[directive] == "I":
            return False
        return self.branches.at.get(directive, (None, 0))[0] not in self.chosen

    def left_out(self) -> list[tuple[int, int]]:
        """The parts of the text, start and end, that this view does not read, with the directives around them.

        In order, and none inside another one.
        """
        tokens, parts = self.branches.tokens, []
        for group, choice in self.chosen.items():
            marks = group.marks
            for first, last in [(0, -1)] if choice is None else [(0, choice), (choice + 1, -1)]:
                if marks[first] < len(tokens.kinds):
                    start = tokens.text.rfind("\n", 0, tokens.starts[marks[first]]) + 1
                    end = tokens.ends[marks[last]] if marks[last] < len(tokens.kinds) else len(tokens.text)
                    parts.append((start, end))
        outer: list[tuple[int, int]] = []
        for part in sorted(parts):
            if not outer or part[0] >= outer[-1][1]:
                outer.append(part)
        return outer
