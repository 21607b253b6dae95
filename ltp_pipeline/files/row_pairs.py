"""Finds the pairs of a file: a defective function, and the same function after its repair."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

BOTH = [0, 1], [1, 0]  # labels of the two functions of a pair
LEAST_PAIRED = 0.95  # share of the rows 1 and 2, 3 and 4, ... that must be pairs, or else the file has none
LEAST_COMMON = 0.5  # share of the words of the longer function that its repaired form must have, too


def named_pairs(names: Sequence[str], labels: Sequence[int]) -> np.ndarray:
    """The pair of each row: `[N]` texts, "" for a row without a partner.

    `names`: the pair of each row in the file. It holds if exactly two rows have it, one of label 1, one of label 0.
    """
    import numpy as np

    places = defaultdict(list)
    for place, name in enumerate(names):
        places[name].append(place)
    pairs = np.full(len(names), "", dtype=object)
    for name, (first, *others) in places.items():
        if name and len(others) == 1 and [labels[first], labels[others[0]]] in BOTH:
            pairs[[first, *others]] = name
    return pairs


def neighbouring_pairs(frame: pd.DataFrame, commit: str) -> np.ndarray:
    """The pair of each row, if the two rows after each other in the file are a pair; otherwise as [`named_pairs`].

    Rows 1 and 2 are a pair, 3 and 4, and so on, if they have the same commit, both labels, and half of their words in
    common. The name is the number of the first of the two rows.

    `frame`: as `read_functions` returns it, also a part. `commit`: its column with the commit.
    """
    import numpy as np

    pairs = np.full(len(frame), "", dtype=object)
    texts = frame["functionSource"].tolist()
    for first, second in _couples(frame, commit):
        if are_similar(texts[first], texts[second]):
            pairs[[first, second]] = str(frame.index[first] + 1)
    return pairs


def has_neighbouring_pairs(frame: pd.DataFrame, commit: str) -> bool:
    """Whether almost all rows of a file are two rows after each other of the same commit and of both labels."""
    return 2 * len(_couples(frame, commit)) >= max(2, LEAST_PAIRED * len(frame))


def _couples(frame: pd.DataFrame, commit: str) -> list[tuple[int, int]]:
    """The positions of rows 1 and 2, 3 and 4, ... of the file that have the same commit and both labels."""
    rows, labels, commits = frame.index.tolist(), frame["label"].tolist(), frame[commit].tolist()
    return [
        (place - 1, place)
        for place in range(1, len(rows))
        if rows[place] % 2
        and rows[place - 1] == rows[place] - 1
        and labels[place - 1 : place + 1] in BOTH
        and commits[place - 1] == commits[place]
        and commits[place] not in ("", None)
    ]


def are_similar(one: str, other: str) -> bool:
    """Whether half of the words of the longer function stand in the other, too."""
    counts = [Counter(re.findall(r"\w+", text)) for text in (one, other)]
    common = (counts[0] & counts[1]).total()
    return common >= LEAST_COMMON * max(1, *(count.total() for count in counts))
