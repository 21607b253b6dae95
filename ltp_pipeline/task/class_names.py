"""Names of a task's classes in a checkpoint's configuration, where other programs read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ltp_pipeline.base.errors import printable
from ltp_pipeline.task.decision import NAME, stored_threshold
from ltp_pipeline.task.tasks import CODE, Task

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

CODE_CLASSES = ("clean", "defective")
WITHOUT_MEANING = re.compile(r"(label|class)?[ _-]?\d+", re.IGNORECASE)  # such as the library's LABEL_0


def class_names(task: Task) -> tuple[str, ...]:
    """The names of the classes 0, 1, ...; () for a task that predicts a number.

    >>> class_names(CODE)
    ('clean', 'defective')
    """
    return CODE_CLASSES if task is CODE else task.labels


def set_task(config: PreTrainedConfig, task: Task, where: str) -> None:
    """Gives a model's configuration the number of classes of `task`, their names, and its loss.

    Prints a note, which names `where`, if the classes had other names, because their order may then be another one; or
    if a decision threshold is removed, which only the task CODE has.
    """
    names, own = class_names(task), [config.id2label[number] for number in sorted(config.id2label)]
    if names and len(own) == len(names) and not _same(own, names):
        print(
            f"note: {where} names its classes {_numbered(own)}; here they mean {_numbered(names)}. If the model "
            "was trained with another order of classes, its predictions are wrong until it is trained again"
        )
    config.num_labels = task.num_labels
    config.problem_type = task.problem_type
    if names:
        config.id2label = dict(enumerate(names))
        config.label2id = {name: number for number, name in enumerate(names)}
    if task is not CODE and stored_threshold(config) is not None:
        print(f"note: the decision threshold {stored_threshold(config):.4g} of {where} is for code; it is not used")
        setattr(config, NAME, None)


def _same(own: list[str], names: tuple[str, ...]) -> bool:
    """Whether the names mean the same, or have no meaning."""
    return all(
        str(mine).lower() == name.lower() or WITHOUT_MEANING.fullmatch(str(mine))
        for mine, name in zip(own, names, strict=True)
    )


def _numbered(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"{number} {printable(str(name), 40)}" for number, name in enumerate(names))
