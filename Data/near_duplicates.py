"""Functions that are nearly the same, found by MinHash (Broder 1997) over runs of tokens, as datasketch has it."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

if TYPE_CHECKING:
    from Data.analyse_functions import LabelledFunction

PERMUTATIONS = 64
RUN = 4  # tokens a shingle
SCHEME = "affine32"  # of datasketch: which permutations


def signature(tokens: Sequence[str]) -> bytes:
    """The MinHash of a function's runs of RUN tokens: PERMUTATIONS numbers, uint32, as bytes."""
    from datasketch import MinHash

    runs = {"\n".join(tokens[start : start + RUN]).encode() for start in range(max(1, len(tokens) - RUN + 1))}
    minhash = MinHash(PERMUTATIONS, seed=1, hashfunc=zlib.crc32, scheme=SCHEME)
    minhash.update_batch(sorted(runs))
    return minhash.hashvalues.astype(np.uint32).tobytes()


def drop_near_duplicates(functions: Sequence[LabelledFunction], threshold: float) -> list[LabelledFunction]:
    """Keep a function unless it is like one kept before it: estimated Jaccard similarity at or over `threshold`.

    The order decides who stays. Since what stays is compared with all that stays, no two of them, in one split or in
    two, are found alike.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, weights=(0.2, 0.8))  # rather too many candidates
    values: list[np.ndarray] = []
    kept: list[LabelledFunction] = []
    interval = 0.1 if sys.stderr.isatty() else 10
    for function in tqdm(functions, desc="near duplicates", unit="function", mininterval=interval):
        own = np.frombuffer(function.signature, dtype=np.uint32)
        minhash = MinHash(PERMUTATIONS, seed=1, hashvalues=own, scheme=SCHEME)
        candidates = index.query(minhash)
        if any(np.count_nonzero(values[number] == own) >= threshold * PERMUTATIONS for number in candidates):
            continue
        index.insert(len(kept), minhash, check_duplication=False)
        kept.append(function)
        values.append(own)
    return kept
