"""Where learned pruning loses, how it compares with controls, and which targets it meets."""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.cells import ALL_CONTROLS, CONTROLS, FIRST_LAYER, TWO_STAGES
from benchmarks.accuracy.settings import UNPRUNED
from benchmarks.accuracy.shown import difference, flops
from ltp_pipeline.base.files import format_table

MEASURES = {"f1": "F1", "auc": "AUC"}
LOSS = 0.01  # smaller losses are counted, not listed
LISTED = 30  # at most
EQUAL = 0.02  # relative FLOPs that differ by more are named
BUDGET, FOUND_BUDGET = "0.3", "0.4"  # of the targets
POINT, TOO_MUCH, FOUND, FASTER, LONGER = 0.01, 0.02, 0.95, 2.5, 0.05  # the targets


def losses(files: dict[str, dict[str, Any]]) -> str:
    """The losses of learned pruning, the largest first: those whose interval excludes 0."""
    found, compared = [], 0
    for stored in files.values():
        for row in stored["rows"]:
            for measure in MEASURES if row["kind"] in TWO_STAGES else ():
                value = row.get("differences", {}).get(measure)
                if value is not None and value["low"] is not None:
                    compared += 1
                    if value["high"] < 0:
                        found.append((value["mean"], row, measure, value))
    found.sort(key=lambda one: one[0])
    large = [one for one in found if one[0] <= -LOSS]
    rows = [
        {
            "trained on": row["data"], "test": row["test"], "tokens": row["reading"], "model": row["model"],
            "row": row["row"], "FLOPs": flops(row["relative_flops"]), "measure": MEASURES[measure],
            "difference": difference(value),
        }
        for _, row, measure, value in large[:LISTED]
    ]  # fmt: skip
    text = (
        f"Of {compared} differences of learned pruning to unpruned (F1 and AUC), {len(found)} are losses whose 95 % "
        f"interval excludes 0, and {len(large)} of these are 1 point or more"
    )
    text += f". The {LISTED} largest:" if len(large) > LISTED else ":" if large else "."
    return f"{text}\n\n{format_table(rows, markdown=True)}" if rows else text


def against_table(rows: list[dict[str, Any]]) -> str:
    """The differences of learned pruning to each control of the same budget, in points."""
    by_name = {row["row"]: row for row in rows}
    cells = []
    for row in (row for row in rows if "against" in row):
        line = {"row": row["row"], "FLOPs": flops(row["relative_flops"])}
        for kind in ALL_CONTROLS:
            name = f"{kind} {row['budget']}"
            for measure, title in MEASURES.items():
                shown = difference(row["against"].get(name, {}).get(measure))
                apart = name in row["against"] and not _equal(row, by_name[name])
                line[f"{title} over {kind}"] = (
                    f"{shown} ({flops(by_name[name]['relative_flops'])})" if apart else shown
                )
        cells.append(line)
    names = [name for name in cells[0] if any(line[name] != "-" for line in cells)]
    note = f"Over controls of the same budget; in parentheses their FLOPs, if they differ by more than {EQUAL}:"
    return f"{note}\n\n{format_table(cells, names, markdown=True)}"


def targets(rows: list[dict[str, Any]]) -> str:
    """Which targets are met, and by how much the others are missed; on all tests."""
    at_budget = [row for row in rows if row["kind"] in TWO_STAGES and row["budget"] == BUDGET]
    by_test = {(row["data"], row["reading"], row["test"], row["row"]): row for row in rows}
    lines = []
    for measure, title in MEASURES.items():
        values = [(row, row.get("differences", {}).get(measure)) for row in at_budget]
        lines.append(
            _target(
                f"{BUDGET}: {title} within 1 point of {UNPRUNED}, interval above -2",
                [
                    (row, value["mean"] >= -POINT and value["low"] > -TOO_MUCH, difference(value))
                    for row, value in values
                    if value is not None and value["low"] is not None
                ],
            )
        )
    for kind in ALL_CONTROLS if any(row["kind"] == FIRST_LAYER for row in at_budget) else CONTROLS:
        name = f"{kind} {BUDGET}"
        values = [
            (row, row["against"][name]["auc"])
            for row in at_budget
            if "auc" in row.get("against", {}).get(name, {})
            and _equal(row, by_test[row["data"], row["reading"], row["test"], name])
        ]
        lines.append(
            _target(
                f"{BUDGET}: AUC above {kind} at equal FLOPs, interval excludes 0",
                [(row, value["low"] > 0, difference(value)) for row, value in values if value["low"] is not None],
            )
        )
    found = [
        (row, row["found_of_reference"]["mean"])
        for row in rows
        if row["kind"] in TWO_STAGES and row["budget"] == FOUND_BUDGET and "found_of_reference" in row
    ]
    lines.append(
        _target(
            f"{FOUND_BUDGET}: finds at least 95 % of what {UNPRUNED} finds",
            [(row, share >= FOUND, f"{100 * share:.1f} %") for row, share in found],
        )
    )
    fast = [(row, row["speedup"]["mean"]) for row in at_budget if "speedup" in row]
    lines.append(
        _target(
            f"{BUDGET}: at least {FASTER} times the functions a second",
            [(row, times >= FASTER, f"{times:.2f}") for row, times in fast],
        )
    )
    longer = [
        (row, row["fewer_tokens"]["differences"]["auc"])
        for row in at_budget
        if "auc" in row.get("fewer_tokens", {}).get("differences", {})
    ]
    if longer:  # few runs have a second reading
        lines.append(
            _target(
                f"{BUDGET}: AUC more than 5 points above {UNPRUNED} of the fewest tokens",
                [(row, value["mean"] > LONGER, difference(value)) for row, value in longer],
            )
        )
    return format_table(lines, markdown=True)


def _equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return abs(one["relative_flops"]["mean"] - other["relative_flops"]["mean"]) <= EQUAL


def _target(name: str, results: list[tuple[dict[str, Any], bool, str]]) -> dict[str, str]:
    """`results`: row, whether the target is met, and the value as text."""
    missed = "; ".join(
        f"{row['row']}, {row['data']} {row['test']}: {value}" for row, is_met, value in results if not is_met
    )
    met = f"{sum(is_met for _, is_met, _ in results)} of {len(results)}" if results else "not measured"
    return {"target": name, "met": met, "missed": missed or "-"}
