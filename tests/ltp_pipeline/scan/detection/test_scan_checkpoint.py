"""Which checkpoints a scan takes, and what their classes mean."""

import pytest
from transformers import RobertaConfig

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.scan.detection.checkpoint import detected
from ltp_pipeline.task.tasks import TASKS, VDISC

MULTI = {"problem_type": "multi_label_classification"}
GROUPS = dict(enumerate(VDISC.labels))


def config(names=None, count=2, **values):
    names = {i: f"LABEL_{i}" for i in range(count)} if names is None else dict(enumerate(names))
    return RobertaConfig(id2label=names, architectures=["RobertaForSequenceClassification"], **values)


@pytest.mark.parametrize(
    ("given", "task", "labels"),
    [
        (config(), "CODE", ("defective",)),
        (config(("clean", "defective")), "CODE", ("defective",)),
        (config(("benign", "malicious")), "CODE", ("malicious",)),
        (config(("not_vulnerable", "Vulnerable")), "CODE", ("Vulnerable",)),
        (config(("0", "1")), "CODE", ("defective",)),
        (config(VDISC.labels), "VDISC", VDISC.labels),
        (config(VDISC.labels, **MULTI), "VDISC", VDISC.labels),
        (config(count=5, **MULTI), "VDISC", VDISC.labels),
        (config(("CWE-20", "CWE-787"), **MULTI), "VDISC", ("CWE-20", "CWE-787")),
        (config(count=3, **MULTI), "VDISC", ("LABEL_0", "LABEL_1", "LABEL_2")),
    ],
)
def test_detectors(given, task, labels):
    found, names = detected(given, "--model_name_or_path m")
    assert (found.name, names) == (task, labels)


GLUE = [task for task in TASKS.values() if not task.reads_functions and task.labels]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        *((config(task.labels), f"{', '.join(task.labels)}, those of the task") for task in GLUE),
        (config(count=1), "predicts a number"),
        (config(problem_type="regression"), "predicts a number"),
        (config(count=3), "has 3 classes"),
        (config(("a", "b", "c", "d")), "has 4 classes"),
        (config(("defective", "clean")), "class 0 is defective and class 1 clean"),
        (config(("Vulnerable", "Non-vulnerable")), "class 0 is Vulnerable"),
        (RobertaConfig(architectures=["RobertaForMaskedLM"]), "RobertaForMaskedLM, which has no classification head"),
        (RobertaConfig(architectures=["LTPForTokenClassification"]), "has no classification head"),
        (RobertaConfig(architectures=["RobertaModel"]), "has no classification head"),
    ],
)
def test_others(given, says):
    with pytest.raises(UserError, match=says) as raised:
        detected(given, "--model_name_or_path m")
    assert str(raised.value).startswith("--model_name_or_path m: ")
