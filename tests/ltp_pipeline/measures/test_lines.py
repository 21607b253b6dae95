"""Line-level measures, against examples worked by hand and against a naive implementation."""

import math

import numpy as np
import pytest
from hypothesis import strategies as st

from ltp_pipeline.measures.lines import line_measures
from tests.fuzz.limits import fuzz

NAMES = (
    "top_10_first",
    "top_10_any",
    "ifa_mean",
    "ifa_median",
    "effort_at_20_recall",
    "recall_at_1_loc",
    "detection_alignment",
)


def measured(functions):
    """`line_measures` of functions (scores, flaw lines, probability, prediction, label)."""
    scores, flaws, probabilities, predictions, labels = zip(*functions, strict=True)
    scores = [np.array(one, dtype=float) for one in scores]
    return line_measures(scores, list(flaws), np.array(probabilities), np.array(predictions), np.array(labels))


def test_a_worked_example():
    # Defective, found: line 3 is read first (clean), then line 2 (flaw). Minimum to 0, maximum to 1: 0, 2/3, 1, 1/3.
    found = ([0.0, 2.0, 3.0, 1.0], (4, 2), 0.9, 1, 1)
    missed = ([5.0, 1.0], (1,), 0.2, 0, 1)
    false_alarm = ([2.5, 0.5], (), 0.8, 1, 0)
    assert measured([found, missed, false_alarm]) == pytest.approx(
        {
            "line_functions": 2,
            "line_functions_found": 1,
            "line_top_10_first": 0.5,
            "line_top_10_any": 0.5,
            "line_ifa_mean": 1,  # 1 in the found function; all clean lines, 1, of the missed one
            "line_ifa_median": 1,
            # order: 3.0, 2.5 (false alarm), 2.0 (flaw), 1.0 (flaw), 0.5, 0.0, then the missed function: 3 of 8 lines
            "line_effort_at_20_recall": 3 / 8,
            "line_recall_at_1_loc": 0,
            # minima: 2/3 + 1/3 and 0; maxima: 0 + 1 + 1 + 1 and 1
            "line_detection_alignment": 1 / 4,
            "line_top_10_first_true_positives": 1,
            "line_top_10_any_true_positives": 1,
            "line_ifa_mean_true_positives": 1,
            "line_ifa_median_true_positives": 1,
            "line_effort_at_20_recall_true_positives": 3 / 6,
            "line_recall_at_1_loc_true_positives": 0,
            "line_detection_alignment_true_positives": 1 / 3,
        }
    )


def test_the_first_listed_line_and_any_line():
    scores = np.arange(20.0)[::-1]  # line 1 is read first
    result = measured([(scores, (12, 3), 0.9, 1, 1), (scores, (10,), 0.9, 1, 1), (scores, (11,), 0.9, 1, 1)])
    assert result["line_top_10_first"] == pytest.approx(1 / 3)
    assert result["line_top_10_any"] == pytest.approx(2 / 3)
    assert (result["line_ifa_mean"], result["line_ifa_median"]) == (pytest.approx((2 + 9 + 10) / 3), 9)


def test_equal_scores_are_never_in_favour_of_the_flaw():
    for flaw in (1, 6, 12):
        result = measured([(np.full(12, 0.5), (flaw,), 0.9, 1, 1)])
        assert result["line_top_10_any"] == result["line_top_10_first"] == 0
        assert result["line_ifa_mean"] == 11
        assert result["line_effort_at_20_recall"] == 1
        assert result["line_detection_alignment"] == 0


def test_of_equal_lines_in_two_functions_the_more_probable_function_is_read_first():
    functions = [([1.0], (1,), 0.7, 1, 1), ([1.0], (), 0.6, 1, 0)]
    assert measured(functions)["line_effort_at_20_recall"] == 1 / 2
    functions[1] = ([1.0], (), 0.8, 1, 0)
    assert measured(functions)["line_effort_at_20_recall"] == 1


def test_recall_reads_one_line_of_a_hundred():
    scores = [np.r_[np.arange(100.0), 1000 - i] for i in range(2)]
    result = measured([(scores[0], (101,), 0.9, 1, 1), (scores[1], (101, 100, 99), 0.9, 1, 1)])
    assert result["line_recall_at_1_loc"] == 2 / 4  # 2 of 202 lines
    assert measured([(scores[0][2:], (99,), 0.9, 1, 1)])["line_recall_at_1_loc"] == 0  # no line of 99


def test_what_is_not_known_is_left_out():
    known = ([1.0, 2.0], (2,), 0.9, 1, 1)
    assert measured([known, ([9.0] * 30, (), 0.9, 1, 1)]) == measured([known])  # defective, lines not known
    assert measured([known, ([9.0] * 30, (0, 31), 0.9, 1, 1)]) == measured([known])  # no lines of the text
    assert measured([known, ([0.0], (1,), 0.1, 0, 0)])["line_functions"] == 1  # label 0
    assert measured([([1.0], (), 0.9, 1, 1), ([1.0], (1,), 0.9, 1, 0)]) == {}
    assert not any("true_positives" in name for name in measured([([1.0], (1,), 0.1, 0, 1)]))


def test_lines_that_the_model_did_not_read_come_last():
    result = measured([([-math.inf, 2.0, 4.0], (1,), 0.9, 1, 1)])
    assert result["line_ifa_mean"] == 2
    assert result["line_detection_alignment"] == 0
    result = measured([([-math.inf, 2.0, 4.0], (3,), 0.9, 1, 1)])
    assert (result["line_ifa_mean"], result["line_detection_alignment"]) == (0, 1)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_score_is_refused(score):
    with pytest.raises(ValueError, match="score of a line"):
        measured([([1.0, score], (1,), 0.9, 1, 1)])


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="numbers of functions"):
        line_measures([np.ones(2)], [(1,), (1,)], np.ones(1), np.ones(1), np.ones(1))


FUNCTION = st.integers(1, 14).flatmap(
    lambda lines: st.tuples(
        st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 2.0]), min_size=lines, max_size=lines),
        st.lists(st.integers(1, lines), max_size=4).map(tuple),
        st.sampled_from([0.1, 0.5, 0.9]),
        st.integers(0, 1),
        st.integers(0, 1),
    )
)


@fuzz(functions=st.lists(FUNCTION, min_size=1, max_size=12))
def test_agrees_with_a_naive_implementation(functions):
    expected = naive(functions)
    result = measured(functions)
    assert result == pytest.approx(expected)


def naive(functions):
    defective = [f for f in functions if f[4] == 1 and f[1]]
    found = [f for f in defective if f[3]]
    if not defective:
        return {}
    result = {"line_functions": len(defective), "line_functions_found": len(found)}
    known = [f for f in functions if f[4] == 0 or f[1]]
    for end, chosen, read in (("", defective, known), ("_true_positives", found, [f for f in known if f[3]])):
        if chosen:
            values = (*naive_in_functions(chosen), *naive_in_all_lines(read))
            names = (*NAMES[:4], NAMES[6], *NAMES[4:6])
            result |= {f"line_{name}{end}": value for name, value in zip(names, values, strict=True)}
    return result


def naive_in_functions(chosen):
    first, hits, clean_read, common, united = 0, 0, [], 0.0, 0.0
    for scores, flaws, _, called, _ in chosen:
        # The worst order of lines of equal score: clean lines, other flaw lines, the first listed flaw line.
        order = sorted(range(1, len(scores) + 1), key=lambda n: (-scores[n - 1], n in flaws, n == flaws[0]))
        before = 0
        while called and order[before] not in flaws:
            before += 1
        clean_read.append(before if called else sum(n not in flaws for n in order))
        first += called and flaws[0] in order[:10]
        hits += called and any(n in flaws for n in order[:10])
        read = [score for score in scores if score > -math.inf]
        for number, score in enumerate(scores, start=1):
            flat = not called or not read or min(read) == max(read) or score == -math.inf
            share = 0 if flat else (score - min(read)) / (max(read) - min(read))
            common += min(number in flaws, share)
            united += max(number in flaws, share)
    clean_read.sort()
    middle = (clean_read[(len(clean_read) - 1) // 2] + clean_read[len(clean_read) // 2]) / 2
    return first / len(chosen), hits / len(chosen), sum(clean_read) / len(chosen), middle, common / united


def naive_in_all_lines(read):
    lines = [
        (not called, -score, -probability, label == 1 and number in flaws)
        for scores, flaws, probability, called, label in read
        for number, score in enumerate(scores, start=1)
    ]
    lines.sort()
    total = sum(line[3] for line in lines)
    found = inspected = 0
    while found < 0.2 * total:
        found += lines[inspected][3]
        inspected += 1
    return inspected / len(lines), sum(line[3] for line in lines[: int(len(lines) * 0.01)]) / total
