"""The processes of one run, as torchrun and accelerate launch start them: who speaks, where they meet, how they end.

They meet at the launcher's key-value store and not through collective operations, so that one that fails can tell the
others whatever these are doing. A failing process takes the others' next meeting for its own last.
"""

import itertools
import os
import sys
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.distributed import Store

PATIENCE = timedelta(days=1)
FAREWELL = timedelta(seconds=10)  # what a failing process waits for others to fail too, before the launcher ends them
_meetings = itertools.count()


def process_count() -> int:
    """How many processes the launcher has started for this run; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1


def process_index() -> int:
    """Which of them this is, from 0."""
    return int(os.environ["RANK"]) if process_count() > 1 else 0


def is_main() -> bool:
    """Whether this process prints, and writes files."""
    return process_index() == 0


def stay_single() -> None:
    """From here on this process is the only one: for work that others cannot share. Those end at once, with 0."""
    if not is_main():
        sys.exit(0)
    for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE"):
        os.environ.pop(name, None)


def be_quiet() -> None:
    """Nothing but errors and warnings from this process: no prints, no progress bars."""
    sys.stdout = open(os.devnull, "w")
    # Read when the libraries are loaded, for which errors need not wait.
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if "transformers" in sys.modules:
        sys.modules["transformers"].utils.logging.disable_progress_bar()


def agree() -> None:
    """Waits until every process is here. If one has failed on the way, this one ends, with its status 2."""
    if process_count() == 1:
        return
    from torch.distributed import DistNetworkError

    try:
        words = _meet(b"here", PATIENCE)
    except DistNetworkError:  # without torchrun the main process holds the store: it has ended
        sys.exit(2)
    if b"failed" in words:
        sys.exit(2)


def fail(message: str) -> None:
    """Shows `message`, unless another process that failed on the same way was faster, and waits for those.

    The caller is to end this process; processes at `agree` end themselves, and the launcher those busy elsewhere.
    """
    if process_count() == 1:
        print(message, file=sys.stderr)
        return
    from torch.distributed import DistError

    try:
        first = _store().add("failures", 1) == 1
    except DistError:
        first = is_main()
    if first:
        print(message, file=sys.stderr, flush=True)
    try:
        _meet(b"failed", FAREWELL)
    except DistError:
        pass  # others are long in coming, or gone


def connect() -> None:
    """Lets `gather` work in programs that have no trainer, which connects the processes too."""
    if process_count() > 1:
        import torch.distributed

        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo", timeout=PATIENCE)


def gather(value: Any) -> list[Any] | None:
    """The main process gets every process's `value`, in their order; the others None."""
    if process_count() == 1:
        return [value]
    import torch.distributed

    values = [None] * process_count() if is_main() else None
    torch.distributed.gather_object(value, values)
    return values


def disconnect() -> None:
    """Ends what `connect`, or the library's trainer, began. The main process leaves last: it may hold the store."""
    if process_count() == 1:
        return
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    if _store.cache_info().currsize:
        if is_main():
            with suppress(torch.distributed.DistError):
                _store().wait([f"{process} has left" for process in range(1, process_count())], FAREWELL)
        else:
            _store().set(f"{process_index()} has left", b"")


def deal(weights: list[int], count: int) -> list[list[int]]:
    """Deals items to `count` hands of about the same weight, each item to the lightest hand so far.

    >>> deal([5, 4, 3, 2, 1], 2)
    [[0, 3], [1, 2, 4]]
    """
    hands: list[list[int]] = [[] for _ in range(count)]
    totals = [0] * count
    for item, weight in enumerate(weights):
        hand = totals.index(min(totals))
        hands[hand].append(item)
        totals[hand] += weight
    return hands


@cache
def _store() -> "Store":
    from torch.distributed import PrefixStore, rendezvous

    store, *_ = next(rendezvous("env://", timeout=PATIENCE))
    return PrefixStore("ltp_pipeline", store)


def _meet(word: bytes, timeout: timedelta) -> list[bytes]:
    """Leaves `word` at the next meeting and returns all processes' words when all have been there.

    Raises torch.distributed.DistError if they have not within `timeout`.
    """
    place = f"meeting {next(_meetings)}"
    keys = [f"{place}: {process}" for process in range(process_count())]
    _store().set(keys[process_index()], word)
    _store().wait(keys, timeout)
    return _store().multi_get(keys)
