"""Decides which function goes to training, validation or test, and in which order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from Data.functions.labelling import LabelledFunction
from Data.sources.source_list import SPLITS
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.quality.group_splits import group_splits

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}

Splits = dict[str, list[LabelledFunction]]


def drop_duplicates(functions: Iterable[LabelledFunction]) -> list[LabelledFunction]:
    """Keeps the first function of each token hash, in order."""
    first: dict[bytes, LabelledFunction] = {}
    for function in functions:
        first.setdefault(function.token_hash, function)
    return list(first.values())


def split_by_name(functions: Iterable[LabelledFunction], split_of: Mapping[str, str]) -> Splits:
    """Puts each function into the split of its project. `split_of` maps the name of a project to its split."""
    splits: Splits = {split: [] for split in SPLITS}
    for function in functions:
        splits[split_of[function.function.project]].append(function)
    return splits


def split_by_size(functions: Sequence[LabelledFunction]) -> Splits:
    """Puts whole projects into the splits, or whole files if there are fewer than three projects.

    The one with most functions is put into training, the second into test and the third into validation. Each further
    one is put into the split that is furthest below its share (70 % training, 20 % test, 10 % validation).
    Raises UserError if there are fewer than three files with functions.
    """
    by_file = len({function.function.project for function in functions}) < len(SPLITS)

    def group(function: LabelledFunction) -> tuple[str, str]:
        return (function.function.project, function.function.path if by_file else "")

    sizes = Counter(map(group, functions))
    if len(sizes) < len(SPLITS):
        raise UserError(f"--source_dir: only {len(sizes)} file(s) with functions; three splits need at least three")
    missing = {split: share * len(functions) for split, share in SHARES.items()}
    chosen: dict[tuple[str, str], str] = {}
    for rank, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))):
        chosen[name] = ("train", "test", "validation")[rank] if rank < len(SPLITS) else max(SPLITS, key=missing.get)
        missing[chosen[name]] -= size
    return {split: [function for function in functions if chosen[group(function)] == split] for split in SPLITS}


def split_files(functions: Sequence[LabelledFunction], seed: int) -> Splits:
    """Puts whole files into the splits, at random, so that the shares of rows and of both labels are those of SHARES.

    Raises UserError if there are fewer than three files with functions.
    """
    files = [[f"{one.function.project}/{one.function.path}"] for one in functions]
    count = len({name for (name,) in files})
    if count < len(SPLITS):
        raise UserError(
            f"--source_dir: functions are in {count} file(s) only; expected three or more, for three splits"
        )
    number = group_splits(files, [SHARES[split] for split in SPLITS], seed, [one.label for one in functions])
    return {split: [functions[i] for i in np.flatnonzero(number == n)] for n, split in enumerate(SPLITS)}


def limit_negatives(functions: Sequence[LabelledFunction], ratio: float | None, seed: int) -> list[LabelledFunction]:
    """Keeps all positives and at most `ratio` random negatives for each (None: all), in the given order."""
    positives = sum(function.label for function in functions)
    negatives = [number for number, function in enumerate(functions) if not function.label]
    if ratio is None or len(negatives) <= ratio * positives:
        return list(functions)
    random.Random(seed).shuffle(negatives)
    dropped = set(negatives[int(ratio * positives) :])
    return [function for number, function in enumerate(functions) if number not in dropped]


def sample(functions: Sequence[LabelledFunction], count: int | None, seed: int) -> list[LabelledFunction]:
    """The first `count` functions (None: all) of a random order, so that a larger sample starts with a smaller one."""
    shuffled = list(functions)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:count]
