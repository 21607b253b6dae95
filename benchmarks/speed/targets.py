"""The targets of the speed benchmark, and what a run says about each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.speed.models import Size
from benchmarks.speed.timing import ratios

Key = tuple[str, str, str]  # item, model, dtype
F32, BF16 = "float32", "bfloat16"


@dataclass(frozen=True)
class Target:
    """
    Args:
        bound: the least ratio, or the most if `at_most`.
        runs: what the ratio is of: its time is the second one's over the first one's.
        field: instead of times, `"peak_memory_bytes"` (first over second) or `"share_of_matrix_rate"` (the lowest
            of all runs of LTP in `dtype`).
        per_token: the first one's time a token over the second one's.
    """

    work: str
    dtype: str
    what: str
    bound: float
    runs: tuple[Key, Key] | None = None
    field: str | None = None
    per_token: bool = False
    at_most: bool = False


def cpu_targets(size: Size, share: float) -> list[Target]:
    """
    Args:
        share: relative FLOPs of `ltp_pruned`; the targets are those of one half.
    """
    pruned = _pruned(share)

    def versus(work: str, dtype: str, model: str, other: str, bound: float, other_dtype: str = "") -> Target:
        name = pruned if model == "ltp_pruned" else "unpruned"
        other_name = {"longformer": "Longformer", "roberta": "RoBERTa", "ltp": "LTP unpruned"}[other]
        other_name += f" in {other_dtype}" if other_dtype else ""
        runs = (work, model, dtype), (work, other, other_dtype or dtype)
        return Target(work, dtype, f"{name} vs {other_name}", bound, runs)

    full, longest = f"W5 {size.full}", f"W5 {size.longest}"
    return [
        versus("W1", F32, "ltp", "longformer", 2.4),
        versus("W1", BF16, "ltp", "longformer", 4),
        versus("W1", F32, "ltp_pruned", "ltp", 1.8),
        versus("W1", BF16, "ltp_pruned", "ltp", 1.8),
        versus("W2", F32, "ltp", "longformer", 15),
        versus("W2", BF16, "ltp_pruned", "longformer", 100, F32),
        versus("W3", BF16, "ltp", "longformer", 4),
        versus("W3", BF16, "ltp_pruned", "roberta", 6),
        versus("W4", F32, "ltp", "longformer", 10),
        versus("W4", BF16, "ltp_pruned", "longformer", 60, F32),
        versus("W4", BF16, "ltp", "roberta", 1.2),
        Target(
            "W5", BF16, f"unpruned, time a token at {size.longest} over that at {size.full}", 1.15,
            ((longest, "ltp", BF16), (full, "ltp", BF16)), per_token=True, at_most=True,
        ),
        Target("any", BF16, "executed FLOPs a second over the matrix rate", 0.7, field="share_of_matrix_rate"),
        Target("any", F32, "executed FLOPs a second over the matrix rate", 0.9, field="share_of_matrix_rate"),
        versus("train", BF16, "ltp", "longformer", 6),
        Target(
            "W3", F32, "unpruned, peak memory over Longformer's", 0.5,
            (("W3", "ltp", F32), ("W3", "longformer", F32)), field="peak_memory_bytes", at_most=True,
        ),
    ]  # fmt: skip


def gpu_targets(size: Size, share: float) -> list[Target]:
    """Those of an H100. `share` as in [`cpu_targets`]."""
    pruned = _pruned(share)

    def versus(work: str, model: str, other: str, bound: float, what: str) -> Target:
        return Target(work, BF16, what, bound, ((work, model, BF16), (work, other, BF16)))

    full, longest = f"W5 {size.full}", f"W5 {size.longest}"
    return [
        versus("W3", "ltp", "longformer", 4, "unpruned vs Longformer"),
        versus("W1", "ltp", "roberta", 1, f"unpruned vs RoBERTa at {size.full}, batch 4"),
        versus(full, "ltp", "roberta", 1, f"unpruned vs RoBERTa at {size.full}, batch 1"),
        versus("W3", "ltp", "roberta", 1.4, f"unpruned vs RoBERTa at {4 * size.full}, batch 1"),
        versus(longest, "ltp", "roberta", 3, f"unpruned vs RoBERTa at {size.longest}, batch 1"),
        versus("W3", "ltp_pruned", "ltp", 1.6, f"{pruned} vs LTP unpruned"),
        versus("train", "ltp", "longformer", 4, "unpruned vs Longformer"),
    ]


def _pruned(share: float) -> str:
    return "half the FLOPs" if share == 0.5 else f"{share:g} of the FLOPs"


TARGETS: dict[str, Callable[[Size, float], list[Target]]] = {
    "cpu": cpu_targets, "quick": cpu_targets, "gpu": gpu_targets
}  # fmt: skip


def check_targets(targets: list[Target], rows: dict[Key, dict]) -> list[dict]:
    """
    A row for every target: `measured` (None if a run it needs was not made) and `reached`.

    Args:
        rows: of the runs, as `benchmarks.speed` writes them.
    """
    return [_checked(target, rows) for target in targets]


def _checked(target: Target, rows: dict[Key, dict]) -> dict:
    row = {"work": target.work, "dtype": target.dtype, "LTP": target.what}
    row["target"] = f"{'at most' if target.at_most else 'at least'} {target.bound:g}"
    spread, where = _lowest_share(target, rows) if target.runs is None else (_ratio(target, rows), None)
    if spread is None:
        return row | {"measured": None, "min": None, "max": None, "reached": None}
    value = spread["median"]
    if where:
        row["LTP"] += f" (lowest: {where})"
    reached = value <= target.bound if target.at_most else value >= target.bound
    return row | {"measured": value, "min": spread["min"], "max": spread["max"], "reached": reached}


def _ratio(target: Target, rows: dict[Key, dict]) -> dict | None:
    first, second = (rows.get(key) for key in target.runs)
    if first is None or second is None:
        return None
    if target.field:
        values = first.get(target.field), second.get(target.field)
        if None in values:
            return None
        return dict.fromkeys(("median", "min", "max"), values[0] / values[1])
    if target.per_token:
        scale = second["tokens"] / first["tokens"]
        return {name: value * scale for name, value in ratios(first["seconds"], second["seconds"]).items()}
    return ratios(second["seconds"], first["seconds"])


def _lowest_share(target: Target, rows: dict[Key, dict]) -> tuple[dict | None, str | None]:
    found = [
        (row[target.field], f"{item} {model}")
        for (item, model, dtype), row in rows.items()
        if dtype == target.dtype and row.get(target.field)
    ]
    return min(found, key=lambda pair: pair[0]["median"], default=(None, None))
