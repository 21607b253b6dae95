"""The commands that a user may type next, with paths filled in. Each script prints them as its last lines."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ltp_pipeline.base.processes import is_main
from ltp_pipeline.base.program import ROOT, runnable, shortest

FINE_TUNE, PRUNE = "run_glue_code_metrics.py", "run_code_metrics.py"
SHOW, EXTRACT, SCAN = "ltp_test.py", "ltp_extract_and_save.py", "ltp_scan.py"
CHECK, SPLIT, COMPARE = "-m ltp_pipeline.check_data", "-m ltp_pipeline.split_data", "-m ltp_pipeline.comparison"
CONVERT = "-m ltp_pipeline.convert"
PRETRAINED = "allenai/longformer-base-4096"
# README.md, "The stages"
FINE_TUNING = {
    "max_seq_length": 1024,
    "per_device_train_batch_size": 4,
    "learning_rate": "2e-5",
    "num_train_epochs": 3,
}


def command(name: str, *words: Any, **flags: Any) -> str:
    """A command line. `name`: see `program.INSTALLED`.

    `flags`: None and False are left out, True is a flag without a value, a list a flag with several values.
    """
    typed = [str(word) for word in words]
    for flag, value in flags.items():
        if value is None or value is False or value == []:
            continue
        values = [] if value is True else [str(one) for one in (value if isinstance(value, list) else [value])]
        one = len(values) == 1 and values[0].startswith("-")  # would be taken for a flag
        typed += [f"--{flag}={values[0]}"] if one else [f"--{flag}", *values]
    return " ".join([runnable(name), *map(shlex.quote, typed)])


def show_next(commands: Iterable[str]) -> None:
    """Prints the commands, in the main process only."""
    commands = list(commands)
    if commands and is_main():
        print("\n  ".join(["Next:", *commands]) if len(commands) > 1 else f"Next: {commands[0]}")


def free_folder(path: str | Path, ending: str = "") -> Path:
    """`path`, or `path-2`, `path-3`, ...: the first without a result, so that a command can write to it.

    `ending`: of a file, such as `.html`; it stands behind the number.
    """
    path, number = Path(path), 1
    while True:
        folder = path.with_name(f"{path.name}{'' if number == 1 else f'-{number}'}{ending}")
        if not (folder.exists() or folder.with_name(f"{folder.name}.unfinished").exists()):
            return folder
        number += 1


def after_tables(folder: Path, names: Iterable[str], ending: str, **flags: Any) -> list[str]:
    """What follows the tables `NAME.ENDING` of a data set: the check, and fine-tuning if there are two or more.

    `flags`: how both read the tables.
    """
    paths = [folder / f"{name}.{ending}" for name in names]
    commands = [command(CHECK, *paths, **flags)]
    if len(paths) > 1:
        commands.append(fine_tuning(*paths, **flags))
    return commands


def fine_tuning(train: str | Path, validation: str | Path, test: str | Path | None = None, **flags: Any) -> str:
    """The command that fine-tunes on these files; by default the pretrained Longformer, as in README.md."""
    files = {"train_file": train, "validation_file": validation, "test_file": test}
    output_dir = free_folder(flags.pop("output_dir", "code_test"))
    values = {"model_name_or_path": PRETRAINED, **FINE_TUNING, **flags}
    return command(
        FINE_TUNE,
        model_name_or_path=values.pop("model_name_or_path"),
        do_train=True,
        do_eval=True,
        do_predict=test is not None,
        **files,
        **values,
        output_dir=output_dir,
    )


def fine_tuning_of(checkpoint: str | Path) -> list[str]:
    """Fine-tuning of a checkpoint on the built data set of the checkout; without one, the command that builds it.

    The length is left to the checkpoint, which may have fewer positions than the Longformer.
    """
    train, validation = (ROOT / "Data" / f"{name}.csv" for name in ("train_subset", "validation"))
    if train.is_file() and validation.is_file():
        how = {"model_name_or_path": checkpoint, "max_seq_length": None}
        return [fine_tuning(shortest(train), shortest(validation), **how)]
    return [command("Data/build_dataset.py")] if (ROOT / "Data/build_dataset.py").is_file() else []


def given_flags(values: Mapping[str, Any], defaults: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of the flags `names` that differ from their defaults."""
    return {name: values[name] for name in names if name in values and values[name] != defaults.get(name)}
