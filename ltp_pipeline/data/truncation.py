"""Chooses which tokens of a function are read if it is longer than the model's input: head, tail, both, or windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ltp_pipeline.base.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from ltp_pipeline.task.tasks import Task

HEAD = "head"
WINDOWS = "windows"
MODES = (HEAD, "tail", "head_tail", WINDOWS)
DEFAULT_MAX_SEQ_LENGTH = 1024  # tokens


@dataclass(frozen=True)
class Truncation:
    """Which tokens of a long function are read."""

    mode: str = HEAD  # one of `MODES`
    stride: int | None = None  # tokens between the starts of two windows, at most a window; None: half of one

    def readings(self, special: np.ndarray, max_length: int) -> Iterator[np.ndarray]:
        """Indices of the tokens that the model reads: an array for each window, or one array without windows.

        The arrays are made one at a time: with a small stride, all windows together are much longer than the text.

        Every array contains the special tokens at both ends, such as `<s>` and `</s>`. The last window ends at the end
        of the function and is as long as the others.

        Args:
            special: `[n]` bool, True for the special tokens that the tokenizer added.
            max_length: tokens that the model reads at once, with special tokens.

        >>> special = np.array([True, False, False, False, False, True])
        >>> [indices.tolist() for indices in Truncation("windows", 1).readings(special, 4)]
        [[0, 1, 2, 5], [0, 2, 3, 5], [0, 3, 4, 5]]
        """
        n = len(special)
        if n <= max_length:
            yield np.arange(n)
            return
        text = np.flatnonzero(~special)
        begin, end = int(text[0]), int(text[-1]) + 1
        room, count = max_length - begin - (n - end), end - begin
        left, right = np.arange(begin), np.arange(end, n)
        for inner in self._text_indices(count, room):
            yield np.concatenate([left, begin + inner, right])

    def _text_indices(self, count: int, room: int) -> Iterator[np.ndarray]:
        """As [`readings`], for a text of `count` tokens without special ones, of which `room` are read at once."""
        if self.mode == "tail":
            yield np.arange(count - room, count)
        elif self.mode == "head_tail":
            yield np.concatenate([np.arange(room - room // 2), np.arange(count - room // 2, count)])
        elif self.mode == WINDOWS:
            stride = min(self.stride or max(room // 2, 1), room)  # a longer one would skip tokens
            for start in range(0, count - room, stride):
                yield np.arange(start, start + room)
            yield np.arange(count - room, count)
        else:
            yield np.arange(room)


def sequence_length(given: int | None, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Maximum tokens in a function: `--max_seq_length`, else the limit of model and tokenizer, at most 1024.

    Raises UserError if the model has too few positions for the given length.
    """
    from ltp_pipeline.model.checkpoints import position_limit  # imports torch: too slow for --help

    limit = position_limit(config)
    if given is None:
        return min(limit or DEFAULT_MAX_SEQ_LENGTH, tokenizer.model_max_length, DEFAULT_MAX_SEQ_LENGTH)
    if given < 3:
        raise UserError(f"--max_seq_length {given}: expected 3 or more: <s>, a token and </s>")
    if limit is not None and given > limit:
        raise UserError(f"--max_seq_length {given}: expected at most {limit}, the number of the model's positions")
    return given


def choose_truncation(
    args: Any, config: PreTrainedConfig, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Truncation:
    """The truncation that the flags choose, else the one that the checkpoint was trained with, else the head.

    `args` has the fields of `TruncationArguments`. `max_length`: tokens that the model reads at once.
    Raises UserError for a stride without windows or longer than a window, or a mode that the task does not support:
    pairs of texts support only head, and only CODE supports windows.
    """
    mode = args.truncation or getattr(config, "truncation", None) or HEAD
    stride = args.window_stride
    if stride is not None and mode != WINDOWS:
        raise UserError(f"--window_stride {stride}: expected --truncation windows, not {mode}")
    if mode != HEAD and len(task.columns) > 1:
        raise UserError(f"--truncation {mode}: items of {task.name} are pairs of texts; expected head")
    if mode == WINDOWS and task.name != "CODE":
        raise UserError(
            f"--truncation windows: is for the task code, not {task.name}; expected head, tail or head_tail"
        )
    room = max_length - tokenizer.num_special_tokens_to_add()
    if stride is not None and not 1 <= stride <= room:
        raise UserError(
            f"--window_stride {stride}: expected 1 to {room}, the tokens of a window; a larger stride would skip some"
        )
    if mode == WINDOWS and stride is None and args.truncation is None:
        stride = trained_stride(config)
        stride = None if stride is None else min(stride, room)
    return Truncation(mode, stride)


def trained_stride(config: PreTrainedConfig) -> int | None:
    """Tokens between the starts of two windows in the checkpoint's training; None: half a window, or no windows."""
    return getattr(config, "window_stride", None) if getattr(config, "truncation", None) == WINDOWS else None


def choose_single_reading(
    args: Any, config: PreTrainedConfig, task: Task, tokenizer: PreTrainedTokenizerBase
) -> Truncation:
    """As [`choose_truncation`], for scripts that read a function only once and therefore do not support windows.

    If the checkpoint was trained with windows, chooses the head and prints a note.
    """
    if args.truncation == WINDOWS:
        raise UserError("--truncation windows: this script reads a function once; expected head, tail or head_tail")
    truncation = choose_truncation(args, config, task, tokenizer, args.max_length)
    if truncation.mode != WINDOWS:
        return truncation
    print("note: the checkpoint was trained with windows; only the head of each function is read (see --truncation)")
    return Truncation()


def remember_truncation(config: PreTrainedConfig, truncation: Truncation) -> None:
    """Records the truncation in the model's configuration. A configuration without a record means the head."""
    for name, value in (("truncation", truncation.mode), ("window_stride", truncation.stride)):
        if hasattr(config, name) or truncation.mode != HEAD:
            setattr(config, name, value)


def truncation_report(dataset: Dataset) -> dict[str, float]:
    """The number and share of truncated functions; with windows, the numbers of windows and of functions in windows.

    `dataset`: from `tokenize`; the columns `length`, `full_length` and `function` are used.
    """
    columns = {name: np.asarray(dataset[name]) for name in ("length", "full_length", "function")}
    passes = np.bincount(columns["function"])
    cut = int(((columns["length"] < columns["full_length"]) & (passes[columns["function"]] == 1)).sum())
    report = {"truncated_functions": cut, "truncated_share": cut / len(passes)}
    if len(columns["length"]) > len(passes):
        report |= {"windowed_functions": int((passes > 1).sum()), "windows": int(passes[passes > 1].sum())}
    return report


def full_lengths(dataset: Dataset) -> np.ndarray:
    """The number of tokens of each function before truncation, `[N]`. `dataset`: from `tokenize`."""
    _, first = np.unique(np.asarray(dataset["function"]), return_index=True)
    return np.asarray(dataset["full_length"])[first]


def truncation_line(report: dict[str, float], functions: str, max_length: int, truncation: Truncation) -> str:
    """`truncation_report` as a sentence about `functions` (a split or file); "" if no function was truncated."""
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
