"""Which function goes where: duplicates out, whole projects to splits, a seeded order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from Data.functions.labelling import LabelledFunction
from Data.sources.source_list import SPLITS
from ltp_pipeline.base.errors import UserError

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}

Splits = dict[str, list[LabelledFunction]]


def drop_duplicates(functions: Iterable[LabelledFunction]) -> list[LabelledFunction]:
    """Keep the first function of every token hash, in order."""
    first: dict[bytes, LabelledFunction] = {}
    for function in functions:
        first.setdefault(function.token_hash, function)
    return list(first.values())


def split_by_name(functions: Iterable[LabelledFunction], split_of: Mapping[str, str]) -> Splits:
    """Deal functions to the splits of their projects."""
    splits: Splits = {split: [] for split in SPLITS}
    for function in functions:
        splits[split_of[function.function.project]].append(function)
    return splits


def split_by_size(functions: Sequence[LabelledFunction]) -> Splits:
    """Deal whole projects to the splits; with fewer than three projects, whole files.

    From the largest to the smallest: the first goes to training, the second to test, the third to validation, then
    each to the split that is furthest below its share (70 / 20 / 10 %).
    Raises UserError if there are fewer than three files with functions.
    """
    by_file = len({function.function.project for function in functions}) < len(SPLITS)

    def group(function: LabelledFunction) -> tuple[str, str]:
        return (function.function.project, function.function.path if by_file else "")

    sizes = Counter(map(group, functions))
    if len(sizes) < len(SPLITS):
        raise UserError(f"--source_dir: only {len(sizes)} file(s) with functions; three splits need three at least")
    missing = {split: share * len(functions) for split, share in SHARES.items()}
    chosen: dict[tuple[str, str], str] = {}
    for rank, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))):
        chosen[name] = ("train", "test", "validation")[rank] if rank < len(SPLITS) else max(SPLITS, key=missing.get)
        missing[chosen[name]] -= size
    return {split: [function for function in functions if chosen[group(function)] == split] for split in SPLITS}


def sample(functions: Sequence[LabelledFunction], count: int | None, seed: int) -> list[LabelledFunction]:
    """The functions in a seeded random order, cut after `count`: a smaller sample begins a larger one."""
    shuffled = list(functions)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:count]


def limit_negatives(functions: Sequence[LabelledFunction], ratio: float | None, seed: int) -> list[LabelledFunction]:
    """At most `ratio` negatives for each positive, drawn by `seed`, in the order given; None keeps all."""
    positives = sum(function.label for function in functions)
    negatives = [number for number, function in enumerate(functions) if not function.label]
    if ratio is None or len(negatives) <= ratio * positives:
        return list(functions)
    random.Random(seed).shuffle(negatives)
    dropped = set(negatives[int(ratio * positives) :])
    return [function for number, function in enumerate(functions) if number not in dropped]
