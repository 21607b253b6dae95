"""Measures of how well the scores of lines lead a reader to the flaw lines of defective functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TOP = 10  # lines that a reader looks at in one function
FOUND_SHARE = 5  # Effort@20%Recall: one fifth of the flaw lines is to be found
READ_SHARE = 100  # Recall@1%LOC: one line of a hundred is read
TRUE_POSITIVES = "_true_positives"  # end of the names of the measures that leave out false negatives


def line_measures(
    line_scores: Sequence[np.ndarray],
    flaw_lines: Sequence[tuple[int, ...]],
    probabilities: np.ndarray,
    predictions: np.ndarray,
    labels: np.ndarray,
) -> dict[str, float]:
    """Line-level measures of N functions; docs/measures.md defines them.

    Among lines of equal score, a reader meets the flaw lines last: equal scores are never in favour of the flaw. A
    defective function whose flaw lines are not known is left out. Flaw lines of a function with label 0, and numbers
    that are no line of the text, are ignored.

    Args:
        line_scores: for each function, one score for each line. The highest is read first; -inf: the lowest.
        flaw_lines: for each function, the numbers of its flaw lines, from 1, the first listed first; (): none known.
        probabilities: probability of class 1, `[N]`. Of lines with equal scores in two functions, that in the more
            probable function is read first.
        predictions: predicted class, 0 or 1, `[N]`. With 1 for every function, the measures judge the scores alone.
        labels: class, 0 or 1, `[N]`.

    Returns line_functions (defective functions with known flaw lines) and line_functions_found (those that are
    predicted defective), then line_top_10_first, line_top_10_any, line_ifa_mean, line_ifa_median,
    line_effort_at_20_recall, line_recall_at_1_loc and line_detection_alignment, and each of them with the end
    `_true_positives`, for which only functions that are predicted defective count. {} without any such function.
    Raises ValueError if the lengths differ, or a score is NaN or +inf.
    """
    called, labels = np.asarray(predictions) > 0, np.asarray(labels)
    scores = [np.asarray(one, dtype=np.float64) for one in line_scores]
    if len({len(scores), len(flaw_lines), len(probabilities), len(called), len(labels)}) > 1:
        raise ValueError("the numbers of functions differ")
    if not all((one < np.inf).all() for one in scores):
        raise ValueError("a score of a line is NaN or +inf")
    listed = [
        [line for line in lines if 1 <= line <= len(one)] if label == 1 else []
        for lines, one, label in zip(flaw_lines, scores, labels, strict=True)
    ]
    defective = [i for i, lines in enumerate(listed) if lines]
    if not defective:
        return {}
    found = [i for i in defective if called[i]]
    measures = {"line_functions": len(defective), "line_functions_found": len(found)}
    known = np.flatnonzero((labels != 1) | np.array([bool(lines) for lines in listed]))
    for end, chosen, read in (("", defective, known), (TRUE_POSITIVES, found, known[called[known]])):
        if chosen:
            own = {
                **_in_functions(scores, listed, called, chosen),
                **_in_all_lines(scores, listed, called, probabilities, read),
            }
            measures |= {f"line_{name}{end}": value for name, value in own.items()}
    return measures


def _in_functions(
    scores: list[np.ndarray], listed: list[list[int]], called: np.ndarray, chosen: list[int]
) -> dict[str, float]:
    """The measures for which a reader reads each of the functions `chosen` on its own.

    A reader sees no lines of a function that is predicted clean: it is no hit, and all its clean lines count as read.
    """
    first, ifa, common, united = [], [], 0.0, 0.0
    for i in chosen:
        truth = _truth(scores[i], listed[i])
        clean = scores[i][~truth]
        first.append(called[i] and (scores[i] >= scores[i][listed[i][0] - 1]).sum() <= TOP)
        ifa.append((clean >= scores[i][truth].max()).sum() if called[i] else len(clean))
        shares = _shares(scores[i]) if called[i] else np.zeros(len(truth))
        common += np.minimum(truth, shares).sum()
        united += np.maximum(truth, shares).sum()
    any_line = [called[i] and count < TOP for i, count in zip(chosen, ifa, strict=True)]
    return {
        "top_10_first": float(np.mean(first)),
        "top_10_any": float(np.mean(any_line)),
        "ifa_mean": float(np.mean(ifa)),
        "ifa_median": float(np.median(ifa)),
        "detection_alignment": float(common / united),
    }


def _in_all_lines(
    scores: list[np.ndarray], listed: list[list[int]], called: np.ndarray, probabilities: np.ndarray, read: np.ndarray
) -> dict[str, float]:
    """The measures for which a reader reads the lines of all functions in `read` in one order.

    The lines of functions that are predicted defective come first, then the higher score, then the higher probability
    of the function; of lines that are equal in all these, the flaw lines come last.
    """
    truth = np.concatenate([_truth(scores[i], listed[i]) for i in read])
    lengths = [len(scores[i]) for i in read]
    values = np.concatenate([scores[i] for i in read])
    of_function = [np.repeat(np.asarray(column)[read], lengths) for column in (called, probabilities)]
    order = np.lexsort((truth, -of_function[1], -values, ~of_function[0]))
    flaws = np.flatnonzero(truth[order])  # how many lines are read before each flaw line
    wanted = -(-len(flaws) // FOUND_SHARE)
    return {
        "effort_at_20_recall": float((flaws[wanted - 1] + 1) / len(truth)),
        "recall_at_1_loc": float((flaws < len(truth) // READ_SHARE).mean()),
    }


def _truth(scores: np.ndarray, listed: list[int]) -> np.ndarray:
    """Whether each line of a function is a flaw line, bool `[lines]`."""
    truth = np.zeros(len(scores), dtype=bool)
    truth[np.array(listed, dtype=int) - 1] = True
    return truth


def _shares(scores: np.ndarray) -> np.ndarray:
    """Scores `[lines]` of a function, mapped to 0 (the lowest) to 1 (the highest); all 0 if they are equal.

    Lines with the score -inf get 0, like the lowest of the others.
    """
    finite = np.isfinite(scores)
    if not finite.any():
        return np.zeros(len(scores))
    low, high = scores[finite].min(), scores[finite].max()
    if low == high:
        return np.zeros(len(scores))
    return (np.where(finite, scores, low) - low) / (high - low)
