"""How many threads compute, `--num_threads`, and how long they spin while they wait for each other.

The threads of a parallel step wait for the slowest one. If another process uses its core, that takes whole time slices
of the scheduler. The threads that wait keep the other cores busy meanwhile, because OpenMP lets them spin. Therefore
`auto` leaves busy cores to the others, and `base/before_torch.py` lets threads sleep early. Measured in
docs/performance.md (Beside other work).
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.processes import is_main, process_count

AUTO = "auto"
HELP = "Threads on the CPU; auto: as OMP_NUM_THREADS or MKL_NUM_THREADS says, else one for each core that is idle."
SET_BY_USER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # which PyTorch reads, in this order
MOST = 4096  # threads; PyTorch fails on a number that it cannot start
INTERVAL = 0.2  # seconds over which the load of other processes is measured, at least
# Variables that say how long threads of GNU OpenMP, which PyTorch uses on Linux, spin. The number is that of checks.
SPINNING = {"GOMP_SPINCOUNT": "2000"}
SPINNING_SET_BY_USER = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
QUOTAS = ("cpu.max", "cpu/cpu.cfs_quota_us")  # below /sys/fs/cgroup: version 2 and 1
SYSTEM = Path("/")


class Reading(NamedTuple):
    """What was known at one moment, in seconds."""

    clock: float
    busy: float  # that the cores of this process have computed, for all processes; NaN: unknown
    own: float  # that this process has computed


def check_num_threads(text: str) -> int | None:
    """The value of --num_threads; None: auto. Raises UserError for anything but auto and numbers from 1 to `MOST`."""
    if text == AUTO:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MOST)) and 1 <= int(text) <= MOST):
        raise UserError(f"--num_threads {text}: expected auto, or 1 to {MOST}")
    return int(text)


def chosen_threads(text: str, quiet: bool = False) -> int | None:
    """The number of threads for a value of --num_threads; None: as PyTorch has it, because the environment sets it.

    `quiet`: prints no note. Raises UserError as `check_num_threads`. Does not import torch.
    """
    wanted, cores = check_num_threads(text), usable_cores()
    if wanted is not None:
        if wanted > cores and is_main():
            print(
                f"warning: --num_threads {wanted}: this process may use {_counted(cores, 'core')}; more threads than "
                "cores wait for each other",
                file=sys.stderr,
            )
        return wanted
    if _is_set_by_user():
        return None
    if process_count() > 1 or cores == 1:  # the processes of one run would take each other for a load
        return max(cores // int(os.environ.get("LOCAL_WORLD_SIZE", process_count())), 1)
    busy, present = busy_cores(), physical_cores()
    threads = auto_threads(cores, present, busy)
    if threads < cores and not quiet:
        print(
            f"note: other processes use {busy:.1f} of {_counted(present, 'core')}; {_counted(threads, 'thread')} "
            f"will compute (--num_threads {cores}: use all)",
            file=sys.stderr,
        )
    return threads


def use_threads(text: str) -> None:
    """Lets PyTorch compute with as many threads as --num_threads `text` says. Raises UserError for a wrong value."""
    threads = chosen_threads(text)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def use_threads_again(text: str, earlier: object) -> None:
    """With auto, lets a resumed training go on with as many threads as before: gradients depend on their number.

    `earlier`: the number that the interrupted run has recorded, if any.
    """
    is_free = check_num_threads(text) is None and not _is_set_by_user()
    if is_free and isinstance(earlier, int) and 1 <= earlier <= usable_cores():
        import torch

        torch.set_num_threads(earlier)


def auto_threads(cores: int, present: int, busy: float) -> int:
    """As many threads as cores are idle, from 1 to `cores`.

    `busy`: how many of the `present` cores other processes keep busy. Half a core rounds up to an idle one.
    """
    return max(min(int(present - busy + 0.5), cores), 1)


def usable_cores() -> int:
    """Physical cores that this process may use, by affinity and the quota of its control group; at least 1."""
    return max(int(min(physical_cores(), _quota())), 1)


def physical_cores() -> int:
    """Physical cores on which this process may run, by affinity alone. With a quota, others use them, too."""
    siblings = set()
    for number in _affinity():
        try:
            siblings.add((SYSTEM / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list").read_text())
        except OSError:  # another system
            siblings.add(str(number))
    return len(siblings)


def busy_cores() -> float:
    """How many of the cores on which this process may run others have kept busy since this module was loaded; 0 if
    that is unknown.
    """
    time.sleep(max(_STARTED.clock + INTERVAL - time.monotonic(), 0))
    now = read_load()
    others = (now.busy - _STARTED.busy) - (now.own - _STARTED.own)
    share = others / (now.clock - _STARTED.clock)
    return share if share > 0 else 0.0  # also for NaN


def read_load() -> Reading:
    """Reads what the cores have computed so far, from /proc/stat."""
    busy, numbers = float("nan"), {f"cpu{number}" for number in _affinity()}
    with suppress(OSError, ValueError, IndexError):
        rows = [line.split() for line in (SYSTEM / "proc/stat").read_text().splitlines()]
        # user, nice, system, idle, iowait, irq, softirq
        ticks = [sum(map(int, row[1:4])) + sum(map(int, row[6:8])) for row in rows if row and row[0] in numbers]
        if ticks:
            busy = sum(ticks) / os.sysconf("SC_CLK_TCK")
    return Reading(time.monotonic(), busy, time.process_time())


def _affinity() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _is_set_by_user() -> bool:
    return any(os.environ.get(name) for name in SET_BY_USER)


def _quota() -> float:
    """Cores that the control group and those above it may use on average; infinity without a limit."""
    limit = float("inf")
    for path in _quota_files():
        with suppress(OSError, ValueError):
            words = path.read_text().split()
            if len(words) == 1:
                words.append(path.with_name("cpu.cfs_period_us").read_text())
            quota, period = words
            if quota != "max" and float(quota) > 0:
                limit = min(limit, float(quota) / float(period))
    return limit


def _quota_files() -> list[Path]:
    """Where a quota may stand: for the group of this process and those above it (version 2), in a container (1)."""
    root = SYSTEM / "sys/fs/cgroup"
    group = PurePosixPath("/")
    with suppress(OSError):
        lines = (SYSTEM / "proc/self/cgroup").read_text().splitlines()
        group = PurePosixPath(next((line[3:] for line in lines if line.startswith("0::/")), "/"))
    folders = [root.joinpath(*place.parts[1:]) for place in (group, *group.parents)]
    return [*(folder / QUOTAS[0] for folder in folders), root / QUOTAS[1]]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


_STARTED = read_load()
