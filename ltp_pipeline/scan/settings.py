"""The settings of a scan, and the checks of their values."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.tokenization import cache_folder
from ltp_pipeline.data.truncation import MODES, WINDOWS

GRANULARITIES = ("auto", "function", "file")
DTYPES = ("auto", "float32", "bfloat16", "int8")
# The default of `view.token_scores`, and NONE of `view.line_results`, which import torch
LINE_SCORES, NO_LINE_SCORES = "gradient_x_input", "none"
MOST_WORKERS = 8  # more than these read faster than a GPU classifies


@dataclass(frozen=True, kw_only=True)
class ScanSettings:
    """What a scan reads, what it takes for a finding, and how it runs. The names are those of the flags.

    Raises UserError, which names the flag, if a value is wrong.
    """

    include: tuple[str, ...] = ()  # globs of files to scan; (): those with the ending of a known language
    exclude: tuple[str, ...] = ()  # globs of files and folders to leave out
    no_gitignore: bool = False
    granularity: str = "auto"  # one of GRANULARITIES; see `units.units_of`
    threshold: float | None = None  # probability above which a unit is a finding; None: the checkpoint's, else 0.5
    top: int | None = None  # take the units with the highest probability instead, this many
    max_length: int | None = None  # tokens that the model reads at once; None: as in training, at most 1024
    truncation: str = WINDOWS  # one of `data.truncation.MODES`
    line_scores: str = LINE_SCORES  # one of `view.line_results.CHOICES`
    dtype: str = "auto"  # one of DTYPES
    device: str | None = None  # such as "cuda:0"; None: a GPU if there is one, else the CPU
    max_tokens_per_batch: int | None = None
    num_threads: int | None = None  # of PyTorch; None: as it has them
    num_workers: int | None = None  # processes that read and tokenize; 0: this one does; None: `default_workers`
    changed_since: str | None = None  # scan only units that Git's diff from this commit touches
    suppressions: str | None = None  # file of findings to hide; None: .ltpignore in the current folder
    baseline: str | None = None  # SARIF file of an earlier scan, whose findings are not new
    cache_dir: str | None = None  # folder of results of earlier scans; None: `default_cache`
    no_cache: bool = False  # neither read nor keep such results
    quiet: bool = False  # no progress bar and no notes

    def __post_init__(self) -> None:
        for flag in ("include", "exclude"):
            given = getattr(self, flag)
            object.__setattr__(self, flag, (given,) if isinstance(given, str) else tuple(given))
        for flag, choices in (("granularity", GRANULARITIES), ("truncation", MODES), ("dtype", DTYPES)):
            if getattr(self, flag) not in choices:
                raise UserError(f"--{flag} {getattr(self, flag)}: expected {', '.join(choices)}")
        if self.threshold is not None and self.top is not None:
            raise UserError("--threshold and --top both say what is a finding; expected one of them")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UserError(f"--threshold {self.threshold}: expected a probability from 0 to 1")
        for flag in ("top", "max_tokens_per_batch", "num_threads"):
            if getattr(self, flag) is not None and getattr(self, flag) < 1:
                raise UserError(f"--{flag} {getattr(self, flag)}: expected 1 or more")
        if self.cache_dir is not None and self.no_cache:
            raise UserError("--cache_dir and --no_cache contradict each other; expected one of them")
        if self.num_workers is not None and self.num_workers < 0:
            raise UserError(f"--num_workers {self.num_workers}: expected 0 or more")

    @property
    def cache(self) -> Path | None:
        """The folder of the cache; None: there is none."""
        if self.no_cache:
            return None
        return default_cache() if self.cache_dir is None else Path(self.cache_dir)

    @property
    def workers(self) -> int:
        """How many processes read and tokenize beside the one with the model."""
        return default_workers() if self.num_workers is None else self.num_workers


def default_workers() -> int:
    """Half the cores that this process may use, at least 1 and at most `MOST_WORKERS`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(cores // 2, 1), MOST_WORKERS)


def default_cache() -> Path | None:
    """The folder `scan` in the project's cache; None without a home folder."""
    try:
        return cache_folder() / "scan"
    except RuntimeError:
        return None
