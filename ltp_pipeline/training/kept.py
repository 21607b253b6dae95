"""Says what a training that ends early has kept, and how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.out_of_memory import OutOfMemory
from ltp_pipeline.base.processes import process_count
from ltp_pipeline.base.result_folder import COMPLETE, RESULT_MARK, holds_result, unfinished
from ltp_pipeline.training.non_finite import NotFiniteError
from ltp_pipeline.training.resume import FLAG, checkpoints_in, read_state, what_is_missing

if TYPE_CHECKING:
    from transformers import TrainingArguments


@contextmanager
def says_what_is_kept(args: TrainingArguments, output_dir: Path, model_flag: str) -> Iterator[None]:
    """Around a training into `output_dir`: its message for Ctrl-C, for too little memory and for numbers that are not
    finite also says which checkpoint is kept, and how to go on.

    `args`: the flags, as the user gave them. `model_flag`: the flag that takes a checkpoint to start from.
    """
    try:
        yield
    except (KeyboardInterrupt, OutOfMemory, NotFiniteError) as error:
        parts = [str(error), _kept(error, args, output_dir, model_flag)]
        if output_dir.exists() and not _is_complete(output_dir):
            parts.append(f"the earlier result in {output_dir} is unchanged")
        error.args = ("; ".join(filter(None, parts)),)
        raise


def _is_complete(output_dir: Path) -> bool:
    """Whether the run has ended but for replacing the earlier result."""
    return any((folder / COMPLETE).is_file() for folder in (unfinished(output_dir), output_dir))


def _kept(error: BaseException, args: TrainingArguments, output_dir: Path, model_flag: str) -> str:
    if _is_complete(output_dir):
        return f"the result is complete; the same command with {FLAG} last puts it into {output_dir}"
    work = unfinished(output_dir)
    complete = [path for path in checkpoints_in(work) if not what_is_missing(path, process_count())]
    if not complete and (work / RESULT_MARK).is_file() and not args.resume_from_checkpoint:
        return f"the trained model is in {work}, without its evaluation; move it to another folder to keep it"
    if not complete:
        return _nothing(error, args, work)
    state = read_state(complete[-1])
    place = f"{complete[-1]} (step {state['global_step']} of {state['max_steps']})"
    same = f"the same command with {FLAG} last"
    if isinstance(error, NotFiniteError):
        return f"{place} is good: to go on from it, give it to {model_flag}, with another --output_dir"
    if isinstance(error, UserError):
        return f"{place} is kept: {same} goes on from it; with other training flags give it to {model_flag}"
    return f"{place} is kept; {same} goes on from it"


def _nothing(error: BaseException, args: TrainingArguments, work: Path) -> str:
    given = args.resume_from_checkpoint
    if given and given.lower() not in ("last", "true", "false"):
        return f"nothing was saved since {given}; the same command goes on from it"
    never = "; --save_strategy steps or epoch would save checkpoints" if args.save_strategy == "no" else ""
    again = "; the same command starts from the beginning"
    if holds_result(work):  # a checkpoint that is not complete; without the flag the command is refused
        again = f"; the same command with {FLAG} last starts from the beginning"
    elif isinstance(error, UserError):
        again = ""
    return f"nothing was saved yet{again}{never}"
