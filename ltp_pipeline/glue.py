"""GLUE tasks of two classes, from the hub through `datasets`, as the tables that functions come in."""

import pandas as pd

from ltp_pipeline.errors import UserError

# task: the columns of its sentences
GLUE_TASKS = {
    "cola": ("sentence",),
    "mrpc": ("sentence1", "sentence2"),
    "qnli": ("question", "sentence"),
    "qqp": ("question1", "question2"),
    "rte": ("sentence1", "sentence2"),
    "sst2": ("sentence",),
    "wnli": ("sentence1", "sentence2"),
}


def check_task(task: str) -> None:
    """Raises UserError unless `task` is code or a GLUE task of two classes."""
    if task not in GLUE_TASKS and task != "code":
        raise UserError(f"--task_name {task}: expected code or a GLUE task of two classes: {', '.join(GLUE_TASKS)}")


def read_glue(task: str) -> dict[str, pd.DataFrame]:
    """The "train" and "eval" split of a task: columns functionSource, pair (for two sentences) and label (0 or 1).

    Raises UserError if it cannot be fetched.
    """
    from datasets import load_dataset

    try:
        splits = load_dataset("nyu-mll/glue", task)
    except (OSError, ValueError) as error:  # datasets' own errors derive from these
        raise UserError(f"--task_name {task}: the task's data cannot be fetched from the hub: {error}") from error
    columns = dict(zip(GLUE_TASKS[task], ("functionSource", "pair"), strict=False))
    return {
        name: splits[split].to_pandas().rename(columns=columns)[[*columns.values(), "label"]]
        for name, split in (("train", "train"), ("eval", "validation"))
    }
