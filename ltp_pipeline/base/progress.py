"""Progress bars: drawn often on a terminal, and one line now and then in a log file."""

import sys
from collections.abc import Iterable
from typing import Any


def progress_bar(iterable: Iterable | None = None, seconds: float = 10, **options: Any) -> "tqdm":  # noqa: F821
    """A tqdm bar on standard error that is drawn every `seconds` if standard error is not a terminal."""
    from tqdm import tqdm

    return tqdm(iterable, mininterval=0.1 if sys.stderr.isatty() else seconds, **options)
