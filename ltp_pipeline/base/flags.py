"""Turns the command line of every script into dataclasses: a field for each flag, with its default and help text."""

import argparse
import copy
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from transformers import HfArgumentParser

from ltp_pipeline.base.config_file import config_words
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.help_groups import GROUPS, LIBRARY, OTHERS, RARE
from ltp_pipeline.base.parser import CommandParser
from ltp_pipeline.base.suggestions import spellings


class FlagParser(CommandParser, HfArgumentParser):
    """A parser of dataclasses.

    Args:
        dataclasses: see `transformers.HfArgumentParser` for what their fields may be. Two of them cannot have a flag
            of the same name.
        command, description: see [`CommandParser`].
        positional: name of each positional argument -> its options for `add_argument`. Without any, the only word of
            the command line may be the name of a JSON file of flags, as with --config.
    """

    def __init__(
        self,
        dataclasses: Sequence[type],
        command: str | None,
        description: str,
        positional: dict[str, dict[str, Any]] | None = None,
    ):
        super().__init__(dataclasses, command=command, description=description)
        self.positional = positional or {}
        for name, options in self.positional.items():
            self.add_argument(name, **options)
        self._of_library = _fields_of_library(dataclasses)
        self.mappings = frozenset(name for kind in dataclasses for name in _mappings(kind))

    def expand(self, argv: Sequence[str] | None = None) -> list[str]:
        words = list(sys.argv[1:] if argv is None else argv)
        if len(words) == 1 and words[0].endswith(".json") and words[0][0] != "-" and not self.positional:
            return config_words(words[0], self, (), self.mappings)
        return super().expand(words)

    def help_groups(self, full: bool) -> list[tuple[str, list[argparse.Action]]]:
        titles = {name: title for title, names in GROUPS.items() for name in names}
        groups: dict[str, list[argparse.Action]] = {"arguments": [], **{title: [] for title in GROUPS}}
        groups |= {OTHERS: [], LIBRARY: []}
        common = self._common._group_actions
        for action in self._actions:
            if action in common or action.help == argparse.SUPPRESS:
                continue
            name = action.dest
            default = LIBRARY if name in self._of_library else OTHERS
            title = titles.get(name, default) if action.option_strings else "arguments"
            groups[LIBRARY if _is_negation(action) else title].append(action)
        for title, names in GROUPS.items():  # in the order of the table
            groups[title].sort(key=lambda action: list(names).index(action.dest))
        if not full:
            groups.pop(LIBRARY)
            groups = {
                title: [_shortened(action, title) for action in actions if action.dest not in RARE]
                for title, actions in groups.items()
            }
        shown = [(title, actions) for title, actions in groups.items() if actions]
        return [*shown, (self._common.title, common)]

    def format_help(self, full: bool = False) -> str:
        if full or not self._of_library:
            return super().format_help(full=True)
        return super().format_help()

    def parse(self, words: Sequence[str]) -> tuple[Any, ...]:
        """As [`parse_arguments`], for the words that `expand` returns."""
        try:
            *parsed, unknown = self.parse_args_into_dataclasses(
                words, return_remaining_strings=True, look_for_args_file=False
            )
        except (ValueError, TypeError) as error:
            raise UserError(self._with_flags(str(error))) from error
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return tuple(parsed)

    def _with_flags(self, message: str) -> str:
        """The message of a dataclass, which names its fields. The user knows them as flags.

        `rank_teacher x: expected rank_distillation above 0` becomes `--rank_teacher x: expected --rank_distillation
        above 0`. After the first word only names with an underscore are replaced: others, such as `seed`, are words.
        """
        names = {action.dest for action in self._actions if action.option_strings}

        def as_flag(word: str) -> str:
            return f"--{word}" if word in names else word

        first, space, rest = message.partition(" ")
        # Not a part of a path, of a dotted name or of what is a flag already.
        word = r"(?<![-/.\w])\w+_\w+(?![-/\w]|\.\w)"
        return as_flag(first) + space + re.sub(word, lambda match: as_flag(match[0]), rest)


def parse_arguments(
    dataclasses: Sequence[type],
    argv: Sequence[str] | None,
    description: str,
    command: str | None = None,
    positional: dict[str, dict[str, Any]] | None = None,
) -> tuple[Any, ...]:
    """Parses a command line (None: that of this process) into one object of each dataclass.

    With `positional`, the result ends with a namespace of their values. See [`FlagParser`] for the other arguments.
    A mistake in the flags ends the process with status 2, as argparse does.
    Raises UserError if a dataclass rejects a value, or the file of flags cannot be used.
    """
    parser = FlagParser(dataclasses, command, description, positional)
    return parser.parse(parser.expand(argv))


def _fields_of_library(dataclasses: Iterable[type]) -> set[str]:
    """Names of the fields that a class of Transformers defines, and none of ours defines anew."""
    found = set()
    for kind in dataclasses:
        for item in fields(kind):
            owner = next(owner for owner in kind.__mro__ if item.name in owner.__dict__.get("__annotations__", {}))
            if owner.__module__.split(".")[0] == "transformers":
                found.add(item.name)
    return found


def _mappings(kind: type) -> list[str]:
    """Names of the fields whose value may be a dict."""
    hints = get_type_hints(kind)
    return [
        name
        for name, hint in hints.items()
        if any(part is dict or getattr(part, "__origin__", None) is dict for part in (hint, *get_args(hint)))
    ]


def _shortened(action: argparse.Action, title: str) -> argparse.Action:
    """A copy of the flag for --help: with its text in GROUPS, without long names that mean the same."""
    action = copy.copy(action)
    action.help = GROUPS.get(title, {}).get(action.dest) or (action.help or "").split(". ")[0].removesuffix(".")
    if action.choices:
        action.metavar = "NAME"
    first, *others = spellings(action)
    action.option_strings = [first, *(name for name in others if "_" not in name)]
    return action


def _is_negation(action: argparse.Action) -> bool:
    """Whether this is the flag --no_x that the parser adds for a field x."""
    return isinstance(action, argparse._StoreFalseAction)


def check_positive(args: Any, *flags: str) -> None:
    """Raises UserError if the value of a flag is below 1. A flag that was not given (None) passes."""
    for flag in flags:
        value = getattr(args, flag)
        if value is not None and value < 1:
            raise UserError(f"--{flag} {value}: expected 1 or more")


def skip_peft_for_help(argv: Sequence[str] | None) -> None:
    """Makes PEFT appear not installed if this process (`argv` None) only prints its help text or the like.

    Call it before the library's training arguments are imported. They import PEFT, which imports every model class:
    --help would take 3.1 s in addition to `import torch`, instead of 0.6 s.
    """
    words = {word.partition("=")[0] for word in sys.argv[1:]}
    if argv is None and {"-h", "--help", "--help_all", "--version", "--print_completion"} & words:
        sys.modules.setdefault("peft", None)
