"""Combines the logits and the counts of all windows of a long function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ltp_pipeline.task.metrics import positive_scores

if TYPE_CHECKING:
    from datasets import Dataset


def functions_of(dataset: Dataset) -> np.ndarray | None:
    """Index of the function of each row of `dataset`, `[W]` ascending; None if no function has several rows."""
    if "function" not in getattr(dataset, "column_names", ()):
        return None
    functions = np.asarray(dataset["function"])
    return functions if len(functions) and functions[-1] + 1 < len(functions) else None


def best_windows(logits: np.ndarray, functions: np.ndarray) -> np.ndarray:
    """Returns for each of N functions the row `[N]` with the highest probability of class 1 (the first of equal rows).

    `logits`: `[W, 2]`. `functions`: `[W]` ascending, see `functions_of`.
    """
    order = np.lexsort((-positive_scores(logits), functions))  # by function, the best first; the sort is stable
    return order[first_windows(functions)]


def first_windows(functions: np.ndarray) -> np.ndarray:
    """Returns the row of the first window of each function, `[N]`."""
    return np.flatnonzero(np.diff(functions, prepend=-1))


def summed_windows(counts: np.ndarray, functions: np.ndarray) -> np.ndarray:
    """Sums `counts` of the windows, `[W, ...]`, over each function: `[N, ...]`."""
    return np.add.reduceat(counts, first_windows(functions), axis=0)
