"""Progress bars: drawn often on a terminal, and one line now and then in a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


def progress_bar(iterable: Iterable | None = None, seconds: float = 10, **options: Any) -> tqdm:
    """A tqdm bar on standard error. If standard error is not a terminal, it prints one line every `seconds`.

    `options` are those of tqdm, such as `total`, `desc` and `unit`.
    """
    from tqdm import tqdm

    return tqdm(iterable, mininterval=0.1 if sys.stderr.isatty() else seconds, **options)
