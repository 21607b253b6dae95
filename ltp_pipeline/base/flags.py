"""Turns the command line of every script into dataclasses: one flag a field, with its default and its help text."""

import json
import sys
from argparse import Action, ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from transformers import HfArgumentParser

from ltp_pipeline.base import processes
from ltp_pipeline.base.errors import UserError


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
        argv: the command line; None stands for that of this process. `read_flags` says how a JSON file replaces it.
        description: shown by --help; line breaks are kept.
        prog: name of the command in messages (default: the file name of the script).
        positional: arguments without a flag: keyword arguments of `add_argument` by name. The result then ends with a
            namespace of their values. Such a command accepts no JSON file of flags.

    Raises:
        UserError: a dataclass refuses a value, or the JSON file cannot be used.
    """
    parser = _FlagParser(
        dataclasses,
        prog=prog,
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
        raise UserError(str(error)) from error
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return tuple(parsed)


def read_flags(argv: Sequence[str] | None) -> list[str]:
    """Returns the flags of a command line; None stands for that of this process.

    If its only word is the name of a JSON file, the flags are those of the JSON object in that file: `{"lr": 1e-4}` is
    `--lr 0.0001`, a list is a flag with several values, and null leaves a flag out.

    Raises:
        UserError: the file cannot be read, or holds no JSON object.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if len(argv) != 1 or not argv[0].endswith(".json"):
        return argv
    path = Path(argv[0])
    try:
        flags = json.loads(path.read_text(encoding="utf-8"))
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


def skip_peft_for_help(argv: Sequence[str] | None) -> None:
    """Makes PEFT look as if it were not installed, in a process (`argv` None) that only prints its help text.

    The library's training arguments import PEFT, and PEFT imports every model class. --help then takes 3.1 s beyond
    `import torch`, in place of 0.6 s. Call it before those arguments are imported.
    """
    if argv is None and {"-h", "--help"} & set(sys.argv[1:]):
        sys.modules.setdefault("peft", None)


class HelpFormatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Adds the default value to a help text, except None, False and []: there the text itself says what happens."""

    def _get_help_string(self, action: Action) -> str | None:
        return action.help if action.default in (None, False, []) else super()._get_help_string(action)


class _FlagParser(HfArgumentParser):
    """Prints an error once, also when several processes find it at the same time."""

    def error(self, message: str) -> NoReturn:
        processes.fail(f"{self.format_usage()}{self.prog}: error: {message}")
        sys.exit(2)
