"""Formats what a run reports about its model: the tables it prints and the log of pruning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltp_pipeline.base.files import format_table, write_csv


@dataclass(frozen=True)
class Metric:
    """How one metric is shown."""

    name: str  # key in the results, without the name of the split
    heading: str | None = None  # heading of its column in the printed table; None: not printed
    hub_name: str | None = None  # name in the metadata of a model card; None: not in the metadata
    on_card: bool = False  # whether it is in the table of the model card
    lower_is_better: bool = False  # whether a smaller value is better


METRICS = (
    Metric("accuracy", "accuracy", "accuracy", on_card=True),
    Metric("f1", "F1", "f1", on_card=True),
    Metric("recall", "recall", "recall", on_card=True),
    Metric("precision", "precision", "precision", on_card=True),
    Metric("false_alarm_rate", "false alarms", on_card=True, lower_is_better=True),
    Metric("auc", "AUC", "roc_auc", on_card=True),
    Metric("macro_f1", "macro F1", "f1", on_card=True),
    Metric("micro_f1", "micro F1"),
    Metric("macro_auc", "macro AUC"),
    Metric("matthews_correlation", "Matthews", "matthews_correlation", on_card=True),
    Metric("pearson", "Pearson", "pearsonr", on_card=True),
    Metric("spearmanr", "Spearman", "spearmanr", on_card=True),
    Metric("decision_threshold", on_card=True),
    Metric("loss", "loss", on_card=True, lower_is_better=True),
    Metric("relative_flops", "relative FLOPs", on_card=True, lower_is_better=True),
    Metric("full_relative_flops", on_card=True, lower_is_better=True),
    Metric("gflops_per_function", lower_is_better=True),
    Metric("samples_per_second", "functions/s"),
    Metric("seconds_per_sample", "s/function"),
    Metric("dtype", "dtype"),
)
LOWER_IS_BETTER = tuple(metric.name for metric in METRICS if metric.lower_is_better)


def evaluated_splits(results: dict[str, Any]) -> list[str]:
    """Names of the splits, in order, that were evaluated in `results` (as in all_results.json)."""
    return [name.removesuffix("_runtime") for name in results if name.endswith("_runtime") and name != "train_runtime"]


def metrics_table(results: dict[str, Any]) -> str:
    """The metrics as a table for the terminal, one line for each evaluated split."""
    splits = evaluated_splits(results)
    shown = [m for m in METRICS if m.heading and any(f"{split}_{m.name}" in results for split in splits)]
    return format_table(
        [{"": split} | {m.heading: results.get(f"{split}_{m.name}") for m in shown} for split in splits]
    )


def layers_table(results: dict[str, Any]) -> str:
    """One line per layer: its threshold, and the mean number of tokens of a function in its feed-forward part.

    The numbers are those of the first evaluated split.
    """
    split = evaluated_splits(results)[0]
    kept = results[f"{split}_tokens_kept_per_layer"]
    thresholds = results.get(f"{split}_thresholds_per_layer", [None] * len(kept))
    return format_table(
        [
            {"layer": layer, "threshold": threshold, "tokens kept": tokens}
            for layer, (threshold, tokens) in enumerate(zip(thresholds, kept, strict=True), start=1)
        ]
    )


def warnings_text(results: dict[str, Any]) -> str:
    """The warnings of a run, each in a line, with an empty line before; "" if there are none."""
    return "".join(f"\n\nwarning: {text}" for text in results.get("warnings", []))


def write_pruning_log(path: Path, log_history: list[dict[str, Any]]) -> None:
    """Writes a CSV with one line for each layer of each log entry: step, layer (from 1), threshold, kept_share.

    Writes no file if no entry has kept shares: then nothing was pruned.
    """
    import pandas as pd

    rows = [
        {"step": entry["step"], "layer": layer, "threshold": threshold, "kept_share": share}
        for entry in log_history
        if "kept_shares" in entry
        for layer, (threshold, share) in enumerate(
            zip(entry.get("thresholds") or [None] * len(entry["kept_shares"]), entry["kept_shares"]), start=1
        )
    ]
    if rows:
        write_csv(path, pd.DataFrame(rows))


def mean_loss(log_history: list[dict[str, Any]]) -> float | None:
    """Mean of the training loss over all steps, computed from the log; None if the log has no loss.

    The log survives an interruption. The library's own `train_loss` counts only the steps since the last resumption.
    """
    total = done = 0
    for entry in log_history:
        if "loss" in entry:
            total += entry["loss"] * (entry["step"] - done)
            done = entry["step"]
    return total / done if done else None
