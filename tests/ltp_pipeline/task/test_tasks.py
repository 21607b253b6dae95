import numpy as np
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.task.tasks import CODE, NOT_GIVEN, TASKS, find_task


def test_tasks_are_found_as_users_type_them():
    typed = {"CODE": "code CODE", "VDISC": "vdisc", "RTE": "rte", "SST2": "sst2 SST-2", "STSB": "sts-b STSB"}
    typed |= {"QQP": "Qqp", "MNLI": "mnli mnli-mm", "COLA": "CoLA", "QNLI": "qnli", "MRPC": "mrpc", "WNLI": "wnli"}
    for name, spellings in typed.items():
        for spelling in spellings.split():
            assert find_task(spelling, "--task") is TASKS[name]
    with pytest.raises(UserError, match="--task mnli_mismatched: .*CODE, VDISC, .*, WNLI"):
        find_task("mnli_mismatched", "--task")


def test_measuring_rows_without_labels_gives_nothing():
    logits = np.zeros((2, 2))
    assert TASKS["RTE"].measure(logits, np.array([0, 1])) == {"accuracy": 0.5}
    assert TASKS["RTE"].measure(logits, np.array([NOT_GIVEN, NOT_GIVEN])) == {}
    assert TASKS["STSB"].measure(logits[:, :1], np.array([np.nan, np.nan])) == {}
    assert CODE.measure(logits, np.array([0, 1]))["false_alarm_rate"] == 0
