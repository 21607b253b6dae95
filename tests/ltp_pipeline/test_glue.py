import datasets
import pytest

from ltp_pipeline.data import tokenize_functions
from ltp_pipeline.errors import UserError
from ltp_pipeline.glue import GLUE_TASKS, check_task, read_glue


def test_tasks_of_two_classes_only():
    for task in ("code", "cola", "rte"):
        check_task(task)
    for task in ("mnli", "stsb", "CODE"):
        with pytest.raises(
            UserError, match=f"--task_name {task}: expected code or a GLUE task of two classes: cola, "
        ):
            check_task(task)


@pytest.mark.parametrize("task, pair", [("sst2", False), ("qnli", True)])
def test_a_task_comes_as_functions_do(monkeypatch, tokenizer_dir, task, pair):
    from transformers import AutoTokenizer

    rows = {"idx": [0, 1], "label": [1, 0], **{name: [f"{name} a", f"{name} b"] for name in GLUE_TASKS[task]}}
    splits = {"train": rows, "validation": rows, "test": rows}
    fetched = datasets.DatasetDict({name: datasets.Dataset.from_dict(split) for name, split in splits.items()})
    monkeypatch.setattr(datasets, "load_dataset", lambda *names: fetched if names == ("nyu-mll/glue", task) else None)
    frames = read_glue(task)
    assert frames.keys() == {"train", "eval"}
    assert frames["eval"].columns.tolist() == ["functionSource", *(["pair"] if pair else []), "label"]
    assert frames["eval"]["functionSource"].tolist() == [f"{GLUE_TASKS[task][0]} a", f"{GLUE_TASKS[task][0]} b"]
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    data = tokenize_functions(frames["eval"], tokenizer, 64, pair_column="pair" if pair else None)
    expected = "<s>question a</s></s>sentence a</s>" if pair else "<s>sentence a</s>"
    assert tokenizer.decode(data[0]["input_ids"]) == expected
    assert data["labels"] == [1, 0]


def test_without_a_hub_the_task_is_named(monkeypatch):
    def offline(*names):
        raise ConnectionError("Couldn't reach 'nyu-mll/glue' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(UserError, match="--task_name rte: the task's data cannot be fetched from the hub: Couldn't"):
        read_glue("rte")
