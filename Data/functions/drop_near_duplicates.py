"""Drops functions that are nearly the same as an earlier one, by the MinHash signatures of their tokens.

The builder compares only signatures, which its workers compute: it needs 256 bytes of memory for each function. The
check of finished files (ltp_pipeline/quality/near_duplicates.py) also compares the exact sets of runs of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.quality.near_duplicates import PERMUTATIONS, empty_minhash, minhash_of, new_index, token_runs

if TYPE_CHECKING:
    from Data.functions.labelling import LabelledFunction


def signature(tokens: Sequence[str]) -> bytes:
    """The MinHash of a function's runs of tokens: PERMUTATIONS numbers, uint32, as bytes."""
    return minhash_of(token_runs(tokens)).hashvalues.astype(np.uint32).tobytes()


def drop_near_duplicates(functions: Sequence[LabelledFunction], threshold: float) -> list[LabelledFunction]:
    """Keeps each function whose estimated Jaccard similarity to every function kept before is below `threshold`."""
    index = new_index()
    signatures: list[np.ndarray] = []
    kept: list[LabelledFunction] = []
    for function in progress_bar(functions, desc="near duplicates", unit="function"):
        own = np.frombuffer(function.signature, dtype=np.uint32)
        minhash = empty_minhash().copy()
        minhash.hashvalues = own
        candidates = index.query(minhash)
        if any(np.count_nonzero(signatures[number] == own) >= threshold * PERMUTATIONS for number in candidates):
            continue
        index.insert(len(kept), minhash, check_duplication=False)
        kept.append(function)
        signatures.append(own)
    return kept
