"""Functions that are nearly the same, found by MinHash (Broder 1997) over runs of tokens, as datasketch has it."""

from __future__ import annotations

import functools
import sys
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

if TYPE_CHECKING:
    from datasketch import MinHash

    from Data.analyse_functions import LabelledFunction

PERMUTATIONS = 64
BANDS = (16, 4)  # bands, rows: a pair of similarity 0.9, 0.8, 0.7 is met with probability 1.0000, 0.9998, 0.988
RUN = 4  # tokens a shingle
SCHEME = "affine32"  # of datasketch: which permutations


def signature(tokens: Sequence[str]) -> bytes:
    """The MinHash of a function's runs of RUN tokens: PERMUTATIONS numbers, uint32, as bytes."""
    runs = {"\n".join(tokens[start : start + RUN]).encode() for start in range(max(1, len(tokens) - RUN + 1))}
    minhash = _empty().copy()
    minhash.update_batch(sorted(runs))
    return minhash.hashvalues.astype(np.uint32).tobytes()


@functools.cache
def _empty() -> MinHash:
    """Drawn once: the permutations take longer than most functions."""
    from datasketch import MinHash

    return MinHash(PERMUTATIONS, seed=1, hashfunc=zlib.crc32, scheme=SCHEME)


def drop_near_duplicates(functions: Sequence[LabelledFunction], threshold: float) -> list[LabelledFunction]:
    """Keep a function unless it is like one kept before it: estimated Jaccard similarity at or over `threshold`.

    The order decides who stays. Since what stays is compared with all that stays, no two of them, in one split or in
    two, are found alike.
    """
    from datasketch import MinHashLSH

    index = MinHashLSH(num_perm=PERMUTATIONS, params=BANDS)
    values: list[np.ndarray] = []
    kept: list[LabelledFunction] = []
    interval = 0.1 if sys.stderr.isatty() else 10
    for function in tqdm(functions, desc="near duplicates", unit="function", mininterval=interval):
        own = np.frombuffer(function.signature, dtype=np.uint32)
        minhash = _empty().copy()
        minhash.hashvalues = own
        candidates = index.query(minhash)
        if any(np.count_nonzero(values[number] == own) >= threshold * PERMUTATIONS for number in candidates):
            continue
        index.insert(len(kept), minhash, check_duplication=False)
        kept.append(function)
        values.append(own)
    return kept
