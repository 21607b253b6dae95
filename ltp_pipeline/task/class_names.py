"""Names of a task's classes in a checkpoint's configuration, where other programs read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import printable
from ltp_pipeline.task.decision import NAME, stored_threshold
from ltp_pipeline.task.labels import LABELS, WORDS
from ltp_pipeline.task.tasks import CODE, Task

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

CODE_CLASSES = ("clean", "defective")
OF_DEFECTS = WORDS[-1]  # words such as benign and malicious -> class
WITHOUT_MEANING = re.compile(r"(label|class)?[ _-]?\d+", re.IGNORECASE)  # such as the library's LABEL_0


def class_names(task: Task, own: Sequence[str] = ()) -> tuple[str, ...]:
    """The names of the classes 0, 1, ...; () for a task that predicts a number.

    `own`: those of a checkpoint. For code they are kept if they say the same: `benign` and `malicious`.

    >>> class_names(CODE), class_names(CODE, ["safe", "vulnerable"]), class_names(CODE, ["vulnerable", "safe"])
    (('clean', 'defective'), ('safe', 'vulnerable'), ('clean', 'defective'))
    """
    if task is not CODE:
        return task.labels
    keeps = [OF_DEFECTS.get(_plain(name)) for name in own] == [0, 1] and not _same(own, CODE_CLASSES)
    return tuple(map(str, own)) if keeps else CODE_CLASSES


def one_word_each(words: Iterable[tuple[Any, Any]]) -> tuple[str, str] | None:
    """The word for class 0 and for class 1, if `words` (pairs of word and class) has one for each that is no number.

    >>> one_word_each([("bad", 1), ("good", 0), ("Bad ", 1)]), one_word_each([("0", 0), ("1", 1)])
    (('good', 'bad'), None)
    """
    found: dict[int, dict[str, str]] = {0: {}, 1: {}}
    for word, number in words:
        if number not in (0, 1) or not isinstance(word, str):
            return None
        found[number].setdefault(word.strip().lower(), word.strip())
    if any(len(of_class) != 1 for of_class in found.values()):
        return None
    ((first, zero),), ((second, one),) = found[0].items(), found[1].items()
    meaningless = any(WITHOUT_MEANING.fullmatch(word) or word in LABELS or word[:1] == "[" for word in (first, second))
    return None if meaningless or first == second else (zero, one)


def name_classes(config: PreTrainedConfig, names: Sequence[str]) -> None:
    """Gives the classes 0, 1, ... of a model these names."""
    config.id2label = dict(enumerate(names))
    config.label2id = {name: number for number, name in enumerate(names)}


def set_task(config: PreTrainedConfig, task: Task, where: str) -> None:
    """Gives a model's configuration the number of classes of `task`, their names, and its loss.

    Prints a note, which names `where`, if the classes had other names, because their order may then be another one; or
    if a decision threshold is removed, which only the task CODE has.
    """
    own = [config.id2label[number] for number in sorted(config.id2label)]
    names = class_names(task, own)
    if names and len(own) == len(names) and not _same(own, names):
        print(
            f"note: {where} names its classes {_numbered(own)}; here they mean {_numbered(names)}. If the model "
            "was trained with another order of classes, its predictions are wrong until it is trained again"
        )
    config.num_labels = task.num_labels
    config.problem_type = task.problem_type
    if names:
        name_classes(config, names)
    if task is not CODE and stored_threshold(config) is not None:
        print(f"note: the decision threshold {stored_threshold(config):.4g} of {where} is for code; it is not used")
        setattr(config, NAME, None)


def _plain(name: Any) -> str:
    return re.sub(r"[\s_-]", "", str(name)).lower()


def _same(own: Sequence[str], names: tuple[str, ...]) -> bool:
    """Whether the names mean the same, or have no meaning."""
    return all(
        str(mine).lower() == name.lower() or WITHOUT_MEANING.fullmatch(str(mine))
        for mine, name in zip(own, names, strict=True)
    )


def _numbered(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"{number} {printable(str(name), 40)}" for number, name in enumerate(names))
