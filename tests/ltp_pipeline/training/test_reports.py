"""Tables of metrics and predictions, and the mean loss."""

import numpy as np
import pytest

from ltp_pipeline.task.tasks import CODE, TASKS, VDISC
from ltp_pipeline.training.reports import evaluated_splits, mean_loss, metrics_table, predictions_table


def test_mean_loss_weighs_entries_by_their_steps():
    log = [{"loss": 1.0, "step": 3}, {"eval_loss": 9.0, "step": 3}, {"loss": 4.0, "step": 4}]
    assert mean_loss(log) == pytest.approx((3 * 1 + 4) / 4)
    assert mean_loss([]) is None


def test_the_table_of_metrics_has_a_line_a_split_and_the_columns_that_there_are():
    results = {"train_runtime": 1.0, "eval_f1": 0.5, "eval_runtime": 1.0, "test_loss": 2.0, "test_runtime": 1.0}
    assert evaluated_splits(results) == ["eval", "test"]
    lines = [line.split() for line in metrics_table(results).splitlines()]
    assert lines[0] == ["F1", "loss"] and lines[2:] == [["eval", "0.5000", "-"], ["test", "-", "2.0000"]]


@pytest.mark.parametrize(
    "task, logits, labels, threshold, columns, prediction",
    [
        (CODE, [[0, 1], [0, 2]], [0, 1], None, ["label", "prediction", "score"], [1, 1]),
        (CODE, [[0, 1], [0, 2]], [0, 1], 0.8, ["label", "prediction", "score"], [0, 1]),
        (CODE, [[0, 1], [0, 2]], [-100, -100], None, ["prediction", "score"], [1, 1]),
        (TASKS["STSB"], [[2.5], [4.0]], [1.0, 2.0], None, ["label", "prediction"], [2.5, 4.0]),
        (VDISC, [[1, -1, -1, -1, 1]], [[0, 0, 0, 0, 1]], None, None, ["CWE-119 CWE-other"]),
    ],
)
def test_predictions(task, logits, labels, threshold, columns, prediction):
    table = predictions_table(task, np.array(logits, dtype=float), np.array(labels), threshold)
    columns = ["label", "prediction", *(f"score_{name}" for name in task.labels)] if columns is None else columns
    assert table.columns.tolist() == columns
    assert table["prediction"].tolist() == prediction
    scores = table.filter(like="score").to_numpy()
    assert ((scores > 0.5) == (np.array(logits)[:, -scores.shape[1] :] > 0)).all() if scores.size else True
