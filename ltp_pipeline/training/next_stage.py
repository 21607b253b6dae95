"""The commands that follow a training or an evaluation: the next stage, or what to do with a pruned model."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import torch

from ltp_pipeline.base.next_commands import (
    COMPARE,
    CONVERT,
    EXTRACT,
    PRUNE,
    SCAN,
    SHOW,
    SPLIT,
    command,
    free_folder,
    given_flags,
)  # fmt: skip
from ltp_pipeline.data.flags import DataArguments, ReadingArguments, TruncationArguments
from ltp_pipeline.model.checkpoints import PRUNABLE
from ltp_pipeline.model.conversion import FAMILIES
from ltp_pipeline.training.arguments import StageTrainingArguments
from ltp_pipeline.training.starts import PruningStage, Start

BUDGET, BUDGET_OF_FEW_LAYERS = 0.5, 0.9
FEW_LAYERS = 6  # the first layer, and the attention of the second, are always computed for all tokens
NOT_PASSED_ON = ("pad_to_max_length", "overwrite_cache")


def next_stage(start: Start, output_dir: Path) -> list[str]:
    """The commands that follow a run whose result is in `output_dir`."""
    checkpoint = output_dir if start.trains else Path(next(iter(start.origin.values()), output_dir))
    config = _config(checkpoint)
    if config is None:  # such as a name on the hub
        return []
    if config.get("model_type") in FAMILIES:
        converted = free_folder(checkpoint.with_name(f"{checkpoint.name}_ltp"))
        return [command(CONVERT, model_name_or_path=checkpoint, output_dir=converted)]
    if config.get("model_type") not in PRUNABLE:
        return []
    if config.get("prune_mode") is None:
        return _pruning(start, checkpoint, "soft", config) if start.trains else []
    if isinstance(start, PruningStage) and start.trains and start.args.masking_mode == "soft":
        return _pruning(start, checkpoint, "hard", config)
    return _uses(start, checkpoint, config)


def _pruning(start: Start, checkpoint: Path, mode: str, config: dict[str, Any]) -> list[str]:
    data, args, task = start.data, start.args, start.task
    if task.reads_functions and data.validation_file is None:  # a stage evaluates
        return [command(SPLIT, data.train_file, output_dir=free_folder("splits"))]
    few = config.get("num_hidden_layers", FEW_LAYERS) < FEW_LAYERS
    how = {"target_flops": BUDGET_OF_FEW_LAYERS if few else BUDGET} if mode == "soft" else {"epoch": 1}
    names = [item.name for item in fields(DataArguments) if item.name not in NOT_PASSED_ON]
    defaults = _defaults(DataArguments) | _defaults(StageTrainingArguments)
    settings = ("per_device_train_batch_size", "max_tokens_per_batch", "seed")
    return [
        command(
            PRUNE,
            restore=checkpoint,
            task=None if task.name == "CODE" else task.name,
            masking_mode=mode,
            **how,
            **given_flags(vars(data), defaults, names),
            **given_flags(vars(args), defaults, settings),
            use_cpu=args.use_cpu and torch.accelerator.is_available(),
            no_load=True,
            output_dir=free_folder(checkpoint.with_name(mode)),
        )
    ]


def _uses(start: Start, checkpoint: Path, config: dict[str, Any]) -> list[str]:
    """What can be done with a pruned model."""
    data, task = start.data, start.task
    reading = {item.name for kind in (ReadingArguments, TruncationArguments) for item in fields(kind)}
    how = {
        "task_name": None if task.name == "CODE" else task.name,
        "max_length": _length(checkpoint),
        **given_flags(vars(data), _defaults(DataArguments), sorted(reading)),
    }
    evaluated = data.test_file or data.validation_file
    commands = []
    if evaluated is not None:
        commands.append(command(SHOW, model_name_or_path=checkpoint, validation_file=evaluated, **how))
    if data.train_file is not None and data.validation_file is not None:
        files = {"train_file": data.train_file, "validation_file": data.validation_file}
        folder = free_folder("pruned_data")
        commands.append(command(EXTRACT, model_name_or_path=checkpoint, **files, **how, output_dir=folder))
    if evaluated is not None and start.trains and isinstance(start, PruningStage):
        before = start.stage.restore
        name = "fine-tuned" if (_config(Path(before)) or {}).get("prune_mode") is None else "soft"
        compared = [f"{name}={before}", f"pruned={checkpoint}"]
        commands.append(command(COMPARE, checkpoints=compared, test_file=evaluated, **how))
    if task.name == "CODE":
        commands.append(command(SCAN, ".", model_name_or_path=checkpoint, html=free_folder("scan", ".html")))
    return commands


def _defaults(kind: type) -> dict[str, Any]:
    return {item.name: None if item.default is MISSING else item.default for item in fields(kind)}


def _config(folder: Path) -> dict[str, Any] | None:
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _length(folder: Path) -> int | None:
    """The length to which the checkpoint's functions were cut."""
    try:
        return json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("model_max_length")
    except (OSError, ValueError):
        return None
