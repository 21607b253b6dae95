"""Coordinates the processes that torchrun or accelerate launch has started for one run: rank, barrier, gather, exit.

The barrier uses the launcher's key-value store instead of a process group (as in `accelerate.PartialState`), for two
reasons. A process that fails can mark its next barrier as failed, so that the others end there without a traceback,
even before a process group exists. And the backend of a process group depends on flags, which are checked first.
"""

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.distributed import Store

BARRIER_TIMEOUT = 24 * 3600  # seconds: one process may prepare data for hours while the others wait
# Seconds that an ending process waits so that the others can end by themselves. Then the launcher kills them.
GRACE_PERIOD = 10
INTERRUPTED_GRACE_PERIOD = 2  # the same after a signal, which all processes have got at the same time
_barriers = itertools.count()


def process_count() -> int:
    """Number of processes that the launcher has started for this run; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1


def process_index() -> int:
    """Rank of this process, from 0."""
    return int(os.environ["RANK"]) if process_count() > 1 else 0


def is_main() -> bool:
    """Whether this is the process that prints and that writes files."""
    return process_index() == 0


@contextmanager
def alone() -> Iterator[None]:
    """Ends every process except the main one with status 0. In the block, that one works as if it were the only one.

    For work that cannot be shared.
    """
    if not is_main():
        sys.exit(0)
    # The libraries also read these variables, and would wait for the processes that have ended.
    names = ("LOCAL_RANK", "RANK", "WORLD_SIZE")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


@contextmanager
def only_main_prints() -> Iterator[None]:
    """Discards what the other processes print, including progress bars, but not their errors and warnings."""
    if is_main():
        yield
        return
    # `datasets` and `huggingface_hub` read these variables at import.
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if "transformers" in sys.modules:
        sys.modules["transformers"].utils.logging.disable_progress_bar()
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


def barrier() -> None:
    """Waits until every process is here. Ends this process with status 2 if another one has failed."""
    if process_count() == 1:
        return
    from torch.distributed import DistNetworkError

    try:
        states = _synchronize(b"here", BARRIER_TIMEOUT)
    except DistNetworkError:  # without torchrun the main process hosts the store; it has ended
        sys.exit(2)
    if b"failed" in states:
        sys.exit(2)


def fail(message: str, grace_period: float = GRACE_PERIOD) -> None:
    """Prints `message` if this is the first process to fail, then waits up to `grace_period` seconds for the others.

    The caller then ends this process. Processes that reach a barrier end themselves; the launcher kills the rest.
    """
    if process_count() == 1:
        print(message, file=sys.stderr)
        return
    from torch.distributed import DistError

    try:
        is_first = _store().add("failures", 1) == 1
    except DistError:
        is_first = is_main()
    if is_first:
        print(message, file=sys.stderr, flush=True)
    with suppress(DistError):  # the others did not reach the barrier in time, or have ended
        _synchronize(b"failed", grace_period)


def another_has_failed() -> bool:
    """Whether another process has called `fail`, or can no longer be asked."""
    if process_count() == 1 or not _store.cache_info().currsize:
        return False
    from torch.distributed import DistError

    try:
        return _store().add("failures", 0) > 0
    except DistError:
        return True


def gather(value: Any) -> list[Any] | None:
    """Returns the `value` of every process, in order of rank, in the main process, and None in the others."""
    if process_count() == 1:
        return [value]
    from torch import distributed

    barrier()
    if not distributed.is_initialized():
        distributed.init_process_group("gloo")
    values = [None] * process_count() if is_main() else None
    distributed.gather_object(value, values)
    return values


def disconnect() -> None:
    """Ends the process group, whether `gather` or the Trainer made it, and waits for the others to do the same."""
    if process_count() == 1:
        return
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()
    if _store.cache_info().currsize:
        with suppress(distributed.DistError):
            _synchronize(b"done", GRACE_PERIOD)


def split_by_weight(weights: list[int], count: int) -> list[list[int]]:
    """Splits the items 0, 1, ... into `count` shares of about the same weight: each goes to the lightest share so far.

    >>> split_by_weight([5, 4, 3, 2, 1], 2)
    [[0, 3], [1, 2, 4]]
    """
    shares: list[list[int]] = [[] for _ in range(count)]
    totals = [0] * count
    for item, weight in enumerate(weights):
        lightest = totals.index(min(totals))
        shares[lightest].append(item)
        totals[lightest] += weight
    return shares


@cache
def _store() -> "Store":
    from datetime import timedelta

    from torch.distributed import PrefixStore, rendezvous

    store, *_ = next(rendezvous("env://", timeout=timedelta(seconds=BARRIER_TIMEOUT)))
    return PrefixStore("ltp_pipeline", store)


def _synchronize(state: bytes, timeout: float) -> list[bytes]:
    """Stores `state` at this process's next barrier, waits for all processes, and returns the states of all.

    Raises torch.distributed.DistError if that takes more than `timeout` seconds. The main process returns last.
    """
    from torch.distributed.elastic.utils.store import synchronize

    place = f"barrier {next(_barriers)}: "
    return synchronize(_store(), state, process_index(), process_count(), place, timeout)
