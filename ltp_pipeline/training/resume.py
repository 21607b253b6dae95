"""Resumes an interrupted run: finds a complete checkpoint, and removes what the run wrote after it.

The library writes the files of a checkpoint one after the other, `trainer_state.json` last (except for the random
states of other processes). A process that is killed while it saves leaves a folder in which files are missing, or the
last one is cut off.
"""

import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import parse_json
from ltp_pipeline.base.processes import barrier, is_main
from ltp_pipeline.base.result_folder import CHECKPOINTS, new_result, set_aside, unfinished

if TYPE_CHECKING:
    from transformers import TrainingArguments

FLAG = "--resume_from_checkpoint"
NEWEST = ("true", "last")
STATE = "trainer_state.json"
WEIGHTS = "model*.safetensors"


def checkpoint_to_resume(args: "TrainingArguments", output_dir: Path) -> Path | None:
    """The checkpoint that `--resume_from_checkpoint` means; None: train from the start.

    Args:
        args: `resume_from_checkpoint` is a checkpoint-N folder; or "True" or "last" for the newest complete checkpoint
            of an interrupted run with the same `output_dir`, if there is one; or "False" or None for none.

    Raises UserError if the folder is not a complete checkpoint, or the best checkpoint of its run is missing.
    """
    checkpoint = find_checkpoint(args.resume_from_checkpoint, output_dir, args.world_size)
    if checkpoint is not None and args.load_best_model_at_end:
        best = best_checkpoint(checkpoint)
        if best is not None and _missing_weights(best):
            raise UserError(f"{FLAG} {checkpoint}: the best checkpoint of its run is missing; expected {best}")
    return checkpoint


def resumes(args: "TrainingArguments") -> bool:
    """Whether `--resume_from_checkpoint` asks to resume."""
    return args.resume_from_checkpoint is not None and args.resume_from_checkpoint.lower() != "false"


def resumes_inside(args: "TrainingArguments", output_dir: Path) -> bool:
    """Whether the run goes on with the checkpoints of the interrupted run with this `output_dir`."""
    given = args.resume_from_checkpoint
    return resumes(args) and (given.lower() in NEWEST or is_inside(Path(given), output_dir))


def find_checkpoint(given: str | None, output_dir: Path, processes: int = 1) -> Path | None:
    """The checkpoint that `given` names, see `checkpoint_to_resume`: a complete one of a run with `processes`."""
    if given is None or given.lower() == "false":
        return None
    work = unfinished(output_dir)
    if given.lower() not in NEWEST:
        checkpoint = Path(given)
        if _step(checkpoint) is None or not checkpoint.is_dir():
            raise UserError(f"{FLAG} {given}: expected a checkpoint-N folder{_hint(checkpoint)}")
        _check_processes(checkpoint, given, processes)
        missing = what_is_missing(checkpoint, processes)
        if missing:
            raise UserError(f"{FLAG} {given}: {missing}; expected a complete checkpoint{_hint(checkpoint)}")
        return checkpoint
    for checkpoint in reversed(checkpoints_in(work)):
        _check_processes(checkpoint, given, processes)
        missing = what_is_missing(checkpoint, processes)
        if not missing:
            return checkpoint
        print(f"{checkpoint} is not complete: {missing}")
    print(f"{FLAG} {given}: no complete checkpoint in {work}; training starts from the beginning")
    return None


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoint-N folders in `folder`, complete or not, in the order of N."""
    found = [path for path in folder.glob(CHECKPOINTS) if path.is_dir() and _step(path) is not None]
    return sorted(found, key=_step)


def what_is_missing(checkpoint: Path, processes: int = 1) -> str | None:
    """Why training cannot be resumed exactly from `checkpoint`, as text for a message; None if it can."""
    try:
        step = read_state(checkpoint)["global_step"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{STATE} is missing or cut off"
    if step != _step(checkpoint):
        return f"{STATE} is of step {step}"
    states = ["rng_state.pth"] if processes == 1 else [f"rng_state_{rank}.pth" for rank in range(processes)]
    for name in ("optimizer.pt", "scheduler.pt", *states):
        # torch.save writes a zip archive, which has its table of contents at the end: a cut-off file has none.
        if not zipfile.is_zipfile(checkpoint / name):
            return f"{name} is missing or cut off"
    for name in ("optimizer.pt", "scheduler.pt", *states, "scaler.pt"):
        if (checkpoint / name).exists() and not _holds_only_data(checkpoint / name):
            return f"{name} holds more than numbers and tensors (nothing in it was executed)"
    return _missing_weights(checkpoint)


def _check_processes(checkpoint: Path, given: str, processes: int) -> None:
    """Raises UserError if a complete checkpoint is of a run with another number of processes."""
    saved = len(list(checkpoint.glob("rng_state_*.pth"))) or 1
    if saved != processes and what_is_missing(checkpoint, saved) is None:
        raise UserError(
            f"{FLAG} {given}: {checkpoint} is of a run with {saved} processes, this one has {processes}; expected the "
            "same number"
        )


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The content of a checkpoint's trainer_state.json. Raises OSError or ValueError if it is missing or damaged."""
    state = parse_json((checkpoint / STATE).read_text(encoding="utf-8"))
    kinds = {"global_step": int, "epoch": int | float, "best_model_checkpoint": str | None}
    if not isinstance(state, dict) or not all(isinstance(state.get(name), kind) for name, kind in kinds.items()):
        raise ValueError(f"expected an object with {', '.join(kinds)}")
    return state


@contextmanager
def resumed_result(output_dir: Path, checkpoint: Path | None) -> Iterator[Path]:
    """As `new_result`; with a `checkpoint`, the folder has the files that resuming from it needs, and none newer."""
    with new_result(output_dir, resume=is_inside(checkpoint, output_dir)) as work:
        if checkpoint is not None:
            if is_main():
                _remove_newer(work, checkpoint, output_dir)
            barrier()
        yield work


def is_inside(checkpoint: Path | None, output_dir: Path) -> bool:
    """Whether `checkpoint` is one of the interrupted run with this `output_dir`."""
    return checkpoint is not None and unfinished(output_dir).resolve() in checkpoint.resolve().parents


def best_checkpoint(checkpoint: Path) -> Path | None:
    """The best checkpoint of the run up to `checkpoint`: a folder beside it, or itself; None if none was chosen."""
    best = read_state(checkpoint).get("best_model_checkpoint")
    return None if best is None else checkpoint.parent / Path(best).name


def _remove_newer(work: Path, checkpoint: Path, output_dir: Path) -> None:
    """Takes the checkpoints out of `work` that are newer than `checkpoint` or incomplete: the resumed run has none.

    Complete ones are set aside until the run is complete, see `set_aside`; others are removed.
    If `checkpoint` is in another folder, the best checkpoint of its run is copied to `work`.
    """
    last, newer = _step(checkpoint), []
    for other in checkpoints_in(work):
        if _step(other) == last or (_step(other) < last and not _missing_weights(other)):
            continue
        if _missing_weights(other):
            print(f"removed, because it is not complete: {other}")
            shutil.rmtree(other)
        else:
            newer.append(other)
    if newer:
        names = ", ".join(path.name for path in newer)
        place = set_aside(output_dir, newer)
        print(f"{names}: moved to {place} until this run is complete, because it resumes from {checkpoint}")
    best = best_checkpoint(checkpoint)
    if best is not None and best.is_dir() and best.parent.resolve() != work.resolve():
        shutil.copytree(best, work / best.name, dirs_exist_ok=True)


def _missing_weights(checkpoint: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    weights = list(checkpoint.glob(WEIGHTS))
    for path in weights:
        try:
            with safe_open(path, framework="pt"):  # Compares the size of the file with its header.
                pass
        except (SafetensorError, OSError):
            return f"{path.name} is cut off"
    return None if weights else "model.safetensors is missing"


def _holds_only_data(path: Path) -> bool:
    """Whether the library can read a saved state without executing anything from it. Its tensors are not read."""
    import torch
    from transformers.trainer_pt_utils import safe_globals

    try:
        with safe_globals():
            torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # a damaged pickle can raise any error
        return False
    return True


def _step(checkpoint: Path) -> int | None:
    match = re.fullmatch(r"checkpoint-(\d+)", checkpoint.resolve().name)
    return int(match.group(1)) if match else None


def _hint(given: Path) -> str:
    folder = given if _step(given) is None else given.parent
    complete = [path for path in checkpoints_in(folder) if what_is_missing(path) is None]
    return f"; did you mean {complete[-1]}?" if complete else ""
