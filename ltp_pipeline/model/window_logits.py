"""What a model says about a function that it has read in several windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ltp_pipeline.task.metrics import positive_scores

if TYPE_CHECKING:
    from datasets import Dataset


def functions_of(dataset: Dataset) -> np.ndarray | None:
    """The function, from 0, that each row of `dataset` is a window of, `[W]` ascending; None where each is its own."""
    if "function" not in getattr(dataset, "column_names", ()):
        return None
    functions = np.asarray(dataset["function"])
    return functions if len(functions) and functions[-1] + 1 < len(functions) else None


def best_windows(logits: np.ndarray, functions: np.ndarray) -> np.ndarray:
    """Of each of N functions the row, `[N]`, that gives class 1 the largest probability; the first of equals.

    Args:
        logits: `[W, 2]`.
        functions: `[W]` ascending, see `functions_of`.
    """
    order = np.lexsort((-positive_scores(logits), functions))  # by function, the best first; the sort is stable
    return order[first_windows(functions)]


def first_windows(functions: np.ndarray) -> np.ndarray:
    """The row, `[N]`, of each function's first window."""
    return np.flatnonzero(np.diff(functions, prepend=-1))


def summed_windows(counts: np.ndarray, functions: np.ndarray) -> np.ndarray:
    """`counts` of the windows, `[W, ...]`, added up over each function, `[N, ...]`."""
    return np.add.reduceat(counts, first_windows(functions), axis=0)
