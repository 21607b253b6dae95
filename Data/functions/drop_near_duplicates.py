"""Of functions that are nearly the same, the first stays; what nearly is, ltp_pipeline/data/near_duplicates.py says.

Unlike the check of finished files, the builder compares signatures alone: its workers compute them, and 256 bytes a
function are all that it holds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from ltp_pipeline.data.near_duplicates import PERMUTATIONS, empty, new_index, runs, sketch

if TYPE_CHECKING:
    from Data.functions.labelling import LabelledFunction


def signature(tokens: Sequence[str]) -> bytes:
    """The MinHash of a function's runs of tokens: PERMUTATIONS numbers, uint32, as bytes."""
    return sketch(runs(tokens)).hashvalues.astype(np.uint32).tobytes()


def drop_near_duplicates(functions: Sequence[LabelledFunction], threshold: float) -> list[LabelledFunction]:
    """Keep a function unless it is like one kept before it: estimated Jaccard similarity at or over `threshold`.

    The order decides who stays. Since what stays is compared with all that stays, no two of them, in one split or in
    two, are found alike.
    """
    index = new_index()
    values: list[np.ndarray] = []
    kept: list[LabelledFunction] = []
    interval = 0.1 if sys.stderr.isatty() else 10
    for function in tqdm(functions, desc="near duplicates", unit="function", mininterval=interval):
        own = np.frombuffer(function.signature, dtype=np.uint32)
        minhash = empty().copy()
        minhash.hashvalues = own
        candidates = index.query(minhash)
        if any(np.count_nonzero(values[number] == own) >= threshold * PERMUTATIONS for number in candidates):
            continue
        index.insert(len(kept), minhash, check_duplication=False)
        kept.append(function)
        values.append(own)
    return kept
