"""Which tokens of a function are read where it is longer than the model's input: its head, tail, both, or windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model.checkpoints import position_limit

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from ltp_pipeline.task.tasks import Task

HEAD = "head"
WINDOWS = "windows"
MODES = (HEAD, "tail", "head_tail", WINDOWS)
DEFAULT_MAX_SEQ_LENGTH = 1024  # tokens
NAMES = ("truncation", "window_stride")  # flags, and what a checkpoint's config.json remembers


@dataclass(frozen=True)
class Truncation:
    """
    Args:
        mode: one of `MODES`.
        stride: tokens from the start of one window to the next; None: half a window.
    """

    mode: str = HEAD
    stride: int | None = None

    def readings(self, special: np.ndarray, max_length: int) -> list[np.ndarray]:
        """
        Which tokens are read, for each pass over the function; one pass but for windows.

        The special tokens at both ends, such as `<s>` and `</s>`, are in every pass. The last window ends where the
        function does, and is as long as the others.

        Args:
            special: `[n]` bool, True for the special tokens that the tokenizer added.
            max_length: tokens of a pass, special ones included.

        >>> special = np.array([True, False, False, False, False, True])
        >>> [pass_.tolist() for pass_ in Truncation("windows", 1).readings(special, 4)]
        [[0, 1, 2, 5], [0, 2, 3, 5], [0, 3, 4, 5]]
        """
        n = len(special)
        if n <= max_length:
            return [np.arange(n)]
        text = np.flatnonzero(~special)
        begin, end = int(text[0]), int(text[-1]) + 1
        room, count = max_length - begin - (n - end), end - begin
        ends = np.arange(begin), np.arange(end, n)
        return [np.concatenate([ends[0], begin + own, ends[1]]) for own in self._own(count, room)]

    def _own(self, count: int, room: int) -> list[np.ndarray]:
        """Places, among the `count` tokens of text, of the `room` that each pass reads."""
        if self.mode == "tail":
            return [np.arange(count - room, count)]
        if self.mode == "head_tail":
            return [np.concatenate([np.arange(room - room // 2), np.arange(count - room // 2, count)])]
        if self.mode == WINDOWS:
            starts = range(0, count - room, self.stride or max(room // 2, 1))
            return [np.arange(start, start + room) for start in (*starts, count - room)]
        return [np.arange(room)]


def sequence_length(given: int | None, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens after which functions are cut: `--max_seq_length`, or the most that checkpoint and tokenizer are for.

    Raises UserError for a length that the model has no positions for.
    """
    limit = position_limit(config)
    if given is None:
        return min(limit or DEFAULT_MAX_SEQ_LENGTH, tokenizer.model_max_length, DEFAULT_MAX_SEQ_LENGTH)
    if given < 3:
        raise UserError(f"--max_seq_length {given}: expected 3 or more: <s>, a token and </s>")
    if limit is not None and given > limit:
        raise UserError(f"--max_seq_length {given}: expected at most {limit}, the positions that the model has")
    return given


def choose_truncation(
    args: Any, config: PreTrainedConfig, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Truncation:
    """What the flags say, else what the checkpoint was trained with, else the head.

    Args:
        args: has the fields of `TruncationArguments`.
        max_length: tokens of a pass.

    Raises:
        UserError: a stride without windows, or beyond a window; what pairs of texts, or tasks other than code, lack.
    """
    mode = args.truncation or getattr(config, "truncation", None) or HEAD
    stride = args.window_stride
    if stride is not None and mode != WINDOWS:
        raise UserError(f"--window_stride {stride}: is for --truncation windows, and this is {mode}")
    if mode != HEAD and len(task.columns) > 1:
        raise UserError(f"--truncation {mode}: items of {task.name} are pairs of texts; expected head")
    if mode == WINDOWS and task.name != "CODE":
        raise UserError(
            f"--truncation windows: is for the task code, not {task.name}; expected head, tail or head_tail"
        )
    room = max_length - tokenizer.num_special_tokens_to_add()
    if stride is not None and not 1 <= stride <= room:
        raise UserError(
            f"--window_stride {stride}: expected 1 to {room}, the tokens of a window: further apart they would leave "
            "some unread"
        )
    if mode == WINDOWS and stride is None and args.truncation is None:
        stride = getattr(config, "window_stride", None)
        stride = None if stride is None else min(stride, room)
    return Truncation(mode, stride)


def remember_truncation(config: PreTrainedConfig, truncation: Truncation) -> None:
    """Keeps in a model's configuration what it is trained with, unless that is what all are by default."""
    for name, value in zip(NAMES, (truncation.mode, truncation.stride)):
        if hasattr(config, name) or truncation.mode != HEAD:
            setattr(config, name, value)


def truncation_report(dataset: Dataset) -> dict[str, float]:
    """How many functions were not read whole, and their share; with windows also how many were read in those.

    Args:
        dataset: what `tokenize` gives: `length`, `full_length` and `function`, a row for each pass.
    """
    columns = {name: np.asarray(dataset[name]) for name in ("length", "full_length", "function")}
    passes = np.bincount(columns["function"])
    cut = int(((columns["length"] < columns["full_length"]) & (passes[columns["function"]] == 1)).sum())
    report = {"truncated_functions": cut, "truncated_share": cut / len(passes)}
    if len(columns["length"]) > len(passes):
        report |= {"windowed_functions": int((passes > 1).sum()), "windows": int(passes[passes > 1].sum())}
    return report


def truncation_line(report: dict[str, float], functions: str, max_length: int, truncation: Truncation) -> str:
    """`truncation_report` in words; "" where all is read at once. `functions`: of which split or file."""
    if "windows" in report:
        return (
            f"{functions}: {report['windowed_functions']} are longer than {max_length} tokens and read in "
            f"{report['windows']} windows"
        )
    if not report["truncated_functions"]:
        return ""
    part = {"tail": "tail", "head_tail": "head and tail"}.get(truncation.mode, "head")
    return (
        f"{functions}: {report['truncated_functions']} ({report['truncated_share']:.1%}) are longer than {max_length} "
        f"tokens; only their {part} is read"
    )


def choose_cut(args: Any, config: PreTrainedConfig, task: Task, tokenizer: PreTrainedTokenizerBase) -> Truncation:
    """As `choose_truncation`, for scripts that show or write one reading of a function: no windows.

    A checkpoint trained with windows reads the head there, and a line says so.
    """
    if args.truncation == WINDOWS:
        raise UserError("--truncation windows: here a function is read once; expected head, tail or head_tail")
    truncation = choose_truncation(args, config, task, tokenizer, args.max_length)
    if truncation.mode != WINDOWS:
        return truncation
    print("note: the checkpoint was trained with windows; here a function's head is read, or what --truncation says")
    return Truncation()
