"""How often the fuzz tests run, and the limit of time for each case.

In the suite each target runs CASES cases, the same ones each time. With `FUZZ=10000` in the environment it
runs 10,000.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, given, settings

CASES = int(os.environ.get("FUZZ", 25))
SECONDS = 20  # of CPU time for one case; the slowest ones take less than a second


class TooSlow(AssertionError):
    """A case takes longer than SECONDS."""


@contextmanager
def within_seconds() -> Iterator[None]:
    """Raises TooSlow if the block takes more than SECONDS of CPU time."""

    def stop(*_: Any) -> None:
        raise TooSlow(f"more than {SECONDS} s of CPU time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def fuzz(**strategies: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a test run CASES times with values drawn from the strategies, each time within SECONDS."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def limited(*arguments: Any, **drawn: Any) -> None:
            with within_seconds():
                test(*arguments, **drawn)

        checked = settings(
            max_examples=CASES,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        return checked(given(**strategies)(limited))

    return decorate
