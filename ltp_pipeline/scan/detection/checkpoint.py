"""What a scan needs to know of a checkpoint before it reads files: its task, its threshold, how long a text may be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.base.program import name_of
from ltp_pipeline.data.truncation import sequence_length, trained_stride
from ltp_pipeline.task.class_names import CODE_CLASSES, WITHOUT_MEANING
from ltp_pipeline.task.decision import stored_threshold
from ltp_pipeline.task.labels import WORDS
from ltp_pipeline.task.tasks import CODE, TASKS, VDISC, Task

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

FLAG = "--model_name_or_path"
HEAD = "ForSequenceClassification"


@dataclass(frozen=True)
class Checkpoint:
    """Facts about a checkpoint that can be used for a scan, as JSON can hold them."""

    task: str  # CODE or VDISC
    labels: tuple[str, ...]  # what a finding may be; CODE: the name of class 1; VDISC: the groups
    threshold: float | None  # the decision threshold that was chosen in training; None: none was
    longest: int | None  # tokens that the model can read at once; None: any number
    max_length: int  # tokens that it reads at once if no flag says otherwise
    window_stride: int | None  # of the windows that it was trained with; None: half a window, or no windows
    ranking_note: str  # see `model.ranking_note`; "" if the model does not prune


def open_checkpoint(path: str) -> tuple[Checkpoint, PreTrainedConfig, PreTrainedTokenizerBase]:
    """Reads configuration and tokenizer, and checks that the weights are there. Raises UserError if it is no detector.

    A Longformer's configuration becomes that of an LTP model without pruning, which is faster.
    """
    from ltp_pipeline.model.checkpoints import (  # late: they import torch
        PRUNABLE,
        as_ltp_config,
        check_checkpoint,
        check_tokenizer_fits,
        load_config,
        load_tokenizer,
        position_limit,
    )
    from ltp_pipeline.model.ranking_note import ranking_note

    where = f"{FLAG} {path}"
    check_checkpoint(path, flag=FLAG)
    config = load_config(path, flag=FLAG)
    task, labels = detected(config, where)
    if config.model_type in PRUNABLE:
        config = as_ltp_config(config, **({} if config.model_type == "ltp" else {"prune_mode": None}))
    tokenizer = load_tokenizer(path, flag=FLAG)
    if not tokenizer.is_fast:
        raise UserError(f"{where}: its tokenizer gives no character offsets; expected a fast one (tokenizer.json)")
    check_tokenizer_fits(tokenizer, config, flag=where)
    facts = Checkpoint(
        task.name,
        labels,
        stored_threshold(config) if task is CODE else None,
        position_limit(config),
        sequence_length(None, config, tokenizer),
        trained_stride(config),
        ranking_note(config, task) or "",
    )
    return facts, config, tokenizer


def detected(config: PreTrainedConfig, where: str) -> tuple[Task, tuple[str, ...]]:
    """The task of a checkpoint, CODE or VDISC, and the labels that a finding may have.

    Raises UserError, which begins with `where`, if the checkpoint was trained for another task.
    """
    heads = config.architectures or []
    if heads and not any(name.endswith(HEAD) for name in heads):
        raise UserError(
            f"{where}: is a {printable(heads[0])}, which has no classification head; expected a model fine-tuned for "
            f"classification: run {name_of('ltp-finetune')} first"
        )
    names = tuple(str(config.id2label[number]) for number in sorted(config.id2label))
    if config.problem_type == "regression" or len(names) == 1:
        raise UserError(f"{where}: predicts a number; expected a classifier of functions (task code or vdisc)")
    for task in TASKS.values():
        if not task.reads_functions and names == task.labels:
            raise UserError(
                f"{where}: its classes are {', '.join(names)}, those of the task {task.name}; expected a classifier "
                "of functions (task code or vdisc)"
            )
    meaningless = all(WITHOUT_MEANING.fullmatch(name) for name in names)
    if config.problem_type == VDISC.problem_type or names == VDISC.labels:
        return VDISC, VDISC.labels if meaningless and len(names) == VDISC.num_labels else names
    if len(names) != CODE.num_labels:
        raise UserError(
            f"{where}: has {len(names)} classes, one for each function; expected 2 (task code), or several labels at "
            "once (task vdisc)"
        )
    _check_order(names, where)
    return CODE, CODE_CLASSES[1:] if meaningless else names[1:]


def _check_order(names: tuple[str, ...], where: str) -> None:
    """Raises UserError if the names of two classes say that class 0 is the finding."""
    first, second = (re.sub(r"[\s_-]", "", name).lower() for name in names)
    if any(words.get(first) == 1 or words.get(second) == 0 for words in WORDS):
        raise UserError(
            f"{where}: class 0 is {printable(names[0])} and class 1 {printable(names[1])}; expected class 1 to be the "
            "finding: change id2label if only the names are wrong, else train it with the other order"
        )
