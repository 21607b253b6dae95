"""Splits in which a class does not occur: an error before training if a number needs it, otherwise a note."""

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.task.class_counts import check_class_counts
from ltp_pipeline.task.tasks import CODE, NOT_GIVEN, TASKS

PLACE = "--validation_file v.csv"


def said(capsys, labels, task=CODE, split="eval", **asked):
    check_class_counts({split: (PLACE, labels)}, task, **asked)
    return capsys.readouterr().out


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.9])
@pytest.mark.parametrize("count", [1, 30])
def test_a_rate_of_false_alarms_needs_a_function_of_class_0(limit, count):
    with pytest.raises(UserError, match=rf"--max_false_alarm {limit}: .*all {count} .*{PLACE} .*class 1"):
        check_class_counts({"train": ("t.csv", [0, 1]), "eval": (PLACE, [1] * count)}, CODE, max_false_alarm=limit)


def test_too_few_functions_of_class_0_for_the_rate_are_noted(capsys):
    labels = [0] * 20 + [1] * 5
    note = said(capsys, labels, max_false_alarm=0.01)
    assert "--max_false_alarm 0.01" in note and "20 functions" in note and "0.05" in note and "100 or more" in note
    for limit in (0.05, 0.0, None):
        assert said(capsys, labels, max_false_alarm=limit) == ""


def test_a_split_without_a_class_is_noted(capsys):
    assert f"{PLACE}: none of the 3 rows has the label 1; " in said(capsys, [0, 0, 0], max_false_alarm=0.4)
    assert "the label 0; metrics about it are 0, and there is no AUC" in said(capsys, [1], split="test")
    assert "the label neutral; the model does not learn it" in said(capsys, [0, 2, 0], TASKS["MNLI"], split="train")
    groups = said(capsys, [[0, 1, 0, 1, 0]], TASKS["VDISC"])
    assert "CWE-119, CWE-469, CWE-other; " in groups and "macro_f1" in groups
    assert said(capsys, [[0, 1, 0, 1, 1], [1, 0, 1, 0, 0]], TASKS["VDISC"]) == ""
    for task, labels in ((CODE, [0, 1]), (TASKS["STSB"], [0.0, 0.0]), (TASKS["RTE"], [NOT_GIVEN] * 2)):
        assert said(capsys, labels, task) == ""


@pytest.mark.parametrize(
    ("task", "metric", "labels"),
    [
        (CODE, "auc", [1, 1]),
        (CODE, "eval_auc", [0]),
        (CODE, "pr_auc", [0, 0]),
        (CODE, "mcc", [0, 0]),
        (CODE, "eval_vd_s_0.5", [1]),
        (CODE, "recall_at_fpr_5", [1]),
        (TASKS["VDISC"], "macro_auc", [[1, 0, 1, 0, 0], [1, 0, 1, 0, 0]]),
    ],
)
def test_a_best_step_cannot_be_chosen_by_an_auc_that_does_not_exist(task, metric, labels):
    with pytest.raises(UserError, match=f"--metric_for_best_model {metric}: .*{len(labels)} functions of {PLACE}"):
        check_class_counts({"eval": (PLACE, labels)}, task, metric_for_best_model=metric)
    check_class_counts({"eval": (PLACE, labels)}, task, metric_for_best_model="accuracy")
