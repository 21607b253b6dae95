"""Errors that the user can cause, and how a script ends on them."""

import sys
from collections.abc import Callable
from typing import NoReturn


class UserError(Exception):
    """Something the user gave is wrong. The message names the flag, file or row and says what would be right."""


def run_main(main: Callable[[], None]) -> NoReturn:
    """Runs a script's `main` and exits: 0 when it returns, 2 after `error: <message>` for a UserError, 130 for Ctrl-C.

    Any other exception is a bug and keeps its traceback.
    """
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
