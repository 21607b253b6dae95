"""Rows of `summarise` as Markdown tables: quality, and compute. A column in which no row has a value is left out."""

from __future__ import annotations

from typing import Any

from ltp_pipeline.base.files import format_table

MEASURES = {"f1": "F1", "auc": "AUC", "mcc": "MCC", "pr_auc": "PR-AUC", "vd_s_0.5": "VD-S", "recall": "recall"}
WITH_DIFFERENCE = ("f1", "auc")
LINE_METHODS = {"layers_survived": "survival", "gradient_x_input": "gradient", "relevance": "relevance"}


def markdown(rows: list[dict[str, Any]], reference: str) -> list[str]:
    """The tables of each data set, reading and test as Markdown, measures in percent."""
    parts = []
    for (data, reading, test), own in by_test(rows).items():
        parts.append(f"## {data}, {reading} tokens, {test}")
        parts.append(
            f"{own[0]['functions']} functions, {own[0]['positives']} of class 1. Mean over seeds [lowest, highest]; "
            f"differences to {reference} with 95 % interval."
        )
        parts += [table for table in (quality_table(own), compute_table(own), fewer_tokens_table(own)) if table]
    return parts


def by_test(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """The rows of each data set, reading and test, in the order in which they come."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["data"], row["reading"], row["test"]), []).append(row)
    return groups


def quality_table(rows: list[dict[str, Any]], ranges: bool = True) -> str:
    """Measures of the predictions, in percent, and their differences to the reference.

    `ranges`: show [lowest, highest] over seeds of every measure, not only of F1 and AUC where seeds differ.
    """
    return _table([_quality(row, ranges) for row in rows])


def compute_table(rows: list[dict[str, Any]]) -> str:
    """Speed, tokens by layer, training, scores of tokens and lines, what is found by length; "" if none is known."""
    cells = [cells for cells in map(_compute, rows) if set(cells.values()) - {cells["row"], "-"}]
    return _table(cells) if cells else ""


def fewer_tokens_table(rows: list[dict[str, Any]]) -> str:
    """Differences to the unpruned model that reads the fewest tokens, in points; "" if these rows read as few."""
    cells = [
        {
            "row": row["row"], "times its FLOPs": f"{own['times_flops']:.2f}" if "times_flops" in own else "-",
            **{f"{MEASURES[name]} over it": difference(own["differences"].get(name)) for name in WITH_DIFFERENCE},
        }
        for row in rows
        if (own := row.get("fewer_tokens"))
    ]  # fmt: skip
    if not cells:
        return ""
    shortest = next(row["fewer_tokens"]["reading"] for row in rows if "fewer_tokens" in row)
    return f"Over `unpruned` of {shortest} tokens:\n\n{_table(cells)}"


def difference(value: dict[str, float | None] | None) -> str:
    """A difference in points with its interval, such as `-0.3 [-0.9, +0.4]`; "-" if there is none."""
    if value is None or value["low"] is None:
        return "-"
    return f"{points(value['mean'])} [{points(value['low'])}, {points(value['high'])}]"


def flops(value: dict[str, float] | None) -> str:
    """Relative FLOPs. Those that were copied from a table have no range over seeds, and two decimals."""
    return "-" if value is None else f"{value['mean']:.{3 if 'min' in value else 2}f}"


def points(value: float) -> str:
    """A difference of shares in points, with its sign."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def _table(cells: list[dict[str, str]]) -> str:
    names = [name for name in dict.fromkeys(key for row in cells for key in row)]
    used = [name for name in names if any(row.get(name, "-") != "-" for row in cells)]
    return format_table(cells, used, markdown=True)


def _quality(row: dict[str, Any], ranges: bool) -> dict[str, str]:
    seeds, differences = row["seeds"], row.get("differences", {})
    cells = {"row": row["row"], "seeds": str(len(seeds) if isinstance(seeds, list) else seeds or "-")}
    cells["FLOPs"] = flops(row.get("relative_flops"))
    for name, title in MEASURES.items():
        value = row.get(name)
        differ = value is not None and value.get("min") != value.get("max")
        cells[title] = _percent(value, ranges or (differ and name in WITH_DIFFERENCE))
        if name in WITH_DIFFERENCE:
            cells[f"{title} difference"] = difference(differences.get(name))
    return cells | {"found of reference": _percent(row.get("found_of_reference"), ranges)}


def _compute(row: dict[str, Any]) -> dict[str, str]:
    cells = {
        "row": row["row"],
        "functions/s": _mean(row.get("functions_per_second"), 1),
        "speedup": _mean(row.get("speedup"), 2 if "min" in row.get("speedup", {}) else 1),
        "tokens by layer": " ".join(f"{count:.0f}" for count in row.get("tokens_per_layer", [])) or "-",
        "extraction FLOPs": flops(row.get("extraction_relative_flops")),
        "training tokens": f"{row['training_tokens']['mean'] / 1e6:.2f} M" if "training_tokens" in row else "-",
        "training seconds": _mean(row.get("training_seconds"), 0),
    }
    for method, title in LINE_METHODS.items():
        own = row.get("lines", {}).get(method, {})
        cells[f"{title}: token AUC"] = _mean(own.get("token_auc"), 2)
        cells[f"{title}: Top-10"] = _mean(own.get("line_top_10_any"), 1, 100)
        cells[f"{title}: IFA"] = _mean(own.get("line_ifa_mean"), 1)
    for name, own in row.get("recall_by_length", {}).items():
        cells[f"found, {name} tokens"] = f"{100 * own['recall']:.1f} of {own['positives']}"
    return cells


def _mean(value: dict[str, float] | None, decimals: int, factor: float = 1) -> str:
    return "-" if value is None else f"{factor * value['mean']:.{decimals}f}"


def _percent(value: dict[str, float] | None, ranges: bool) -> str:
    """The mean, and with `ranges` [lowest, highest] over seeds where these are known."""
    if value is None:
        return "-"
    mean = f"{100 * value['mean']:.1f}"
    return f"{mean} [{100 * value['min']:.1f}, {100 * value['max']:.1f}]" if ranges and "min" in value else mean
