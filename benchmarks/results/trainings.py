"""Differences between rows over trainings: how much a result depends on the seed of its training."""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.accuracy.cells import BAG, FIRST_LAYER, FIRST_LAYER_RANDOM
from benchmarks.accuracy.settings import UNPRUNED
from benchmarks.accuracy.shown import difference, points
from benchmarks.results.comparisons import MEASURES
from benchmarks.results.stored import COSTS, Store
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import format_table

LEAST = 5  # trainings; rows with fewer are left out
LEVEL = 0.95


def trainings(store: Store, page: Path, *names: str) -> str:
    """For each test: the mean difference of each row to `unpruned` and to random pruning of the same budget over the
    trainings of several files, its 95 % t interval over trainings, and the difference of each training, in points.

    A training is a seed of a file. Rows that fewer than `LEAST` trainings have in common are left out. Whether the
    settings of the files can be pooled is for the writer of the page to judge. Raises UserError if the files were
    measured on other functions or hold the same training, or if nothing is left.
    """
    files = {name: store.costs(name) for name in names}
    if any("cells" not in found for found in files.values()):
        raise UserError(f"{page}: trainings {' '.join(names)}: expected files whose cells are kept")
    tables = [found["tables"] for found in files.values()]
    if any(table != tables[0] for table in tables):
        raise UserError(f"{page}: trainings {' '.join(names)}: the files in {COSTS} have other functions")
    cells: dict[str, dict[str, dict[tuple[str, int], dict[str, float]]]] = {}  # test -> row -> training -> measures
    for name, found in files.items():
        for cell in found["cells"]:
            for test, measures in cell["measures"].items():
                rows = cells.setdefault(f"{cell['data']}, {cell['reading']} tokens, {test}", {})
                own = rows.setdefault(cell["row"], {})
                again = [other for (file, seed), other in own.items() if file != name and seed == cell["seed"]]
                if measures in again and cell["row"] != BAG:
                    raise UserError(
                        f"{page}: trainings {' '.join(names)}: seed {cell['seed']} of {cell['row']} is in two files; "
                        "expected each training once"
                    )
                own[name, cell["seed"]] = measures
    parts = []
    for test, rows in cells.items():
        lines = [
            line
            for row in rows
            for reference in (UNPRUNED, f"{_random(row)} {row.rpartition(' ')[2]}")
            for measure in MEASURES
            if row != reference and reference in rows and (line := _line(rows, row, reference, measure))
        ]
        if lines:
            parts.append(f"**{test}**\n\n{format_table(lines, markdown=True)}")
    if not parts:
        raise UserError(f"{page}: trainings {' '.join(names)}: no two rows have {LEAST} trainings in common")
    return "\n\n".join(parts)


def _random(row: str) -> str:
    """The random pruning with which a row is compared: that of the first layer, if the row prunes there."""
    return FIRST_LAYER_RANDOM if row.startswith(FIRST_LAYER) else "random"


def _line(rows: dict, row: str, reference: str, measure: str) -> dict[str, str] | None:
    common = [training for training in rows[reference] if training in rows[row]]
    if len(common) < LEAST:
        return None
    values = [rows[row][training][measure] - rows[reference][training][measure] for training in common]
    shown = " ".join(map(points, values))
    return {
        "row": row, "minus": reference, "measure": MEASURES[measure], "trainings": str(len(common)),
        "difference": difference(t_interval(values)), "by training": shown,
    }  # fmt: skip


def t_interval(values: list[float]) -> dict[str, float]:
    """The mean of two or more values and its `LEVEL` interval by Student's t: `mean`, `low` and `high`."""
    from scipy import stats

    mean = statistics.fmean(values)
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return {"mean": mean, "low": mean - half, "high": mean + half}
