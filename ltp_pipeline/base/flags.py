"""How the scripts' flags are parsed, their mistakes told and their help shown."""

import sys
from argparse import Action, ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import NoReturn

from transformers import HfArgumentParser

from ltp_pipeline.base import processes


class HelpFormatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Shows the defaults that are values; where there is none, the help text says what happens."""

    def _get_help_string(self, action: Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


class FlagParser(HfArgumentParser):
    """Of several processes that find the same mistake one tells it."""

    def error(self, message: str) -> NoReturn:
        processes.fail(f"{self.format_usage()}{self.prog}: error: {message}")
        sys.exit(2)


def spare_help_imports(argv: Sequence[str] | None) -> None:
    """Before the library's training arguments are imported, in a process (`argv` None) that only shows its help.

    Those import PEFT where there is one, which imports every model class: seconds for a page of text.
    """
    if argv is None and {"-h", "--help"} & set(sys.argv[1:]):
        sys.modules.setdefault("peft", None)  # as if it were not installed
