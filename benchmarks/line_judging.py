"""Judges scores of tokens and lines on functions with known flaw lines, for `benchmarks.line_scores`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.view.token_scores import DEFAULT

if TYPE_CHECKING:
    from ltp_pipeline.view.encode import FunctionTokens

AGGREGATES = ("max", "sum", "mean")
MEANS = ("token_auc", "line_top_10_any", "line_top_10_first", "line_ifa_mean")  # means over functions
POOLED = ("line_effort_at_20_recall", "line_recall_at_1_loc")  # of the lines of all functions in one order


@dataclass
class Functions:
    """The functions of a file, as one model reads them: `W` windows of `N` functions."""

    texts: list[str]  # [N]
    flaw_lines: list[tuple[int, ...]]  # [N]
    labels: np.ndarray  # [N]
    windows: list[FunctionTokens]  # [W]
    function_of: np.ndarray  # [W], ascending
    pairs: list[tuple[np.ndarray, np.ndarray]]  # [W], of each window `lines_of_tokens`

    def token_truth(self, window: int) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of a window that are in a line, and whether that is a flaw line."""
        tokens, lines = self.pairs[window]
        return tokens, np.isin(lines + 1, self.flaw_lines[self.function_of[window]])


def judge(
    functions: Functions,
    scores: dict[str, list[np.ndarray]],
    probabilities: np.ndarray,
    samples: int,
    seed: int,
    reference: str = DEFAULT,
) -> list[dict[str, Any]]:
    """A row for each method and aggregate: `method`, `lines`, the token AUC and the line measures.

    The interval of each of `MEANS` and `POOLED` is in `<name>_low` and `<name>_high`, and that of its difference to
    the maximum of the method `reference`, if that is in `scores`, in `<name>_difference_low` and `..._high`.
    """
    everything = np.arange(len(functions.texts))
    rows, base = [], None
    names = sorted(scores, key=lambda name: name != reference)  # the reference first, the others in their order
    for method in progress_bar(names, desc="judging", unit="method"):
        values = scores[method]
        aucs = _token_aucs(functions, values)
        for how in AGGREGATES if method != "line length" else ("mean",):
            lines = aggregated(functions, values, how)
            row = {"method": method, "lines": how, "token_auc_functions": int(np.isfinite(aucs).sum())}
            row |= {"token_auc": float(np.nanmean(aucs)) if np.isfinite(aucs).any() else None}
            row |= _measure(lines, functions, probabilities, everything)
            draws = _mean_draws(aucs, lines, functions, probabilities, samples, seed)
            draws |= pooled_draws(lines, functions, probabilities, samples, seed)
            row |= _intervals(draws)
            base = draws if base is None and method == reference else base
            if base is not None and method != reference:
                row |= _intervals({f"{name}_difference": own - base[name] for name, own in draws.items()})
            rows.append(row)
    return rows


def _intervals(draws: dict[str, np.ndarray]) -> dict[str, float]:
    """The 95 % interval of the bootstrap values of each measure, in `<name>_low` and `<name>_high`."""
    from ltp_pipeline.measures.intervals import interval

    found = {}
    for name, values in draws.items():
        if (bounds := interval(values)) is not None:
            found[f"{name}_low"], found[f"{name}_high"] = bounds
    return found


def _mean_draws(
    aucs: np.ndarray, lines: list[np.ndarray], functions: Functions, probabilities: np.ndarray, samples: int, seed: int
) -> dict[str, np.ndarray]:
    """The bootstrap values of each of `MEANS`, `[samples]`; the draws do not depend on the scores."""
    defective = [i for i, label in enumerate(functions.labels) if label == 1 and functions.flaw_lines[i]]
    single = [_measure(lines, functions, probabilities, np.array([i])) for i in defective]
    draws = {}
    for name in MEANS:
        own = aucs if name == "token_auc" else np.array([measures[name] for measures in single if measures])
        own = own[np.isfinite(own)]
        random = np.random.default_rng(seed)
        if len(own):
            draws[name] = np.array([own[random.integers(0, len(own), len(own))].mean() for _ in range(samples)])
    return draws


def pooled_draws(
    lines: list[np.ndarray], functions: Functions, probabilities: np.ndarray, samples: int, seed: int
) -> dict[str, np.ndarray]:
    """The bootstrap values of each of `POOLED`, `[samples]`, over functions; those without a flaw line are NaN.

    The order of the lines is the same in every draw, so a draw is a weight for each function.
    """
    from ltp_pipeline.measures.lines import FOUND_SHARE, READ_SHARE

    known = [i for i, label in enumerate(functions.labels) if label != 1 or functions.flaw_lines[i]]
    flaws = [functions.flaw_lines[i] if functions.labels[i] == 1 else () for i in known]
    truth = np.concatenate([np.isin(np.arange(len(lines[i])) + 1, own) for i, own in zip(known, flaws)])
    of = np.repeat(np.arange(len(known)), [len(lines[i]) for i in known])
    order = np.lexsort((truth, -probabilities[known][of], -np.concatenate([lines[i] for i in known])))
    of, truth, random = of[order], truth[order], np.random.default_rng(seed)
    draws: dict[str, list[float]] = {name: [] for name in POOLED}
    for _ in range(samples):
        weights = np.bincount(random.integers(0, len(known), len(known)), minlength=len(known))[of]
        read, found = np.cumsum(weights), np.cumsum(weights * truth)
        if not found[-1]:
            for values in draws.values():
                values.append(np.nan)
            continue
        wanted = -(-found[-1] // FOUND_SHARE)
        last = np.searchsorted(found, wanted)  # the line of which a copy is the last one to be read
        draws[POOLED[0]].append((read[last] - (found[last] - wanted)) / read[-1])
        budget = read[-1] // READ_SHARE
        next_line = np.searchsorted(read, budget, side="right")  # the first of which not every copy is read
        before = (read[next_line - 1], found[next_line - 1]) if next_line else (0, 0)
        draws[POOLED[1]].append((before[1] + (budget - before[0]) * truth[next_line]) / found[-1])
    return {name: np.array(values) for name, values in draws.items()}


def _measure(
    lines: list[np.ndarray], functions: Functions, probabilities: np.ndarray, chosen: np.ndarray
) -> dict[str, float]:
    """The line measures of the functions `chosen`, as if every one were predicted defective."""
    from ltp_pipeline.measures.lines import TRUE_POSITIVES, line_measures

    measures = line_measures(
        [lines[i] for i in chosen],
        [functions.flaw_lines[i] for i in chosen],
        probabilities[chosen],
        np.ones(len(chosen), dtype=int),
        functions.labels[chosen],
    )
    return {name: value for name, value in measures.items() if not name.endswith(TRUE_POSITIVES)}


def _token_aucs(functions: Functions, scores: list[np.ndarray]) -> np.ndarray:
    """The AUC of each function's tokens for lying in a flaw line, `[N]`; NaN without both kinds of tokens."""
    from sklearn.metrics import roc_auc_score

    aucs = np.full(len(functions.texts), np.nan)
    begins = np.searchsorted(functions.function_of, np.arange(len(aucs) + 1))
    for number, (begin, end) in enumerate(zip(begins, begins[1:])):
        if functions.labels[number] != 1:
            continue
        parts = [(functions.token_truth(window), scores[window]) for window in range(begin, end)]
        truth = np.concatenate([own for (_, own), _ in parts])
        if 0 < truth.sum() < len(truth):
            values = np.concatenate([own[tokens] for (tokens, _), own in parts])
            aucs[number] = roc_auc_score(truth, values)
    return aucs


def aggregated(functions: Functions, scores: list[np.ndarray], how: str) -> list[np.ndarray]:
    """The score of each line of each function: the maximum, the sum or the mean of its tokens'; of several windows
    the highest; minus infinity without tokens.
    """
    lines = [np.full(text.count("\n") + 1, -np.inf) for text in functions.texts]
    for number, (tokens, line), values in zip(functions.function_of, functions.pairs, scores, strict=True):
        own = np.full(len(lines[number]), -np.inf)
        if how == "max":
            np.maximum.at(own, line, values[tokens])
        else:
            counts, sums = (np.bincount(line, weights, len(own)) for weights in (None, values[tokens]))
            own[counts > 0] = sums[counts > 0] / (counts[counts > 0] if how == "mean" else 1)
        np.maximum(lines[number], own, out=lines[number])
    return lines
