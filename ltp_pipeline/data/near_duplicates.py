"""Functions that are the same, or nearly: by their tokens, whatever their layout and comments.

MinHash (Broder 1997; the library datasketch) over runs of RUN tokens, and an index by locality-sensitive hashing. The
builder (Data/functions/drop_near_duplicates.py) drops functions by the similarity that their signatures estimate;
`NearDuplicates` holds the runs, too, and so knows the exact one.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ltp_pipeline.base.errors import UserError

if TYPE_CHECKING:
    from datasketch import MinHash, MinHashLSH

RUN = 4  # tokens in a row that count as one feature
PERMUTATIONS = 64
SCHEME = "affine32"  # of datasketch: which permutations
BANDS = (16, 4)  # bands, rows: a pair of similarity 0.9, 0.8, 0.7 is met with probability 1.0000, 0.9998, 0.988
LOWEST = 0.7  # similarity that is met reliably: at 0.5 it would be every second pair
THRESHOLD = 0.85


def check_threshold(threshold: float, off: int) -> None:
    """Raises UserError for a `--near_duplicates` that is neither LOWEST to 1 nor `off`."""
    if not (LOWEST <= threshold <= 1 or threshold == off):
        raise UserError(
            f"--near_duplicates {threshold}: expected a similarity from {LOWEST} to 1; below, too many pairs would be "
            f"missed ({off}: no search)"
        )


def runs(tokens: Sequence[str]) -> set[bytes]:
    """The runs of RUN tokens; of fewer tokens, all of them as one."""
    return {"\n".join(tokens[i : i + RUN]).encode(errors="replace") for i in range(max(len(tokens) - RUN + 1, 1))}


def sketch(features: set[bytes]) -> MinHash:
    """The MinHash of a set of runs."""
    minhash = empty().copy()
    minhash.update_batch(list(features))
    return minhash


@functools.cache
def empty() -> MinHash:
    """To be copied: drawing the permutations takes longer than most functions. Raises UserError without datasketch."""
    return _datasketch().MinHash(PERMUTATIONS, seed=1, hashfunc=zlib.crc32, scheme=SCHEME)


def new_index() -> MinHashLSH:
    """An index that gives, for a MinHash, the keys of those seen before that are probably like it."""
    return _datasketch().MinHashLSH(num_perm=PERMUTATIONS, params=BANDS)


class NearDuplicates:
    """
    Finds, of the functions seen before, one that shares most of its runs of tokens with a new one.

    Candidates come from the index; the similarity of a candidate is then computed exactly.

    Args:
        threshold: least Jaccard similarity of the two sets of runs, LOWEST to 1.
    """

    def __init__(self, threshold: float = THRESHOLD):
        self.threshold = threshold
        self._index = new_index()
        self._features: dict[int, frozenset[int]] = {}

    def add(self, key: int, tokens: Sequence[str]) -> tuple[int, float] | None:
        """The function seen before that is most like `tokens`, and how much, if any is; then `key` is seen, too."""
        own = runs(tokens)
        features = frozenset(map(zlib.crc32, own))
        minhash = sketch(own)
        found = [(key, _similarity(features, self._features[key])) for key in self._index.query(minhash)]
        self._index.insert(key, minhash, check_duplication=False)
        self._features[key] = features
        best = max(found, key=lambda each: (each[1], -each[0]), default=None)
        return best if best is not None and best[1] >= self.threshold else None


def _similarity(one: frozenset[int], other: frozenset[int]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)


@functools.cache
def _datasketch():
    try:
        import datasketch
    except ImportError as error:
        raise UserError("near duplicates need datasketch; expected `pip install datasketch`") from error
    return datasketch
