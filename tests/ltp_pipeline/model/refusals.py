"""Checkpoints that must be refused in one line."""

import re
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model.checkpoints import (
    check_checkpoint,
    check_tokenizer_fits,
    load_config,
    load_pruning_model,
    load_tokenizer,
)
from ltp_pipeline.model.starting_model import ModelArguments, load_classifier
from ltp_pipeline.task.tasks import CODE, Task


def load(folder: Path, task: Task = CODE, trains: bool = False) -> None:
    """Loads all parts of a checkpoint as the commands do: to prune or to show it, and to fine-tune or evaluate it."""
    check_checkpoint(folder)
    prunable = load_config(folder, flag="--restore").model_type in ("longformer", "ltp")
    tokenizer = load_tokenizer(folder, flag="--restore")
    if prunable and not trains:
        model = load_pruning_model(folder, flag="--restore")
        check_tokenizer_fits(tokenizer, model.config, flag=f"--restore {folder}")
    load_classifier(ModelArguments(str(folder)), tokenizer, new_head=trains, task=task)


def refused(folder: Path, pattern: str, **options) -> str:
    """Asserts that `load` refuses a checkpoint in one short line that begins with a flag and the folder."""
    with pytest.raises(UserError) as error:
        load(folder, **options)
    message = str(error.value)
    assert re.match(f"--(restore|model_name_or_path) {re.escape(str(folder))}: ", message), message
    assert "\n" not in message and len(message) < 600 + len(str(folder)), message
    assert re.search(pattern, message), message
    return message
