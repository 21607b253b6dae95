"""The parser of every command: short errors that name the nearest flag, help that ends with examples, `--config`."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ltp_pipeline.base import processes
from ltp_pipeline.base.completion import SHELLS, completion
from ltp_pipeline.base.config_file import config_words
from ltp_pipeline.base.errors import UserError, printable_lines
from ltp_pipeline.base.program import as_typed, program
from ltp_pipeline.base.suggestions import did_you_mean, spellings

LONGEST_CHOICES = 60  # characters of {a,b,c} in a help text
WIDTHS = (80, 100)  # columns of a help text, at least and at most
MARGIN = 0.425  # share of the columns that is left of the texts


class CommandParser(argparse.ArgumentParser):
    """A parser with the flags that all commands have: --help, --help_all, --version, --config, --print_completion.

    Args:
        command: what runs it from a checkout, such as "ltp_scan.py" or "-m ltp_pipeline.convert"; None: the script
            that started this process.
        description: paragraphs. Those that are indented are examples, which the help shows at its end.
    """

    mappings: frozenset[str] = frozenset()  # names of values that may be a mapping in a file of flags

    def __init__(self, *args: Any, command: str | None, description: str | None = None, **kwargs: Any):
        text, examples = split_examples(as_typed(description or ""))
        kwargs.setdefault("formatter_class", HelpFormatter)
        super().__init__(
            *args,
            prog=program(command or Path(sys.argv[0]).name),
            description=text,
            epilog=f"examples:\n{examples}" if examples else None,
            allow_abbrev=False,
            add_help=False,
            **kwargs,
        )
        self._common = self.add_argument_group("this command")
        add = self._common.add_argument
        add("-h", "--help", action=_ShowHelp, help="show this help")
        add("--help_all", action=_ShowHelp, help="show all flags, in more detail")
        add("--version", action=_ShowVersion, help="show the version")
        add(
            "--config", metavar="FILE", dest=argparse.SUPPRESS, default=argparse.SUPPRESS,
            help="read flags from a YAML or JSON file",
        ).only_typed = True  # fmt: skip
        add(
            "--print_completion", choices=SHELLS, action=_ShowCompletion,
            help="print completions (docs/usage.md)",
        )  # fmt: skip

    def expand(self, argv: Sequence[str] | None = None) -> list[str]:
        """The command line `argv` (None: that of this process) with the flags of the file that --config names.

        Raises UserError if the file cannot be used. Ends the process for a flag that does not exist.
        """
        words = list(sys.argv[1:] if argv is None else argv)
        end = words.index("--") if "--" in words else len(words)
        words, rest = words[:end], words[end:]
        self._check_names(words)
        if not {"-h", "--help", "--help_all", "--version"} & set(words):
            words = self._with_config(words)
        return words + rest

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        return super().parse_known_args(self.expand(args), namespace)

    def _with_config(self, words: list[str]) -> list[str]:
        places = [i for i, word in enumerate(words) if word == "--config" or word.startswith("--config=")]
        if not places:
            return words
        if len(places) > 1:
            raise UserError("--config is given twice; expected one file")
        place, after = places[0], places[0] + 1
        if words[place] == "--config":
            if after == len(words) or words[after].startswith("--"):
                self.error("argument --config: expected one argument")
            after += 1
        file = words[after - 1].removeprefix("--config=")
        words = words[:place] + words[after:]
        actions = self._option_string_actions
        given = {actions[name].dest for name in (word.partition("=")[0] for word in words) if name in actions}
        return words + config_words(file, self, given, self.mappings)  # last: no positional argument may follow a list

    def _check_names(self, words: Iterable[str]) -> None:
        """Ends the process if a word looks like a flag and is none. argparse would name missing flags first."""
        unknown = [
            name
            for word in words
            if word.startswith("--") and " " not in (name := word.partition("=")[0])
            if name not in self._option_string_actions
        ]
        if unknown:
            shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
            known = [name for action in shown for name in spellings(action)]
            texts = [f"unrecognized argument {name}{did_you_mean(name, known)}" for name in dict.fromkeys(unknown)]
            self.error("\nerror: ".join(texts))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            name = spellings(action)[0] if action.option_strings else action.dest
            right = ", ".join(choices)
            nearest = did_you_mean(str(value), choices)
            raise argparse.ArgumentError(None, f"{name} {value}: expected one of {right}{nearest}")

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            right = {int: "a whole number", float: "a number"}.get(action.type)
            if right is None:
                raise
            name = spellings(action)[0] if action.option_strings else action.dest
            raise argparse.ArgumentError(None, f"{name} {arg_string}: expected {right}") from error

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2. Prints the error only once if several processes find it."""
        message = re.sub(r"^argument (--?\w+)[^:]*: ", r"\1: ", message)
        processes.fail(printable_lines(f"error: {message}\n{self.prog} --help lists the flags"))
        sys.exit(2)

    def format_usage(self) -> str:
        needed = [action for action in self._actions if action.required and action.option_strings]
        words = [f"{spellings(action)[0]} {metavar(action)}" for action in needed]
        words += [metavar(action) for action in self._actions if not action.option_strings]
        return f"usage: {' '.join([self.prog, *words, 'FLAGS'])}\n"

    def format_help(self, full: bool = False) -> str:
        """The help; `full`: also of the flags that --help leaves out."""
        formatter = self.formatter_class(prog=self.prog)
        formatter.add_text(self.description)
        for title, actions in self.help_groups(full):
            formatter.start_section(title)
            formatter.add_arguments(actions)
            formatter.end_section()
        formatter.add_text(self.epilog)
        return f"{self.format_usage()}\n{formatter.format_help()}"

    def help_groups(self, full: bool) -> list[tuple[str, list[argparse.Action]]]:
        """Title and flags of each group of the help, in order."""
        groups = [group for group in self._action_groups if group is not self._common]
        return [(group.title, group._group_actions) for group in [*groups, self._common]]


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """One spelling of each flag, and the default value behind the text, except None, False and []."""

    def __init__(self, prog: str, **kwargs: Any):
        low, high = WIDTHS
        width = min(max(shutil.get_terminal_size((high, 24)).columns, low), high)
        super().__init__(prog, max_help_position=int(MARGIN * width), width=width, **kwargs)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return metavar(action)
        value = metavar(action)
        return f"{', '.join(spellings(action))} {value}".rstrip()

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        if text and "%" in text.replace("%%", "").replace("%(", ""):
            text = text.replace("%", "%%")
        unknown = action.default is False or action.default in (None, [], argparse.SUPPRESS)  # 0 equals False
        if not text or unknown or "(default" in text:
            return text
        return f"{text} (default: %(default)s)"


def metavar(action: argparse.Action) -> str:
    """What stands for the value of a flag in help texts; empty for a flag that needs none."""
    if action.nargs == 0 or (action.nargs == "?" and action.const is True):
        return ""
    name = action.metavar
    if name is None and action.choices:
        choices = f"{{{','.join(map(str, action.choices))}}}"
        name = choices if len(choices) <= LONGEST_CHOICES else "NAME"
    if name is None:
        name = _kind(action)
    return {"+": f"{name} ...", "*": f"[{name} ...]", "?": f"[{name}]"}.get(action.nargs, name)


def _kind(action: argparse.Action) -> str:
    if not action.option_strings:
        return action.dest.upper()
    if action.type in (int, float):
        return "N" if action.type is int else "X"
    endings = {
        "_file": "FILE",
        "_dir": "DIR",
        "_path": "FOLDER",
        "restore": "FOLDER",
        "_checkpoint": "FOLDER",
        "_strategy": "WHEN",
    }
    return next((name for ending, name in endings.items() if action.dest.endswith(ending)), "VALUE")


def split_examples(text: str) -> tuple[str, str]:
    """The paragraphs of a description, and those of them that are indented, the examples."""
    paragraphs = text.strip("\n").split("\n\n")
    examples = [part for part in paragraphs if part.startswith("  ")]
    return "\n\n".join(part for part in paragraphs if part not in examples), "\n".join(examples)


class _Show(argparse.Action):
    """A flag that prints something and ends the process. It cannot be in a file of flags."""

    only_typed = True

    def __init__(self, option_strings: Sequence[str], dest: str, nargs: int | None = 0, **kwargs: Any):
        nargs = None if "choices" in kwargs else nargs
        super().__init__(option_strings, dest=argparse.SUPPRESS, default=argparse.SUPPRESS, nargs=nargs, **kwargs)


class _ShowHelp(_Show):
    def __call__(self, parser: CommandParser, *args: Any) -> NoReturn:
        print(parser.format_help(full="--help_all" in args), end="")
        parser.exit()


class _ShowVersion(_Show):
    def __call__(self, parser: CommandParser, *args: Any) -> NoReturn:
        from ltp_pipeline import __version__

        print(f"{parser.prog} {__version__}")
        parser.exit()


class _ShowCompletion(_Show):
    def __call__(self, parser: CommandParser, _: Any, shell: str, *args: Any) -> NoReturn:
        print(completion(parser, shell))
        parser.exit()
