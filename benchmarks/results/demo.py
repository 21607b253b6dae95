"""The tables of the demo's checkpoints, from comparison.json."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from benchmarks.results.stored import Store
from ltp_pipeline.base.files import format_table

QUALITY = {"accuracy": "accuracy", "f1": "F1", "mcc": "MCC", "auc": "AUC", "pr_auc": "PR-AUC", "vd_s_0.5": "VD-S"}
SHORT = ("accuracy", "f1", "mcc", "auc")
WIDTH = 119  # of a line of running text
INTERVALS = ("f1", "mcc", "auc", "pr_auc", "vd_s_0.5")


def demo_table(store: Store, page: Path, name: str) -> str:
    """The README's table: measures, compute and speed, and a sentence with the price of the last checkpoint."""
    found = store.demo(name)
    rows = found["checkpoints"]
    short = {key: QUALITY[key] for key in SHORT}
    return "\n\n".join([_about(found), _table(rows, short), _price(rows)])


def demo_details(store: Store, page: Path, name: str) -> str:
    """All measures, intervals of the differences, and the AUC by length."""
    found = store.demo(name)
    rows = found["checkpoints"]
    parts = [_about(found), _table(rows, QUALITY, full=True)]
    own = [row for row in rows[1:] if any(f"{key}_difference_interval" in row for key in INTERVALS)]
    if own:
        cells = [
            {"difference to " + rows[0]["checkpoint"]: row["checkpoint"]}
            | {QUALITY[key]: _bounds(row.get(f"{key}_difference_interval")) for key in INTERVALS}
            for row in own
        ]
        parts += ["95 % bootstrap intervals of the differences, in points:", format_table(cells, markdown=True)]
    if any("by_length" in row for row in rows):
        parts.append(_lengths([row for row in rows if "by_length" in row]))
    return "\n\n".join(parts)


def _about(found: dict[str, Any]) -> str:
    """What is known of the run. `about` is there if somebody has written it into the file."""
    first = found["checkpoints"][0]
    counts = f"{first['functions']:,} test functions, computed in {first['dtype']}."
    return textwrap.fill(f"{found['about']} {counts}", WIDTH) if "about" in found else counts


def _table(rows: list[dict[str, Any]], measures: dict[str, str], full: bool = False) -> str:
    cells = []
    for row in rows:
        line = {"": row["checkpoint"]} | {title: _percent(row.get(name)) for name, title in measures.items()}
        line["relative FLOPs"] = f"{row['relative_flops']:.2f}"
        if full:
            line["full"] = f"{row['full_relative_flops']:.2f}"
        timed = "functions_per_second" in row
        line["functions/s"] = f"{row['functions_per_second']:.0f}" if timed else "-"
        line["speedup"] = f"{row['speedup']:.2f}x" if timed else "-"
        line["tokens computed per layer"] = " / ".join(f"{count:.0f}" for count in row["tokens_kept_per_layer"])
        cells.append(line)
    return format_table(cells, markdown=True)


def _price(rows: list[dict[str, Any]]) -> str:
    """What the last checkpoint costs against the first, if intervals were computed."""
    last = rows[-1]
    shown = [
        f"{QUALITY[key]} by {_bounds(last[f'{key}_difference_interval'])} points"
        for key in ("f1", "auc")
        if f"{key}_difference_interval" in last
    ]
    saved = f"Pruning ({last['checkpoint']}) to {last['relative_flops']:.2f} of the FLOPs"
    if not shown:
        return textwrap.fill(f"{saved}: no intervals were computed (`--bootstrap`).", WIDTH)
    return textwrap.fill(f"{saved} changes {' and '.join(shown)} here (95 % bootstrap intervals).", WIDTH)


def _lengths(rows: list[dict[str, Any]]) -> str:
    groups = list(dict.fromkeys(group["tokens"] for row in rows for group in row["by_length"]))
    cells = []
    for group in groups:
        line: dict[str, str] = {"tokens of the function": group}
        for row in rows:
            own = next((one for one in row["by_length"] if one["tokens"] == group), {})
            line["functions"] = f"{own['functions']:,}" if own else line.get("functions", "-")
            line[f"AUC, {row['checkpoint']}"] = _percent(own.get("auc"))
        cells.append(line)
    return format_table(cells, markdown=True)


def _bounds(bounds: list[float] | None) -> str:
    return "-" if bounds is None else " to ".join(f"{100 * bound:+.1f}" for bound in bounds)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
