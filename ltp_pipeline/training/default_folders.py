"""The default folder of a stage's result: named after its settings, so that other settings give another folder.

The published commands give the published names, such as checkpoints/base/CODE/absolute_threshold/rate_0.05/
temperature_0.03/lambda_0.1/lr_2e-05. Settings that differ from those of the published commands and are not in that
path are added to the last part of it: lr_2e-05-seed_1, or a hash of them if that would be long, lr_2e-05-1f0c7a92.
run.json in the folder says what differs (`differs_from_published`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.processes import process_count
from ltp_pipeline.data.flags import DataArguments
from ltp_pipeline.training.arguments import StageArguments, StageTrainingArguments
from ltp_pipeline.training.run_record import LENGTH, READING, file_digest, flag_of, read_record, settings

if TYPE_CHECKING:
    from ltp_pipeline.task.tasks import Task

# docs/usage.md, "The commands as published", without the settings that are in the path
PUBLISHED_RESTORE = "code_test"
PUBLISHED_DATA = {"train_file": "Data/train_subset.csv", "validation_file": "Data/validation.csv"}
PUBLISHED = {
    "hard": {"per_device_train_batch_size": 4, "num_train_epochs": 1.0, "save_steps": 100},
    "soft": {
        "per_device_train_batch_size": 4,
        "num_train_epochs": 3.0,
        "save_steps": 100,
        "no_load": True,
        "lr_threshold": 0.003,
    },
}
IN_PATH = {
    "hard": ("--task", "--masking_mode", "--lr"),
    "soft": (
        *("--task", "--masking_mode", "--prune_mode", "--final_token_threshold", "--score_normalization"),
        *("--temperature", "--lambda", "--target_flops", "--lr"),
    ),
}
LONGEST = 40  # characters of settings in a name


def stage_folder(
    stage: StageArguments, data: DataArguments, args: StageTrainingArguments, task: Task, pruning: dict[str, Any]
) -> tuple[Path, dict[str, Any]]:
    """The default folder of a stage that trains, and which settings differ from the published ones.

    `pruning`: see `pruning_settings`.
    """
    differences = _differences(stage, data, args, task, pruning)
    name = f"lr_{args.learning_rate}{suffix(differences)}"
    if args.masking_mode == "hard":
        return Path(stage.restore, "hard", name), differences
    rate, temperature = float(pruning["final_token_threshold"]), float(pruning["temperature"])
    parts = [f"rate_{rate}", f"temperature_{temperature}", f"lambda_{args.lambda_threshold}"]
    if args.target_flops is not None:
        parts.append(f"target_{args.target_flops}")
    if args.masking_mode == "mixed":
        parts.append("mixed")
    size, mode = stage.arch.removeprefix("ltp-"), pruning["prune_mode"]
    return Path("checkpoints", size, task.name, mode, *parts, name), differences


def evaluation_folder(stage: StageArguments, data: DataArguments, args: StageTrainingArguments, task: Task) -> Path:
    """The default folder of an evaluation: RESTORE/eval/VALIDATION_FILE and the settings that change its result.

    A hash of the file is added unless it is the validation file of the training, and the dtype if it is another one.
    Without a validation file, the name and the hash are those of the test file.
    """
    names = {item.name for item in fields(StageArguments)} - {"restore", "task", "eval", "arch"}
    names |= {"max_seq_length", "truncation", "window_stride", *READING} - {"max_train_samples"}
    values = {**vars(stage), **vars(data)}
    defaults = {**vars(StageArguments(restore="")), **vars(DataArguments())}
    differences = {f"--{name}": values[name] for name in sorted(names) if values[name] != defaults[name]}
    trained = (read_record(Path(stage.restore)) or {}).get("settings", {})
    if args.dtype != trained.get("--dtype", _published("hard", args.use_cpu, False).dtype):
        differences["--dtype"] = args.dtype
    differences |= {
        flag: digest for flag, digest in _other_data(Path(stage.restore), data).items() if flag == "--validation_file"
    }
    given = data.validation_file
    if given is None and data.test_file is not None and task.reads_functions:  # the run only predicts
        given, differences["--test_file"] = data.test_file, str(file_digest(Path(data.test_file)))[:8]
    name = Path(given or task.hub_splits["eval"]).absolute().stem
    return Path(stage.restore, "eval", f"{name}{suffix(differences)}")


def suffix(differences: dict[str, Any]) -> str:
    """The settings as an ending of a name: `-seed_1-bs_8`, or a hash of 8 digits if that is long; "" for none."""
    if not differences:
        return ""
    words = "-".join(f"{flag.lstrip('-')}_{_short(value)}" for flag, value in differences.items())
    if re.fullmatch(rf"[\w.+-]{{1,{LONGEST}}}", words):
        return f"-{words}"
    return f"-{hashlib.sha256(json.dumps(differences, sort_keys=True).encode()).hexdigest()[:8]}"


def _differences(
    stage: StageArguments, data: DataArguments, args: StageTrainingArguments, task: Task, pruning: dict[str, Any]
) -> dict[str, Any]:
    kind = "hard" if args.masking_mode == "hard" else "soft"
    published = _published(kind, args.use_cpu, args.target_flops is not None)
    before = settings((StageArguments(restore=""), DataArguments(), published), task)
    now = settings((stage, data, args), task)
    for name in LENGTH:
        flag = flag_of(name, args)
        now[flag], before[flag] = getattr(args, name), getattr(published, name)
    for name in READING:
        now[f"--{name}"] = getattr(data, name)
        before[f"--{name}"] = getattr(DataArguments(), name)
    now["--processes"], before["--processes"] = process_count(), 1
    found = {
        flag: now.get(flag)
        for flag in [*now, *(flag for flag in before if flag not in now)]
        if now.get(flag) != before.get(flag) and flag not in IN_PATH[kind]
    }
    if kind == "soft":
        usual = "rel" if args.target_flops is not None else "max"
        if (normalization := pruning.get("score_normalization") or usual) != usual:
            found["--score_normalization"] = normalization
        restore = os.path.relpath(stage.restore) if Path(stage.restore).exists() else stage.restore
        if restore != PUBLISHED_RESTORE:
            found["--restore"] = restore
    return dict(sorted((found | _other_data(Path(stage.restore), data)).items()))


def _other_data(restore: Path, data: DataArguments) -> dict[str, str]:
    """The files that are not those that `restore` was trained with; if that is unknown, not the published ones."""
    known = (read_record(restore) or {}).get("files", {})
    found = {}
    for name, published in PUBLISHED_DATA.items():
        path = getattr(data, name)
        if path is None:
            continue
        digest, trained = file_digest(Path(path)), known.get(f"--{name}")
        if trained is None and os.path.normpath(path) != published or trained is not None and digest != trained:
            found[f"--{name}"] = str(digest)[:8]
    return found


@cache
def _published(kind: str, use_cpu: bool, has_budget: bool) -> StageTrainingArguments:
    values = dict(PUBLISHED[kind])
    if has_budget:
        values["lr_threshold"] = None  # chosen from the budget
    return StageTrainingArguments(masking_mode=kind, use_cpu=use_cpu, **values)


def _short(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
