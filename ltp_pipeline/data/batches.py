"""Batches of at most so many tokens, of functions of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

# A length counts as the next of these many steps from one power of two to the next: up to 1/8 is left unused, and
# functions whose lengths count as the same are exchanged between batches from epoch to epoch.
STEPS_PER_DOUBLING = 8
DEFAULT_MAX_TOKENS = 8192  # of a batch that nothing is learned from
EVAL_HELP = (
    "Batches of functions of like length with at most so many tokens each; a longer function is a batch of its own "
    f"(default: {DEFAULT_MAX_TOKENS}, unless a number of functions is given)."
)


def sorted_batches(
    lengths: Sequence[int], *, max_tokens: int | None = None, size: int | None = None, padded: bool = False
) -> list[list[int]]:
    """
    Indices of the functions of each batch, the longest first.

    Args:
        lengths: tokens of each function, `[N]`.
        max_tokens: most tokens of a batch; None: DEFAULT_MAX_TOKENS, unless `size` is given.
        size: functions of a batch, where `max_tokens` is None.
        padded: whether padding is computed, and so counted.
    """
    if max_tokens is None and size is not None:
        order = np.argsort(-np.asarray(lengths), kind="stable").tolist()
        return [order[start : start + size] for start in range(0, len(order), size)]
    return list(EvalTokenBatches(lengths, max_tokens or DEFAULT_MAX_TOKENS, padded=padded))


class TrainTokenBatches:
    """
    Batch sampler of training: in every epoch other batches in another order, always as many.

    Functions are sorted by length and cut into batches once, by rounded lengths. An epoch shuffles the functions among
    the places of their rounded length and then the batches; both depend on `seed` and the epoch alone, so that a
    resumed run sees the same. Several processes get equally many batches, of like length at every step.

    Args:
        lengths: tokens of each function, `[N]`; none above `max_tokens`.
        max_tokens: most tokens of a batch.
        padded: whether padding is computed, and so counted.
        seed: of the order.
        processes, rank: how many share the batches, and which of them this is.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        max_tokens: int,
        *,
        padded: bool = False,
        seed: int = 0,
        processes: int = 1,
        rank: int = 0,
    ):
        lengths = np.asarray(lengths)
        self.seed, self.processes, self.rank, self.epoch = seed, processes, rank, 0
        rounded = rounded_lengths(lengths, max_tokens)
        self._order = np.argsort(rounded, kind="stable")  # index of the function at each place
        self._buckets = np.flatnonzero(np.diff(rounded[self._order])) + 1
        sizes = _divisible(_batch_sizes(rounded[self._order], max_tokens, padded), processes)
        self._cuts = np.cumsum(sizes)[:-1]

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next iteration is, from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches of an epoch and process."""
        return -(-(len(self._cuts) + 1) // self.processes)

    def __iter__(self) -> Iterator[list[int]]:
        """Indices of the functions of each batch."""
        random = np.random.default_rng([self.seed, self.epoch])
        order = np.concatenate([random.permutation(bucket) for bucket in np.split(self._order, self._buckets)])
        batches = np.split(order, self._cuts)
        while len(batches) % self.processes:  # only where every batch is a single function
            batches.append(batches[len(batches) % self.processes])
        steps = len(batches) // self.processes
        for step in random.permutation(steps):
            yield batches[step * self.processes + self.rank].tolist()


class EvalTokenBatches:
    """
    Batch sampler of evaluation: the longest functions first, the same number on every process at every step.

    With several processes the last step may repeat functions; `restore` leaves those out.

    Args: those of [`TrainTokenBatches`].
    """

    def __init__(
        self, lengths: Sequence[int], max_tokens: int, *, padded: bool = False, processes: int = 1, rank: int = 0
    ):
        lengths = np.asarray(lengths)
        order = np.argsort(-lengths, kind="stable")
        self._steps: list[np.ndarray] = []  # [processes, functions of a batch]
        start = 0
        while start < len(order):
            left = order[start:]
            size = max(1, min(_fit(lengths[left], max_tokens, padded, processes), len(left) // processes))
            step = np.resize(left[: size * processes], (size, processes)).T  # neighbours in length, one each
            self._steps.append(step)
            start += size * processes
        self.rank = rank
        self._gathered = np.concatenate([step.ravel() for step in self._steps] or [order])
        # Whether this process's last batch is a function that another one has.
        self.last_is_repeated = len(self._gathered) - len(lengths) >= processes - rank

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps:
            yield step[self.rank].tolist()

    def restore(self, gathered: np.ndarray | tuple) -> np.ndarray | tuple:
        """What was computed for each of N functions, in the order of the data.

        Args:
            gathered: the same from all steps and processes in turn, `[M, ...]`; M > N where functions were repeated.
                Or several such in a tuple.
        """
        if isinstance(gathered, tuple):
            return tuple(map(self.restore, gathered))
        places = np.unique(self._gathered, return_index=True)[1]
        return gathered[places]


def rounded_lengths(lengths: np.ndarray, limit: int) -> np.ndarray:
    """`lengths` up to the next step, `[N]` int64, at most `limit`."""
    lengths = np.asarray(lengths, dtype=np.int64)
    step = np.maximum(2 ** np.floor(np.log2(np.maximum(lengths, 1))).astype(np.int64) // STEPS_PER_DOUBLING, 1)
    return np.minimum(-(-lengths // step) * step, limit)


def _batch_sizes(ascending: np.ndarray, max_tokens: int, padded: bool) -> list[int]:
    """Functions in each batch, where those of `ascending` lengths are taken in turn."""
    sizes, tokens = [], 0
    for length in ascending.tolist():
        cost = length * (sizes[-1] + 1) if sizes and padded else tokens + length
        if sizes and cost <= max_tokens:
            sizes[-1] += 1
            tokens += length
        else:
            sizes.append(1)
            tokens = length
    return sizes


def _divisible(sizes: list[int], processes: int) -> list[int]:
    """`sizes` with the largest batches cut in two until their number is divisible, if there are functions enough."""
    while len(sizes) % processes and max(sizes) > 1:
        largest = sizes.index(max(sizes))
        half = sizes[largest] // 2
        sizes[largest : largest + 1] = [half, sizes[largest] - half]
    return sizes


def _fit(descending: np.ndarray, max_tokens: int, padded: bool, processes: int) -> int:
    """How many functions each process can take at once, where neighbours go to different ones."""
    longest = descending[::processes]  # those of the first process
    cost = longest[0] * np.arange(1, len(longest) + 1) if padded else np.cumsum(longest)
    return int(np.searchsorted(cost, max_tokens, side="right"))
