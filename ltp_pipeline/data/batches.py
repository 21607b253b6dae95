"""Puts functions of similar length into batches with at most a given number of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

# Number of steps between two powers of two. Lengths are rounded up to a step, so that functions with the same rounded
# length can be in different batches in each epoch. At most 1/8 of a batch remains unused.
STEPS_PER_DOUBLING = 8
DEFAULT_MAX_TOKENS = 8192  # tokens of an evaluation batch
EVAL_HELP = (
    "Maximum number of tokens in a batch of functions of similar length; a longer function gets a batch of its own "
    f"(default: {DEFAULT_MAX_TOKENS}, unless the number of functions in a batch is given)."
)


def sorted_batches(
    lengths: Sequence[int], *, max_tokens: int | None = None, size: int | None = None, padded: bool = False
) -> list[list[int]]:
    """Indices of the functions in each batch, the longest functions first.

    Args:
        lengths: tokens of each function, `[N]`.
        max_tokens: maximum tokens in a batch; None: DEFAULT_MAX_TOKENS, unless `size` is given.
        size: functions in a batch, if `max_tokens` is None.
        padded: whether the model computes padding; then padding counts as tokens.
    """
    if max_tokens is None and size is not None:
        order = np.argsort(-np.asarray(lengths), kind="stable").tolist()
        return [order[start : start + size] for start in range(0, len(order), size)]
    return list(EvalTokenBatches(lengths, max_tokens or DEFAULT_MAX_TOKENS, padded=padded))


class TrainTokenBatches:
    """Batch sampler for training: each epoch has as many batches, with other functions and in another order.

    Functions are sorted by rounded length and cut into batches once. Each epoch shuffles the functions with the same
    rounded length, then the batches. Both depend only on `seed` and the epoch, so a resumed run sees the same batches.
    All processes get the same number of batches, and at every step batches of similar length.

    Args:
        lengths: tokens of each function, `[N]`; none above `max_tokens`.
        padded: whether the model computes padding; then padding counts as tokens.
        processes, rank: the number of processes that share the batches, and the index of this one.
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
        self._order = np.argsort(rounded, kind="stable")  # index of the function at each position
        self._buckets = np.flatnonzero(np.diff(rounded[self._order])) + 1
        sizes = _divisible(_batch_sizes(rounded[self._order], max_tokens, padded), processes)
        self._cuts = np.cumsum(sizes)[:-1]

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, from 0, of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches of one process in an epoch."""
        return -(-(len(self._cuts) + 1) // self.processes)

    def __iter__(self) -> Iterator[list[int]]:
        """Indices of the functions in each batch."""
        random = np.random.default_rng([self.seed, self.epoch])
        order = np.concatenate([random.permutation(bucket) for bucket in np.split(self._order, self._buckets)])
        batches = np.split(order, self._cuts)
        while len(batches) % self.processes:  # only if every batch is a single function
            batches.append(batches[len(batches) % self.processes])
        steps = len(batches) // self.processes
        for step in random.permutation(steps):
            yield batches[step * self.processes + self.rank].tolist()


class EvalTokenBatches:
    """Batch sampler for evaluation: the longest functions first. In every step all processes have batches of one size.

    With several processes the last step may repeat functions; `restore` drops the repetitions.

    Args: those of [`TrainTokenBatches`].
    """

    def __init__(
        self, lengths: Sequence[int], max_tokens: int, *, padded: bool = False, processes: int = 1, rank: int = 0
    ):
        lengths = np.asarray(lengths)
        order = np.argsort(-lengths, kind="stable")
        self._steps: list[np.ndarray] = []  # [processes, functions in a batch]
        start = 0
        while start < len(order):
            left = order[start:]
            size = max(1, min(_fit(lengths[left], max_tokens, padded, processes), len(left) // processes))
            step = np.resize(left[: size * processes], (size, processes)).T  # each process gets every n-th function
            self._steps.append(step)
            start += size * processes
        self.rank = rank
        self._gathered = np.concatenate([step.ravel() for step in self._steps] or [order])
        # Whether this process's last batch is a function that another process evaluates, too.
        self.last_is_repeated = len(self._gathered) - len(lengths) >= processes - rank

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps:
            yield step[self.rank].tolist()

    def restore(self, gathered: np.ndarray | tuple) -> np.ndarray | tuple:
        """Puts the results for N functions into the order of the data, `[N, ...]`.

        Args:
            gathered: `[M, ...]`, the results of all processes in the first step, then in the second step, and so on;
                M > N if functions were repeated. Or a tuple of such arrays.
        """
        if isinstance(gathered, tuple):
            return tuple(map(self.restore, gathered))
        places = np.unique(self._gathered, return_index=True)[1]
        return gathered[places]


def rounded_lengths(lengths: np.ndarray, limit: int) -> np.ndarray:
    """`lengths` rounded up to the next step, `[N]` int64, at most `limit`."""
    lengths = np.asarray(lengths, dtype=np.int64)
    step = np.maximum(2 ** np.floor(np.log2(np.maximum(lengths, 1))).astype(np.int64) // STEPS_PER_DOUBLING, 1)
    return np.minimum(-(-lengths // step) * step, limit)


def _batch_sizes(ascending: np.ndarray, max_tokens: int, padded: bool) -> list[int]:
    """The number of functions in each batch, if functions with `ascending` lengths fill one batch after the other."""
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
    """Halves the largest batches until their number is divisible by `processes`, if there are enough functions."""
    while len(sizes) % processes and max(sizes) > 1:
        largest = sizes.index(max(sizes))
        half = sizes[largest] // 2
        sizes[largest : largest + 1] = [half, sizes[largest] - half]
    return sizes


def _fit(descending: np.ndarray, max_tokens: int, padded: bool, processes: int) -> int:
    """The number of functions that fit into each process's batch, if processes take functions in turn."""
    longest = descending[::processes]  # the first process gets the longest ones
    cost = longest[0] * np.arange(1, len(longest) + 1) if padded else np.cumsum(longest)
    return int(np.searchsorted(cost, max_tokens, side="right"))
