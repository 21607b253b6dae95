"""Finds functions that are similar to another one.

The similarity of two functions is the Jaccard similarity of their sets of runs of RUN tokens. MinHash signatures
(Broder 1997; library datasketch) estimate it, and an index with locality-sensitive hashing finds similar signatures.
`NearDuplicates` then computes the exact similarity. The builder (Data/functions/drop_near_duplicates.py) uses the
estimate.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.extras import check_installed
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.code.code_tokens import token_hash
from ltp_pipeline.quality.group_splits import group_components

if TYPE_CHECKING:
    from datasketch import MinHash, MinHashLSH

RUN = 4  # tokens
PERMUTATIONS = 64
RUNS_AT_ONCE = 2**15  # the library makes a matrix [runs, PERMUTATIONS] of 64-bit numbers: 16 MiB
SCHEME = "affine32"  # datasketch's name of the family of permutations
BANDS = (16, 4)  # bands, rows: pairs of similarity 0.9, 0.8, 0.7 are found with probability 1.0000, 0.9998, 0.988
LOWEST = 0.7  # the lowest similarity that is found reliably; at 0.5 every second pair would be missed
THRESHOLD = 0.85


def check_threshold(threshold: float, off: int) -> None:
    """Raises UserError if the value of `--near_duplicates` is neither from LOWEST to 1 nor `off`.

    Also raises UserError if the library for the search is not installed.
    """
    if not (LOWEST <= threshold <= 1 or threshold == off):
        raise UserError(
            f"--near_duplicates {threshold}: expected a similarity from {LOWEST} to 1, because lower ones are not "
            f"found reliably, or {off} for no search"
        )
    if threshold != off:
        _datasketch()


def token_runs(tokens: Sequence[str]) -> set[bytes]:
    """The set of all runs of RUN tokens; a shorter function is one run."""
    return {"\n".join(tokens[i : i + RUN]).encode(errors="replace") for i in range(max(len(tokens) - RUN + 1, 1))}


def minhash_of(runs: set[bytes]) -> MinHash:
    """The MinHash signature of a set of runs."""
    minhash, listed = empty_minhash().copy(), list(runs)
    for start in range(0, len(listed), RUNS_AT_ONCE):
        minhash.update_batch(listed[start : start + RUNS_AT_ONCE])
    return minhash


@functools.cache
def empty_minhash() -> MinHash:
    """The signature of the empty set. Copying it is faster than drawing its permutations for every function.

    Raises UserError if datasketch is not installed.
    """
    return _datasketch().MinHash(PERMUTATIONS, seed=1, hashfunc=zlib.crc32, scheme=SCHEME)


def new_index() -> MinHashLSH:
    """An index that returns, for a signature, the keys of earlier signatures that are probably similar."""
    return _datasketch().MinHashLSH(num_perm=PERMUTATIONS, params=BANDS)


class NearDuplicates:
    """Finds the earlier function that is most similar to a new one.

    `threshold`: lowest Jaccard similarity of the two sets of runs, LOWEST to 1.
    """

    def __init__(self, threshold: float = THRESHOLD):
        self.threshold = threshold
        self._index = new_index()
        self._hashes: dict[int, np.ndarray] = {}  # of each function's different runs, ascending: 4 bytes for each run

    def add(self, key: int, tokens: Sequence[str]) -> tuple[int, float] | None:
        """Adds a function. Returns the key and similarity of the most similar earlier function, or None."""
        return max(self.add_and_list(key, tokens), key=lambda each: (each[1], -each[0]), default=None)

    def add_and_list(self, key: int, tokens: Sequence[str]) -> list[tuple[int, float]]:
        """Adds a function. Returns the key and similarity of each earlier function that is similar."""
        runs = token_runs(tokens)
        hashes = np.unique(np.fromiter(map(zlib.crc32, runs), dtype=np.uint32, count=len(runs)))
        minhash = minhash_of(runs)
        found = [(other, _similarity(hashes, self._hashes[other])) for other in self._index.query(minhash)]
        self._index.insert(key, minhash, check_duplication=False)
        self._hashes[key] = hashes
        return [each for each in found if each[1] >= self.threshold]

    def remove(self, key: int) -> None:
        """Forgets a function that was added."""
        self._index.remove(key)
        del self._hashes[key]


def near_duplicate_groups(functions: Sequence[Sequence[str]], threshold: float = THRESHOLD) -> list[str]:
    """A name for each function, `[N]`: functions that are near duplicates, or are joined by a chain of them, share it.

    `functions`: the lexical tokens of each. Draws a progress bar.
    """
    near, numbers = NearDuplicates(threshold), {}
    groups = []
    for key, tokens in enumerate(progress_bar(functions, desc="near duplicates", unit="function")):
        name = token_hash(tokens)
        if name not in numbers:  # comparing each copy with all others would take quadratic time
            numbers[name] = key
            groups.append([str(key), *(str(other) for other, _ in near.add_and_list(key, tokens))])
        else:
            groups.append([str(numbers[name])])
    return [f"near-{component}" for component in group_components(groups)]


def _similarity(one: np.ndarray, other: np.ndarray) -> float:
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


@functools.cache
def _datasketch():
    check_installed("--near_duplicates", "data", "datasketch")
    import datasketch

    return datasketch
