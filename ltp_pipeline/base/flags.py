"""Turns the command line of every script into dataclasses: a field for each flag, with its default and help text."""

import json
import sys
from argparse import Action, ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from transformers import HfArgumentParser

from ltp_pipeline.base import processes
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import parse_json
from ltp_pipeline.base.program import is_installed_command


def parse_arguments(
    dataclasses: Sequence[type],
    argv: Sequence[str] | None,
    description: str,
    prog: str | None = None,
    positional: dict[str, dict[str, Any]] | None = None,
) -> tuple[Any, ...]:
    """Parses a command line into one object of each dataclass.

    Two dataclasses cannot have a flag of the same name. A mistake in the flags ends the process with status 2, as
    argparse does.

    Args:
        dataclasses: see `transformers.HfArgumentParser` for what their fields may be.
        argv: the command line; None: that of this process. `read_flags` explains how a JSON file replaces it.
        description: shown by --help; line breaks are kept.
        prog: name of the command in messages (default: the file name of the script). A command of an installation
            has its own name.
        positional: name of each positional argument -> its options for `add_argument`. The result then ends with a
            namespace of their values. Such a command accepts no JSON file of flags.

    Raises UserError if a dataclass rejects a value, or the JSON file cannot be used.
    """
    parser = _FlagParser(
        dataclasses,
        prog=None if is_installed_command() else prog,
        description=description,
        usage=None if positional else "%(prog)s [-h] FLAGS, or %(prog)s FLAGS.json",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    for name, options in (positional or {}).items():
        parser.add_argument(name, **options)
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        *parsed, unknown = parser.parse_args_into_dataclasses(
            argv if positional else read_flags(argv), return_remaining_strings=True, look_for_args_file=False
        )
    except (ValueError, TypeError) as error:
        message = str(error)
        # A dataclass names its field. The user knows it as a flag.
        is_flag = message.split(" ")[0] in (action.dest for action in parser._actions)
        raise UserError(f"--{message}" if is_flag else message) from error
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return tuple(parsed)


def read_flags(argv: Sequence[str] | None) -> list[str]:
    """Returns the flags of a command line; None: that of this process.

    If its only argument is the name of a JSON file, the object in that file gives the flags: `{"lr": 1e-4}` is
    `--lr 0.0001`, a list is a flag with several values, and a flag with null is omitted.
    Raises UserError if the file cannot be read, or does not contain a JSON object.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if len(argv) != 1 or not argv[0].endswith(".json"):
        return argv
    path = Path(argv[0])
    try:
        flags = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(flags, dict):
        raise UserError(f'{path}: expected one JSON object of flags, such as {{"output_dir": "code_test"}}')
    words = []
    for name, value in flags.items():
        if value is not None:
            values = value if isinstance(value, list) else [value]
            words += [f"--{name}", *(json.dumps(v) if isinstance(v, dict) else str(v) for v in values)]
    return words


def check_positive(args: Any, *flags: str) -> None:
    """Raises UserError if the value of a flag is below 1. A flag that was not given (None) passes."""
    for flag in flags:
        value = getattr(args, flag)
        if value is not None and value < 1:
            raise UserError(f"--{flag} {value}: expected 1 or more")


def skip_peft_for_help(argv: Sequence[str] | None) -> None:
    """Makes PEFT appear not installed if this process (`argv` None) only prints its help text.

    Call it before the library's training arguments are imported. They import PEFT, which imports every model class:
    --help would take 3.1 s in addition to `import torch`, instead of 0.6 s.
    """
    if argv is None and {"-h", "--help"} & set(sys.argv[1:]):
        sys.modules.setdefault("peft", None)


class HelpFormatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Adds the default value to a help text, except None, False and []: for these the text explains the default."""

    def _get_help_string(self, action: Action) -> str | None:
        return action.help if action.default in (None, False, []) else super()._get_help_string(action)


class _FlagParser(HfArgumentParser):
    """Prints an error only once if several processes find it."""

    def error(self, message: str) -> NoReturn:
        processes.fail(f"{self.format_usage()}{self.prog}: error: {message}")
        sys.exit(2)
