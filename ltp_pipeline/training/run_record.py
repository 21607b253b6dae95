"""run.json: everything that determines the result of a training. A resumed run is compared with it.

The file is in the unfinished folder from the start, and stays in the result. A difference in `settings` (flags),
`start` (the starting checkpoint), `run` (device, number of processes), `data` or `tokenizer` is an error. Differences
in `versions` and `machine` are printed and recorded only: an upgrade cannot always be undone.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Iterable
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import parse_json, write_json
from ltp_pipeline.base.result_folder import RECORD
from ltp_pipeline.model.checkpoints import load_config
from ltp_pipeline.training.arguments import StageTrainingArguments
from ltp_pipeline.training.checks import SHORT_NAMES
from ltp_pipeline.training.resume import FLAG, read_state

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

    from ltp_pipeline.task.tasks import Task
    from ltp_pipeline.training.arguments import FineTuningArguments

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "accelerate", "datasets", "safetensors")
# Which rows are read, and as what. The content of the splits is compared, not these flags.
READING = (
    *("text_column", "label_column", "label_map", "on_bad_rows", "add_fixed_functions"),
    *("max_train_samples", "max_eval_samples"),
)
LENGTH = ("num_train_epochs", "max_steps")  # see `check_length`
# Flags of the starting checkpoint, the tokenizer, data and device, whose content is compared instead
CONTENT = (
    *("model_name_or_path", "config_name", "tokenizer_name", "restore", "use_cpu", "bf16", "fp16", "cuda"),
    *("train_file", "validation_file", "validation_mismatched_file"),
)
# When the best step is chosen, these decide among which steps. Otherwise they change no weight.
CHOOSING = ("eval_strategy", "eval_steps", "eval_delay", "save_strategy", "save_steps")
# Flags that change no weight of the result: where, what is logged and kept, how evaluation is divided into batches
FREE = (
    *("output_dir", "overwrite_output_dir", "resume_from_checkpoint", "do_train", "do_eval", "do_predict", "eval"),
    *("command", "flags", "arch", "no_load", "save_all", "keep_checkpoints", "local_rank", "overwrite_cache"),
    *("test_file", "max_test_samples", "pad_to_max_length", "per_device_eval_batch_size", "max_eval_tokens_per_batch"),
    *("prediction_loss_only", "batch_eval_metrics", "include_for_metrics", "eval_on_start", "eval_accumulation_steps"),
    *("eval_do_concat_batches", "eval_use_gather_object", "bf16_full_eval", "fp16_full_eval"),
    *("disable_tqdm", "report_to", "run_name", "project", "debug", "skip_memory_metrics", "torch_empty_cache_steps"),
    *("restore_callback_states_from_checkpoint", "enable_jit_checkpoint", "ddp_timeout", "push_to_hub"),
    *("include_num_input_tokens_seen", "model_weight_decay", "bootstrap", "line_scores", "predictions_format"),
    *("self_contained", "num_threads"),
)
FREE_PREFIXES = ("logging_", "log_", "save_", "hub_", "trackio_", "dataloader_")
NOT_FREE = ("dataloader_drop_last",)
# The flags of run_code_metrics.py whose names are not those of the fields
STAGE_NAMES = {
    **SHORT_NAMES,
    "lambda_threshold": "lambda",
    "weight_decay": "model_weight_decay",
    "weight_decay_threshold": "weight_decay",
}
CONSTANT = ("constant", "constant_with_warmup")


class RunRecord:
    """The content of run.json, gathered while a run starts.

    Args:
        args: the flags of the run.
        checkpoint: the checkpoint to resume from; None: a run from the beginning.
        named_after: the settings that the name of a default folder stands for.

    Raises UserError if nothing is left to train.
    """

    def __init__(self, args: FineTuningArguments, checkpoint: Path | None, named_after: dict[str, Any] | None = None):
        self._checkpoint, self._notes = checkpoint, []
        self._earlier = None if checkpoint is None else read_record(checkpoint.parent)
        if checkpoint is not None and self._earlier is None:
            self._notes.append(
                f"{checkpoint.parent} has no readable {RECORD}: make sure that flags and data are those of its run"
            )
        self._values: dict[str, Any] = {
            "started": time.strftime("%Y-%m-%d %H:%M:%S%z"),
            "command": args.command,
            "flags": args.flags,
            "differs_from_published": _as_json(named_after),
            "length": _as_json({name: getattr(args, name) for name in LENGTH}),
            "versions": versions(),
            "machine": {"threads": _threads(), "processor": platform.machine(), "system": platform.system()},
        }
        if checkpoint is not None:
            self._check_length(args)

    def add(self, section: str, values: dict[str, Any], advice: str = "") -> None:
        """Adds a section of values by flag. Raises UserError for the first difference from the interrupted run.

        `advice`: is added to the message.
        """
        values = _as_json(values)
        self._values[section] = values
        earlier = (self._earlier or {}).get(section)
        if not isinstance(earlier, dict):
            return
        for name in [*values, *(name for name in earlier if name not in values)]:
            now, before = values.get(name), earlier.get(name)
            if now != before:
                raise UserError(
                    f"{FLAG} {self._checkpoint}: {name} is {_shown(now)}, but was {_shown(before)} in the interrupted "
                    f"run{advice}; expected the same (docs/usage.md, Resuming, lists what may differ), or "
                    f"--overwrite_output_dir instead of {FLAG} to start again"
                )

    def add_data(self, frames: dict[str, pd.DataFrame], task: Task, flags: dict[str, str], reading: Any) -> None:
        """Adds the content of the splits that change the result, as [`add`] does.

        `flags`: the flag of each split's file. `reading`: the flags about data.
        """
        read = _as_json({name: getattr(reading, name) for name in READING})
        before = (self._earlier or {}).get("reading", read)
        changed = [
            f"--{name} is {value}, was {before[name]}"
            for name, value in read.items()
            if before.get(name, value) != value
        ]
        self._values["reading"] = read
        files = {flags[split]: getattr(reading, flags[split].removeprefix("--")) for split in frames}
        self._values["files"] = {flag: file_digest(Path(file)) for flag, file in files.items() if file is not None}
        compared = {split: frame for split, frame in frames.items() if not split.startswith("test")}
        content = {
            flags[split]: f"{len(rows)} rows with sha256 {rows_digest(rows, task)[:32]}"
            for split, rows in compared.items()
        }
        self.add("data", content, f" ({'; '.join(changed)})" if changed else "")

    def add_environment(self, args: FineTuningArguments) -> None:
        """Adds the device and the number of processes, as [`add`] does. Other versions and machines become notes."""
        self.add("run", {"the device": args.device.type, "the number of processes": args.world_size})
        for section in ("versions", "machine"):
            earlier = (self._earlier or {}).get(section, {})
            for name, now in self._values[section].items():
                if name in earlier and earlier[name] != now:
                    self._notes.append(f"{name}: {_shown(now)}, but {_shown(earlier[name])} in the interrupted run")

    def write(self, folder: Path) -> None:
        """Writes run.json, and prints notes. After a resumption it is the old one with a new entry in `resumed`."""
        for note in self._notes:
            print(f"resuming: {note}")
        if self._checkpoint is None:
            write_json(folder / RECORD, {**self._values, "resumed": []})
            return
        entry = {"from": self._checkpoint.name, "notes": self._notes}
        entry |= {
            name: self._values[name] for name in ("started", "command", "flags", "length", "versions", "machine")
        }
        record = self._earlier or self._values
        write_json(folder / RECORD, {**record, "resumed": [*record.get("resumed", []), entry]})

    def _check_length(self, args: FineTuningArguments) -> None:
        """Raises UserError if the new number of epochs or steps is reached, or the training depends on it."""
        now, before = self._values["length"], (self._earlier or {}).get("length")
        if before == now:
            return
        state = read_state(self._checkpoint)
        by_steps = args.max_steps > 0
        wanted, done = (args.max_steps, state["global_step"]) if by_steps else (args.num_train_epochs, state["epoch"])
        flag = "--max_steps" if by_steps else flag_of("num_train_epochs", args)
        # The last step of an unchanged run may be a little after a broken number of epochs.
        if wanted <= done if before is not None else math.ceil(wanted) < done:
            raise UserError(
                f"{FLAG} {self._checkpoint}: {flag} {wanted}: {done:g} are done, so nothing is left to train; "
                f"expected more than {done:g}"
            )
        if before is None:
            return
        old = ", ".join(f"--{name} {value}" for name, value in before.items() if value != now.get(name))
        difference = f"{flag} {wanted}, but {old} in the interrupted run"
        for name, value in (("--masking_mode mixed", args.masking_mode == "mixed"), ("a budget", args.target_flops)):
            if value:
                raise UserError(
                    f"{FLAG} {self._checkpoint}: {difference}; training with {name} depends on its length: expected "
                    "the same"
                )
        if str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)) not in CONSTANT:
            difference += "; the learning rate now follows the new length, so the result is that of neither length"
        self._notes.append(difference)


def read_record(folder: Path) -> dict[str, Any] | None:
    """The content of run.json in `folder`; None if there is none that can be read, or it is damaged."""
    try:
        record = parse_json((folder / RECORD).read_text(encoding="utf-8"))
        json.dumps(record, allow_nan=False)  # it will be written again
    except (OSError, ValueError):
        return None
    kinds = dict.fromkeys(("length", "reading", "versions", "machine"), dict) | {"resumed": list}
    if not isinstance(record, dict):
        return None
    return record if all(isinstance(record.get(name, kind()), kind) for name, kind in kinds.items()) else None


def settings(arguments: Iterable[Any], task: Task) -> dict[str, Any]:
    """Flag -> value, of the flags that change the result of a training.

    Not among them: flags of files and of the starting checkpoint, whose content counts; see `CONTENT` and `READING`.
    """
    found: dict[str, Any] = {"--task": task.name}
    for group in arguments:
        chooses = getattr(group, "load_best_model_at_end", None)
        if chooses is not None:
            found["--load_best_model_at_end"] = chooses  # first, because other flags follow from it
        free = {*FREE, *CONTENT, *READING, *LENGTH, "task", "task_name"} | (set() if chooses else set(CHOOSING))
        for item in fields(group):
            is_free = item.name in free or item.name.startswith(FREE_PREFIXES)
            if not is_free or item.name in NOT_FREE or (chooses and item.name in CHOOSING):
                found[flag_of(item.name, group)] = getattr(group, item.name)
    return _as_json(found)


def flag_of(name: str, group: Any) -> str:
    """The flag of a field, as the commands of the documents spell it."""
    return f"--{STAGE_NAMES.get(name, name) if isinstance(group, StageTrainingArguments) else name}"


def rows_digest(frame: pd.DataFrame, task: Task) -> str:
    """Hash of the texts and labels of a split, in order: of what a file holds, not of how it spells it."""
    digest = hashlib.sha256()
    for column in task.columns:
        for text in frame[column]:
            raw = text.encode("utf-8", errors="surrogatepass")
            digest.update(b"%d:" % len(raw))
            digest.update(raw)
        digest.update(b"|")
    digest.update(json.dumps(frame["label"].tolist()).encode())
    return digest.hexdigest()


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash of all that determines which tokens a text has, except the maximum length."""
    if tokenizer.is_fast:
        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        rules = {name: rule for name, rule in rules.items() if name not in ("truncation", "padding")}
    else:
        rules = sorted(tokenizer.get_vocab().items())
    about = [type(tokenizer).__name__, rules, {k: str(v) for k, v in tokenizer.special_tokens_map.items()}]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def checkpoint_digest(path: str | Path, flag: str) -> str:
    """Hash of a checkpoint's configuration and weights, or of a configuration file; for a hub name, its revision."""
    folder = Path(path)
    if not folder.exists():
        return f"{path} at {getattr(load_config(path, flag=flag), '_commit_hash', None)}"
    patterns = ("config.json", "*.safetensors", "pytorch_model*.bin")
    files = [folder] if folder.is_file() else sorted(file for pattern in patterns for file in folder.glob(pattern))
    return f"sha256 {hashlib.sha256(''.join(str(file_digest(file)) for file in files).encode()).hexdigest()}"


def file_digest(file: Path) -> str | None:
    """SHA-256 of the bytes of a file, or of the paths and files in a folder; None for a file that cannot be read."""
    digest = hashlib.sha256()
    if file.is_dir():
        inside = sorted(path for path in file.rglob("*") if path.is_file())
        parts = [(path.relative_to(file).as_posix().encode(errors="replace"), file_digest(path)) for path in inside]
        return hashlib.sha256(repr(parts).encode()).hexdigest()
    try:
        with open(file, "rb") as opened:
            while block := opened.read(2**20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that compute, and of this project: its commit and a hash of its code."""
    import importlib.metadata

    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        found[name] = importlib.metadata.version(name)
    code = hashlib.sha256()
    for folder in ("ltp_pipeline", "transformer_revised"):
        for file in sorted((ROOT / folder).glob("**/*.py")):
            code.update(file.read_bytes())
    return {**found, "commit": present_commit(), "code": code.hexdigest()[:16]}


def present_commit() -> str | None:
    """The commit of the checkout; None for an installed package, which another repository may hold."""
    if not (ROOT / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _as_json(values: Any) -> Any:
    """`values` as they are read back from JSON."""
    return json.loads(json.dumps(values, default=lambda value: value.value if isinstance(value, Enum) else str(value)))


def _shown(value: Any) -> str:
    return "absent" if value is None else os.fspath(value) if isinstance(value, Path) else str(value)
