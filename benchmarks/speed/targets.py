"""The targets of the speed benchmark, and whether a run reaches them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.speed.models import Size
from benchmarks.speed.timing import round_ratios

Key = tuple[str, str, str]  # item, model, dtype
F32, BF16, INT8 = "float32", "bfloat16", "int8"
NAMES = {
    "longformer": "Longformer",
    "longformer_compiled": "compiled Longformer",
    "roberta": "RoBERTa",
    "roberta_onnx": "RoBERTa in ONNX Runtime",
    "roberta_openvino": "RoBERTa in OpenVINO",
    "ltp": "LTP unpruned",
}
PEER_WORKS = ("1x200", "8x200", "8x256", "4x512", "2x1024")  # in which LTP is compared with models as others run them


@dataclass(frozen=True)
class Target:
    """A bound on a ratio: without `field` and `per_token`, the time of the second run over that of the first."""

    work: str
    dtype: str
    what: str  # what is compared, in words
    bound: float  # the smallest ratio, or the largest if `at_most`
    runs: tuple[Key, Key] | None = None  # the two runs of the ratio; None with `"share_of_matrix_rate"`
    # `"peak_memory_bytes"`: that of the first run over that of the second. `"share_of_matrix_rate"`: the lowest share
    # of all LTP runs in `dtype`.
    field: str | None = None
    per_token: bool = False  # the time per token of the first run over that of the second
    at_most: bool = False


def cpu_targets(size: Size, share: float) -> list[Target]:
    """Returns the targets for a CPU. `share`: relative FLOPs of `ltp_pruned`. The bounds are meant for one half."""

    def faster(work: str, dtype: str, model: str, other: str, bound: float, other_dtype: str = "") -> Target:
        name = _describe_share(share) if model == "ltp_pruned" else "unpruned"
        what = f"{name} vs {NAMES[other]}" + (f" in {other_dtype}" if other_dtype else "")
        return Target(work, dtype, what, bound, ((work, model, dtype), (work, other, other_dtype or dtype)))

    full, longest = f"W5 {size.full}", f"W5 {size.longest}"
    matrix_rate = "executed FLOPs a second over the matrix rate"
    return [
        faster("W1", F32, "ltp", "longformer", 2.4),
        faster("W1", BF16, "ltp", "longformer", 4),
        faster("W1", F32, "ltp_pruned", "ltp", 1.8),
        faster("W1", BF16, "ltp_pruned", "ltp", 1.8),
        faster("W2", F32, "ltp", "longformer", 15),
        faster("W2", BF16, "ltp_pruned", "longformer", 100, F32),
        faster("W3", BF16, "ltp", "longformer", 4),
        faster("W3", BF16, "ltp_pruned", "roberta", 6),
        faster("W4", F32, "ltp", "longformer", 10),
        faster("W4", BF16, "ltp_pruned", "longformer", 60, F32),
        faster("W4", BF16, "ltp", "roberta", 1.2),
        Target(
            "W5", BF16, f"unpruned, time a token at {size.longest} over that at {size.full}", 1.15,
            ((longest, "ltp", BF16), (full, "ltp", BF16)), per_token=True, at_most=True,
        ),
        Target("any", BF16, matrix_rate, 0.7, field="share_of_matrix_rate"),
        Target("any", F32, matrix_rate, 0.9, field="share_of_matrix_rate"),
        faster("train", BF16, "ltp", "longformer", 6),
        Target(
            "W3", F32, "unpruned, peak memory over Longformer's", 0.5,
            (("W3", "ltp", F32), ("W3", "longformer", F32)), field="peak_memory_bytes", at_most=True,
        ),
        *(
            faster(work, F32, "ltp", other, 1.2 if work != PEER_WORKS[0] and other != "roberta_openvino" else 1)
            for work, other in itertools.product(PEER_WORKS, ("roberta", "roberta_onnx", "roberta_openvino"))
        ),
        *(
            faster(work, INT8, model, "roberta_onnx", bound)
            for work, (model, bound) in itertools.product(PEER_WORKS, (("ltp", 1), ("ltp_pruned", 1.6)))
        ),
    ]  # fmt: skip


def gpu_targets(size: Size, share: float) -> list[Target]:
    """Returns the targets for an H100. `share` is that of [`cpu_targets`]."""

    def faster(work: str, model: str, other: str, bound: float, what: str) -> Target:
        return Target(work, BF16, what, bound, ((work, model, BF16), (work, other, BF16)))

    full, longest = f"W5 {size.full}", f"W5 {size.longest}"
    return [
        faster("W3", "ltp", "longformer", 4, "unpruned vs Longformer"),
        faster("W1", "ltp", "roberta", 1, f"unpruned vs RoBERTa at {size.full}, batch 4"),
        faster(full, "ltp", "roberta", 1, f"unpruned vs RoBERTa at {size.full}, batch 1"),
        faster("W3", "ltp", "roberta", 1.4, f"unpruned vs RoBERTa at {4 * size.full}, batch 1"),
        faster(longest, "ltp", "roberta", 3, f"unpruned vs RoBERTa at {size.longest}, batch 1"),
        faster("W3", "ltp_pruned", "ltp", 1.6, f"{_describe_share(share)} vs LTP unpruned"),
        faster("train", "ltp", "longformer", 4, "unpruned vs Longformer"),
    ]


def _describe_share(share: float) -> str:
    return "half the FLOPs" if share == 0.5 else f"{share:g} of the FLOPs"


TARGETS: dict[str, Callable[[Size, float], list[Target]]] = {
    "cpu": cpu_targets,
    "quick": cpu_targets,
    "gpu": gpu_targets,
}


def check_targets(targets: list[Target], rows: dict[Key, dict]) -> list[dict]:
    """Returns a row for each target. `measured` and `reached` are None if a run that the target needs was not made.

    `rows`: the runs of speed.json, by item, model and dtype.
    """
    return [_check_target(target, rows) for target in targets]


def _check_target(target: Target, rows: dict[Key, dict]) -> dict:
    row = {"work": target.work, "dtype": target.dtype, "LTP": target.what}
    row["target"] = f"{'at most' if target.at_most else 'at least'} {target.bound:g}"
    if target.runs is None:
        measured, where = _lowest_share(target, rows)
        row["LTP"] += f" (lowest: {where})" if measured else ""
    else:
        measured = _ratio_of_runs(target, rows)
    if measured is None:
        return row | {"measured": None, "min": None, "max": None, "reached": None}
    value = measured["median"]
    reached = value <= target.bound if target.at_most else value >= target.bound
    return row | {"measured": value, "min": measured["min"], "max": measured["max"], "reached": reached}


def _ratio_of_runs(target: Target, rows: dict[Key, dict]) -> dict | None:
    first, second = (rows.get(key) for key in target.runs)
    if first is None or second is None:
        return None
    if target.field:
        values = first.get(target.field), second.get(target.field)
        return None if None in values else dict.fromkeys(("median", "min", "max"), values[0] / values[1])
    if target.per_token:
        scale = second["tokens"] / first["tokens"]
        return {name: value * scale for name, value in round_ratios(first["seconds"], second["seconds"]).items()}
    return round_ratios(second["seconds"], first["seconds"])


def _lowest_share(target: Target, rows: dict[Key, dict]) -> tuple[dict | None, str]:
    """Returns the lowest share of the matrix rate, and the item and model that have it."""
    found = [
        (row[target.field], f"{item} {model}")
        for (item, model, dtype), row in rows.items()
        if dtype == target.dtype and row.get(target.field)
    ]
    return min(found, key=lambda pair: pair[0]["median"], default=(None, ""))
