"""The flags of every script that reads functions: which columns, what labels mean, what becomes of bad rows."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class ReadingArguments:
    """How rows of a file become functions and their labels."""

    text_column: str | None = field(
        default=None, metadata={"help": "Column with the code (default: functionSource, code or text). Not of GLUE."}
    )
    label_column: str = field(
        default="label",
        metadata={"help": "Column with the label: 0 or 1, true or false; for a GLUE task a number or a name."},
    )
    label_map: str | None = field(
        default=None,
        metadata={"help": "What other labels stand for: good=0,bad=1, or a JSON file of such an object. Not of GLUE."},
    )
    on_bad_rows: str = field(
        default="error",
        metadata={
            "choices": ("error", "skip"),
            "help": "Rows without code or with an unknown label: stop at the first, or leave them out and tell which.",
        },
    )


def reading_options(args: Any) -> dict[str, Any]:
    """Those of `args` (a dataclass or a namespace with the fields of `ReadingArguments`) that say how to read."""
    return {option.name: getattr(args, option.name) for option in dataclasses.fields(ReadingArguments)}


def add_flags(parser: argparse.ArgumentParser, arguments: type = ReadingArguments, skip: Sequence[str] = ()) -> None:
    """Adds the fields of `arguments`, a dataclass of texts and numbers, but `skip` to a standard library's parser."""
    for option in dataclasses.fields(arguments):
        if option.name in skip:
            continue
        kind = int if "int" in str(option.type) else str
        parser.add_argument(
            f"--{option.name}",
            type=kind,
            default=option.default,
            choices=option.metadata.get("choices"),
            help=option.metadata["help"],
        )
