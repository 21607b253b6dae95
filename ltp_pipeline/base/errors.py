"""Errors that the user can cause, and how a script ends on them."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from ltp_pipeline.base import processes
from ltp_pipeline.base.interruption import ignore_signals, interruption_behind, signals_raise
from ltp_pipeline.base.output import lossy_output, lost_status

LONGEST_LINE = 3000  # characters in a line of a message


class UserError(Exception):
    """Something the user gave is wrong. The message names the flag, file or row and says what would be right."""


def printable(text: str, longest: int = 100) -> str:
    """`text` for a message: control characters and marks of writing direction as escapes, cut at `longest` characters.

    >>> printable("a\\nb")
    'a\\\\nb'
    """
    text = _escaped(text)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def printable_lines(text: str) -> str:
    """`text` with the same escapes, but newlines stay: a name in it may hold codes that a terminal would obey.

    The middle of a line of more than LONGEST_LINE characters is left out.
    """
    lines = (line if len(line) <= LONGEST_LINE else f"{line[:2000]} ... {line[-500:]}" for line in text.split("\n"))
    return "\n".join(map(_escaped, lines))


def _escaped(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def check_seed(seed: int) -> None:
    """Raises UserError, naming --seed, for a number that random generators do not take."""
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed {seed}: expected 0 to 4294967295")


def run_main(main: Callable[[], None], parallel: bool = False) -> NoReturn:
    """Runs a script's `main`, then exits with a status: 0; 2 for a UserError, printed as `error: ...`, and if memory
    has run out; 130 for Ctrl-C and 143 for SIGTERM. If standard output cannot be written, `main` goes on; the status
    is then 141 (its reader went away) or 2 (such as a full disk) instead of 0.

    Any other exception is a bug and keeps its traceback.

    `parallel`: whether the processes that a launcher has started share the work. Otherwise all but one end first.
    """
    with lossy_output() as output:
        with signals_raise(), processes.only_main_prints() if parallel else processes.alone():
            try:
                status = _status(main)
            except SystemExit as end:  # of argparse, and of commands with a status of their own
                status = end.code
        sys.stdout.flush()
        status = status or lost_status(output)
    sys.exit(status)


def _check_current_folder() -> None:
    """Raises UserError if the current folder was removed: no relative path means anything then."""
    try:
        os.getcwd()
    except OSError as error:
        raise UserError(f"the current folder: {error.strerror}; change to a folder that exists first") from error


def _status(main: Callable[[], None]) -> int:
    from ltp_pipeline.base.out_of_memory import describe, is_out_of_memory

    try:
        _check_current_folder()
        main()
    except UserError as error:
        processes.fail(printable_lines(f"error: {error}"))
        return 2
    except (KeyboardInterrupt, Exception) as error:
        interruption = interruption_behind(error)  # a library may have raised another error in its place
        if interruption is not None:
            ignore_signals()
            text = f"interrupted: {interruption}" if str(interruption) else "interrupted"
            processes.fail(text, processes.INTERRUPTED_GRACE_PERIOD)
            return getattr(interruption, "status", 130)
        if is_out_of_memory(error):
            processes.fail(f"error: {describe(error)}; use fewer or smaller inputs, or a machine with more memory")
            return 2
        if processes.another_has_failed():
            return 2  # the connection to that process was lost
        raise
    processes.disconnect()
    return 0
