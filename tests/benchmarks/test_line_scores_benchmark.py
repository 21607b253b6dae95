"""benchmarks.line_scores: what it judges by hand, one run, and its errors."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks.line_judging import POOLED, Functions, aggregated, judge, pooled_draws
from benchmarks.line_scores import main
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.measures.lines import line_measures
from ltp_pipeline.view.line_scores import lines_of_tokens
from tests.ltp_pipeline.view.test_line_scores import tokens_of
from tests.pruned_checkpoint import FUNCTIONS, MAX_LENGTH, save_checkpoint, save_functions

TEXT = "a b\nc d\n\ne f\n"


@pytest.fixture
def functions():
    """Two functions with the same text: one defective in line 2, one clean. The first is read in two windows."""
    window, late = tokens_of(TEXT, ["a", "b", "c", "d", "e", "f"]), tokens_of(TEXT, ["c", "d", "e", "f"])
    windows = [window, late, window]
    pairs = [lines_of_tokens(TEXT, one) for one in windows]
    return Functions([TEXT, TEXT], [(2,), ()], np.array([1, 0]), windows, np.array([0, 0, 1]), pairs)


def test_aggregates(functions):
    scores = [np.array([9, 1, 2, 3, 4, -8, -9, 9]), np.array([9, 5, 0, 1, 1, 9]), np.zeros(8)]
    none = -np.inf
    assert aggregated(functions, scores, "max")[0].tolist() == [2, 5, none, 1, none]
    assert aggregated(functions, scores, "sum")[0].tolist() == [3, 7, none, 2, none]
    assert aggregated(functions, scores, "mean")[0].tolist() == [1.5, 3.5, none, 1, none]


def test_a_score_that_knows_the_flaw_is_perfect_and_its_opposite_is_not(functions):
    right = [np.array([0, 0, 0, 1, 1, 0, 0, 0.0]), np.array([0, 1, 1, 0, 0, 0.0]), np.zeros(8)]
    wrong = [-values for values in right]
    rows = judge(functions, {"wrong": wrong, "right": right}, np.array([0.9, 0.1]), 50, 0, "right")
    by_name = {(row["method"], row["lines"]): row for row in rows}
    assert len(rows) == 6
    for how in ("max", "sum", "mean"):
        best, worst = by_name["right", how], by_name["wrong", how]
        assert best["token_auc"] == best["token_auc_low"] == best["token_auc_high"] == 1 and worst["token_auc"] == 0
        assert best["line_ifa_mean"] == 0 and worst["line_ifa_mean"] == 2
        assert best["line_functions"] == best["token_auc_functions"] == 1
        assert worst["token_auc_difference_low"] == worst["token_auc_difference_high"] == -1
        assert worst["line_ifa_mean_difference_low"] == 2 and "token_auc_difference_low" not in best


def test_draws_of_the_pooled_measures_are_those_of_the_drawn_functions():
    random = np.random.default_rng(1)
    labels, sizes = np.array([1, 0] * 4 + [1]), [60, 30, 80, 45, 33, 70, 50, 9, 20]
    flaws = [
        tuple(random.choice(n, 7, replace=False) + 1) if n > 20 else () for n in sizes
    ]  # the last has unknown ones
    lines = [np.where(random.random(n) < 0.1, -np.inf, random.random(n)) for n in sizes]
    probabilities = random.random(len(sizes))
    draws = pooled_draws(lines, Functions([], flaws, labels, [], np.empty(0), []), probabilities, 30, 5)
    again = np.random.default_rng(5)
    for number in range(30):
        own = again.integers(0, 8, 8)
        expected = line_measures(
            [lines[i] for i in own], [flaws[i] for i in own], probabilities[own], np.ones(8), labels[own]
        )
        assert [draws[name][number] for name in POOLED] == pytest.approx([expected[name] for name in POOLED])
    assert all(len(np.unique(draws[name])) > 5 for name in POOLED)


def test_a_run(pruned_checkpoint, tmp_path, capsys):
    unpruned = save_checkpoint(tmp_path / "unpruned", prune_mode=None)
    save_functions(tmp_path / "test.csv", flaw_lines=["", "5 6", "", "1", "", "2"])
    flags = f"--model_name_or_path {pruned_checkpoint} --test_file {tmp_path}/test.csv --max_length {MAX_LENGTH} "
    flags += f"--dtype float32 --bootstrap 20 --output_dir {tmp_path}"
    main([*flags.split(), "--unpruned", str(unpruned)])
    report = json.loads((tmp_path / "line_scores.json").read_text())
    assert report["functions"] == len(FUNCTIONS) and report["with_flaw_lines"] == 3
    rows = {(row["method"], row["lines"]): row for row in report["scores"]}
    names = "gradient_x_input", "relevance", "integrated_gradients, 2 steps", "importance, layer 2"
    for name in (*names, "unpruned: attention", "random"):
        row = rows[name, "max"]
        assert row["token_auc_low"] <= row["token_auc"] <= row["token_auc_high"] and row["line_functions"] == 3
        assert ("seconds" in row) == (name != "random")
        assert ("token_auc_difference_low" in row) == (name != "gradient_x_input")
    assert len(pd.read_csv(tmp_path / "line_scores.csv")) == len(rows)
    assert (tmp_path / "line_scores.md").read_text().count("\n") == len(rows) + 2
    assert "gradient_x_input" in capsys.readouterr().out
    with pytest.raises(UserError, match="--methods luck: .*gradient_x_input"):
        main([*flags.split(), "--methods", "luck"])
    with pytest.raises(UserError, match="--reference luck: .*gradient_x_input"):
        main([*flags.split(), "--reference", "luck"])
    save_functions(tmp_path / "test.csv")
    with pytest.raises(UserError, match="--test_file .*: no function .*flaw lines.*flaw_lines"):
        main(flags.split())
