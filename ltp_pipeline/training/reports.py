"""Formats what a run reports about its model: the tables it prints and the log of pruning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltp_pipeline.base.files import format_table, write_csv
from ltp_pipeline.measures.lines import TRUE_POSITIVES


@dataclass(frozen=True)
class Metric:
    """How one metric is shown."""

    name: str  # key in the results, without the name of the split
    heading: str | None = None  # heading of its column in the printed tables; None: not printed
    hub_name: str | None = None  # name in the metadata of a model card; None: not in the metadata
    on_card: bool = False  # whether it is in the table of the model card
    lower_is_better: bool = False  # whether a smaller value is better
    by_length: bool = False  # whether it is in the table by length, too
    table: str = "metrics"  # the printed table that it is in: "metrics", "pairs", "lines" or "cost"


METRICS = (
    Metric("accuracy", "accuracy", "accuracy", on_card=True, by_length=True),
    Metric("f1", "F1", "f1", on_card=True, by_length=True),
    Metric("recall", "recall", "recall", on_card=True),
    Metric("precision", "precision", "precision", on_card=True),
    Metric("false_alarm_rate", "false alarms", on_card=True, lower_is_better=True),
    Metric("mcc", "MCC", "matthews_correlation", on_card=True, by_length=True),
    Metric("auc", "AUC", "roc_auc", on_card=True, by_length=True),
    Metric("pr_auc", "PR-AUC", "average_precision", on_card=True, by_length=True),
    Metric("vd_s_0.5", "VD-S", on_card=True, lower_is_better=True, by_length=True),
    Metric("vd_s_1", on_card=True, lower_is_better=True),
    Metric("vd_s_5", on_card=True, lower_is_better=True),
    Metric("recall_at_fpr_0.5"),
    Metric("recall_at_fpr_1"),
    Metric("recall_at_fpr_5"),
    Metric("macro_f1", "macro F1", "f1", on_card=True, by_length=True),
    Metric("micro_f1", "micro F1", by_length=True),
    Metric("macro_auc", "macro AUC"),
    Metric("matthews_correlation", "Matthews", "matthews_correlation", on_card=True),
    Metric("pearson", "Pearson", "pearsonr", on_card=True),
    Metric("spearmanr", "Spearman", "spearmanr", on_card=True),
    Metric("agreement", "agreement"),
    Metric("decision_threshold", on_card=True),
    Metric("loss", "loss", on_card=True, lower_is_better=True),
    Metric("pairs", "pairs", on_card=True, table="pairs"),
    Metric("pair_correct", "P-C", on_card=True, table="pairs"),
    Metric("pair_vulnerable", "P-V", on_card=True, table="pairs"),
    Metric("pair_benign", "P-B", on_card=True, table="pairs"),
    Metric("pair_reversed", "P-R", on_card=True, lower_is_better=True, table="pairs"),
    Metric("pairs_incomplete", "incomplete", on_card=True, lower_is_better=True, table="pairs"),
    Metric("line_functions", "functions", on_card=True, table="lines"),
    Metric("line_functions_found", on_card=True, table="lines"),
    Metric("line_top_10_first", "Top-10 first", on_card=True, table="lines"),
    Metric("line_top_10_any", "Top-10 any", on_card=True, table="lines"),
    Metric("line_ifa_mean", "IFA", on_card=True, lower_is_better=True, table="lines"),
    Metric("line_ifa_median", "IFA median", on_card=True, lower_is_better=True, table="lines"),
    Metric("line_effort_at_20_recall", "Effort@20%", on_card=True, lower_is_better=True, table="lines"),
    Metric("line_recall_at_1_loc", "Recall@1%", on_card=True, table="lines"),
    Metric("line_detection_alignment", "DA", on_card=True, table="lines"),
    Metric("relative_flops", "relative FLOPs", on_card=True, lower_is_better=True, table="cost"),
    Metric("full_relative_flops", on_card=True, lower_is_better=True, table="cost"),
    Metric("gflops_per_function", lower_is_better=True, table="cost"),
    Metric("samples_per_second", "functions/s", table="cost"),
    Metric("seconds_per_sample", "s/function", table="cost"),
    Metric("dtype", "dtype", table="cost"),
)
LOWER_IS_BETTER = tuple(metric.name for metric in METRICS if metric.lower_is_better)


def evaluated_splits(results: dict[str, Any]) -> list[str]:
    """Names of the splits, in order, that were evaluated in `results` (as in all_results.json)."""
    return [name.removesuffix("_runtime") for name in results if name.endswith("_runtime") and name != "train_runtime"]


def metrics_tables(results: dict[str, Any]) -> str:
    """The metrics of a run as tables for the terminal, see `tables_of`, and one of times and FLOPs."""
    named = by_split(results)
    return "\n\n".join(filter(None, [tables_of(named), _table_of(named, "cost")]))


def by_split(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The metrics of each evaluated split in `results`, without the name of the split."""
    return {
        split: {
            name.removeprefix(f"{split}_"): value for name, value in results.items() if name.startswith(f"{split}_")
        }
        for split in evaluated_splits(results)
    }


def tables_of(named: dict[str, dict[str, Any]]) -> str:
    """Tables of metrics, each with a line for each item of `named` (name of a split or a model -> its metrics).

    Those that there are: the metrics of the task; pairs; flaw lines; by length, if an item has functions of several
    groups; intervals. Empty lines are between them.
    """
    tables = [_table_of(named, "metrics"), _table_of(named, "pairs"), _line_table(named)]
    tables += [length_table(named), _interval_table(named)]
    return "\n\n".join(filter(None, tables))


def _table_of(named: dict[str, dict[str, Any]], table: str) -> str:
    shown = [m for m in METRICS if m.table == table and m.heading and any(m.name in own for own in named.values())]
    rows = [{"": name} | {m.heading: own.get(m.name) for m in shown} for name, own in named.items()]
    return format_table(rows) if shown else ""


def _line_table(named: dict[str, dict[str, Any]]) -> str:
    """Two lines for each item with flaw lines: for all defective functions, and for those that were found."""
    rows = {}
    for name, own in named.items():
        if "line_functions" in own:
            found = {n.removesuffix(TRUE_POSITIVES): own[n] for n in own if n.endswith(TRUE_POSITIVES)}
            rows |= {name: own, f"{name}, found": found | {"line_functions": own["line_functions_found"]}}
    return _table_of(rows, "lines")


def length_table(named: dict[str, dict[str, Any]], markdown: bool = False) -> str:
    """A line for each group of each item that has several groups of functions of similar length; "" for none."""
    groups = [
        {"": name, **group}
        for name, own in named.items()
        for group in own.get("by_length", ())
        if len(own["by_length"]) > 1
    ]
    shown = {name: name for name in ("", "tokens", "functions", "positives")}
    shown |= {m.name: m.heading for m in METRICS if m.by_length and any(m.name in group for group in groups)}
    rows = [{heading: group.get(name) for name, heading in shown.items()} for group in groups]
    return format_table(rows, markdown=markdown) if rows else ""


def _interval_table(named: dict[str, dict[str, Any]]) -> str:
    """A line for each printed metric with an interval, and a column for each item; "" for none."""
    rows = [
        {"95 % interval": f"{m.heading}{note}"}
        | {name: interval_text(own.get(f"{m.name}_{kind}")) for name, own in named.items()}
        for kind, note in (("interval", ""), ("difference_interval", ", difference"))
        for m in METRICS
        if m.heading and any(f"{m.name}_{kind}" in own for own in named.values())
    ]
    return format_table(rows) if rows else ""


def interval_text(bounds: list[float] | None) -> str | None:
    """An interval such as `0.8123 to 0.8345`."""
    return None if bounds is None else f"{bounds[0]:.4f} to {bounds[1]:.4f}"


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
