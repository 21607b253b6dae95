"""Functions that are the same, or nearly: by their tokens, whatever their layout and comments."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence

from ltp_pipeline.errors import UserError

SHINGLE = 5  # tokens in a row that count as one feature
PERMUTATIONS = 64
THRESHOLD = 0.85
HIGHEST = 0.9  # similarity that so few permutations can be indexed for; what is above is told apart exactly
_CODE = re.compile(
    r"""(?P<comment>/\*.*?\*/|//[^\n]*)|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\w+|[^\w\s]""", re.DOTALL
)


def code_tokens(text: str) -> list[str]:
    """Names, numbers, strings and signs of `text`, without white space and the comments of C.

    >>> code_tokens('if (a)  // why\\n  b("x y");')
    ['if', '(', 'a', ')', 'b', '(', '"x y"', ')', ';']
    """
    return [match[0] for match in _CODE.finditer(text) if match["comment"] is None]


def token_hash(tokens: Sequence[str]) -> bytes:
    """16 bytes that are the same for the same tokens only."""
    return hashlib.blake2b("\n".join(tokens).encode("utf-8", errors="replace"), digest_size=16).digest()


class NearDuplicates:
    """
    Finds, of the functions seen before, one that shares most of its runs of tokens with a new one.

    Candidates come from MinHash with locality-sensitive hashing (Broder 1997; the library datasketch); the similarity
    of a candidate is then computed exactly.

    Args:
        threshold: least Jaccard similarity of the two sets of `SHINGLE` tokens in a row, above 0 to 1.
    """

    def __init__(self, threshold: float = THRESHOLD):
        try:
            from datasketch import MinHash, MinHashLSH
        except ImportError as error:
            raise UserError("near duplicates need datasketch; expected `pip install datasketch`") from error
        self.threshold = threshold
        self._index = MinHashLSH(threshold=min(threshold, HIGHEST), num_perm=PERMUTATIONS)
        self._empty = MinHash(num_perm=PERMUTATIONS, hashfunc=zlib.crc32)
        self._features: dict[int, frozenset[int]] = {}

    def add(self, key: int, tokens: Sequence[str]) -> tuple[int, float] | None:
        """The function seen before that is most like `tokens`, and how much, if any is; then `key` is seen, too."""
        shingles = {"\n".join(tokens[i : i + SHINGLE]).encode() for i in range(max(len(tokens) - SHINGLE + 1, 1))}
        features = frozenset(map(zlib.crc32, shingles))
        sketch = self._empty.copy()
        sketch.update_batch(list(shingles))
        found = [(key, _similarity(features, self._features[key])) for key in self._index.query(sketch)]
        self._index.insert(key, sketch, check_duplication=False)
        self._features[key] = features
        best = max(found, key=lambda each: (each[1], -each[0]), default=None)
        return best if best is not None and best[1] >= self.threshold else None


def _similarity(one: frozenset[int], other: frozenset[int]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)
