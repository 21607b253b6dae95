"""Compares two rows of the table on the same seeds and the same draws of test functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.measures.intervals import interval, resampled_measures
from ltp_pipeline.task.metrics import score_metrics

SEED = 0  # of the draws
COMPARED = ("f1", "auc", "mcc", "pr_auc", "vd_s_0.5", "recall")  # measures whose difference is drawn


class Comparison:
    """Differences between rows, with intervals from `draws` draws of the functions of a test (pairs together)."""

    def __init__(self, draws: int):
        self.draws = draws
        self._drawn: dict[tuple[int, str], dict[str, np.ndarray]] = {}  # of each cell and test

    def of(self, cells: dict[int, dict], others: dict[int, dict], test: str) -> dict[str, Any]:
        """`differences` of each measure, `{"mean", "low", "high"}`, and `found_of_reference`.

        `cells`, `others`: by seed; seeds that only one of them has are left out. Raises UserError if their test
        functions differ.
        """
        drawn: dict[str, list[np.ndarray]] = {}
        points: dict[str, list[float]] = {}
        found = []
        for seed in sorted(set(cells) & set(others)):
            one, other = cells[seed], others[seed]
            (labels, scores, threshold), (theirs, reference, limit) = arrays(one, test), arrays(other, test)
            if len(labels) != len(theirs) or (labels != theirs).any():
                about = one["cell"]
                raise UserError(
                    f"{about['data']}, {test}: {about['row']}: its cells were measured on other functions than those "
                    "of the reference"
                )
            own, base = measures_of(labels, scores, threshold), measures_of(labels, reference, limit)
            for name in COMPARED:
                if name in own and name in base:
                    drawn.setdefault(name, []).append(self._draw(one, test)[name] - self._draw(other, test)[name])
                    points.setdefault(name, []).append(own[name] - base[name])
            hits = (labels == 1) & (reference > limit)
            if hits.any():
                found.append(float((scores > threshold)[hits].mean()))
        differences = {name: _difference(points[name], values) for name, values in drawn.items()}
        return {"differences": differences} | ({"found_of_reference": spread(found)} if found else {})

    def _draw(self, cell: dict, test: str) -> dict[str, np.ndarray]:
        """The measures of a cell on each draw. They are kept: a cell is compared with several others."""
        key = id(cell), test
        if key not in self._drawn:
            labels, scores, threshold = arrays(cell, test)
            pairs = cell["tests"][test].get("pairs")
            pairs = None if pairs is None else np.array(pairs, dtype=object)
            found = resampled_measures(scores, scores > threshold, labels, pairs, self.draws, SEED)
            self._drawn[key] = {name: found[name] for name in COMPARED if name in found}
        return self._drawn[key]


def arrays(cell: dict[str, Any], test: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Labels `[N]` and probabilities of class 1 `[N]` of a test's functions, and the cell's decision threshold."""
    own = cell["tests"][test]
    return np.array(own["labels"]), np.array(own["probabilities"]), cell["threshold"]


def measures_of(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    """The measures of one cell on one test, each from 0 to 1 (mcc: from -1)."""
    return score_metrics(scores, scores > threshold, labels)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, lowest and highest value, over seeds."""
    return {"mean": float(np.mean(values)), "min": float(min(values)), "max": float(max(values))}


def _difference(points: list[float], drawn: list[np.ndarray]) -> dict[str, float | None]:
    bounds = interval(np.mean(drawn, axis=0))
    return {"mean": float(np.mean(points))} | dict(zip(("low", "high"), bounds or (None, None)))
