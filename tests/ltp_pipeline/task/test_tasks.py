import numpy as np
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.task.tasks import CODE, GLUE, NOT_GIVEN, TASKS, find_task


@pytest.mark.parametrize(
    "typed, name",
    [
        ("code", "CODE"),
        ("vdisc", "VDISC"),
        ("CODE", "CODE"),
        ("rte", "RTE"),
        ("sst2", "SST2"),
        ("SST-2", "SST2"),
        ("sts-b", "STSB"),
        ("STSB", "STSB"),
        ("mnli-mm", "MNLI"),
        ("mnli_mismatched", None),
        ("CoLA", "COLA"),
        ("qnli", "QNLI"),
        ("Qqp", "QQP"),
        ("mrpc", "MRPC"),
        ("wnli", "WNLI"),
    ],
)
def test_tasks_are_found_as_users_type_them(typed, name):
    if name is None:
        with pytest.raises(UserError, match=rf"--task {typed}: .*CODE, VDISC, .*, WNLI"):
            find_task(typed, "--task")
    else:
        assert find_task(typed, "--task") is TASKS[name]


def test_the_table():
    assert [task.name for task in GLUE] == "RTE SST2 MNLI QNLI QQP MRPC STSB COLA WNLI".split()
    assert {task.name: task.num_labels for task in GLUE if task.num_labels != 2} == {"MNLI": 3, "STSB": 1}
    assert [task.name for task in GLUE if task.problem_type == "regression"] == ["STSB"]
    assert [task.name for task in GLUE if len(task.columns) == 1] == ["SST2", "COLA"]


def test_measuring_rows_without_labels_gives_nothing():
    logits = np.zeros((2, 2))
    assert TASKS["RTE"].measure(logits, np.array([0, 1])) == {"accuracy": 0.5}
    assert TASKS["RTE"].measure(logits, np.array([NOT_GIVEN, NOT_GIVEN])) == {}
    assert TASKS["STSB"].measure(logits[:, :1], np.array([np.nan, np.nan])) == {}
    assert CODE.measure(logits, np.array([0, 1]))["false_alarm_rate"] == 0
