"""Errors that the user can cause, and how a script ends on them."""

import sys
from collections.abc import Callable
from typing import NoReturn

from ltp_pipeline.base import processes


class UserError(Exception):
    """Something the user gave is wrong. The message names the flag, file or row and says what would be right."""


def run_main(main: Callable[[], None], parallel: bool = False) -> NoReturn:
    """Runs a script's `main`, then exits with status 0; 2 for a UserError, printed as `error: ...`; 130 for Ctrl-C.

    Any other exception is a bug and keeps its traceback.

    `parallel`: whether the processes that a launcher has started share the work. Otherwise all but one end first.
    """
    if not parallel:
        processes.stay_single()
    try:
        with processes.only_main_prints():
            main()
    except UserError as error:
        processes.fail(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        if processes.is_main():
            print("interrupted", file=sys.stderr)
        sys.exit(130)
    processes.disconnect()
    sys.exit(0)
