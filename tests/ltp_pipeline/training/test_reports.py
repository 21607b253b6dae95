"""Tables of metrics, and the mean loss."""

import pytest

from ltp_pipeline.training.reports import evaluated_splits, mean_loss, metrics_table


def test_mean_loss_weighs_entries_by_their_steps():
    log = [{"loss": 1.0, "step": 3}, {"eval_loss": 9.0, "step": 3}, {"loss": 4.0, "step": 4}]
    assert mean_loss(log) == pytest.approx((3 * 1 + 4) / 4)
    assert mean_loss([]) is None


def test_the_table_of_metrics_has_a_line_a_split_and_the_columns_that_there_are():
    results = {"train_runtime": 1.0, "eval_f1": 0.5, "eval_runtime": 1.0, "test_loss": 2.0, "test_runtime": 1.0}
    assert evaluated_splits(results) == ["eval", "test"]
    lines = [line.split() for line in metrics_table(results).splitlines()]
    assert lines[0] == ["F1", "loss"] and lines[2:] == [["eval", "0.5000", "-"], ["test", "-", "2.0000"]]
