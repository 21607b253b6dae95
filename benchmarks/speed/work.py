"""The works of the speed benchmark: which functions they have, in which batches, padded to which width."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.speed.models import Size
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.files.file_formats import read_table

WORKS = {
    "W1": "4 sequences of 1024 tokens",
    "W2": "4 functions of 200 tokens; Longformer pads them to 1024, the others do not pad",
    "W3": "one sequence of 4096 tokens",
    "W4": "functions of real lengths, cut at 1024, sorted by length, 32 a batch; Longformer pads them to 1024, "
    "RoBERTa and ModernBERT to the longest of the batch, LTP does not pad",
    "W5": "one sequence of 256 to 16,384 tokens",
    "latency": "64 functions of W4's lengths in mixed order, one in a batch, each call timed; Longformer pads to 1024",
    "train": "a training step on 32 functions of W4: forward and backward pass in micro-batches, AdamW",
}
LATENCY_FUNCTIONS = 64
PRODUCT = re.compile(r"([1-9]\d{0,5})x([1-9]\d{0,5})")  # the name of a work such as 8x200
LENGTHS_FILE = Path(__file__).with_name("function_lengths.csv")


@dataclass(frozen=True)
class Item:
    """A part of a work that is timed as one."""

    work: str
    label: str  # its name in the tables
    batches: tuple[tuple[int, ...], ...]  # for each batch, the number of tokens of each function

    @property
    def functions(self) -> int:
        """Number of functions in all batches."""
        return sum(map(len, self.batches))

    @property
    def tokens(self) -> int:
        """Number of real tokens in all batches."""
        return sum(map(sum, self.batches))


def work_name(text: str) -> str:
    """Returns the name of a work, for argparse: a key of `WORKS`, or BATCHxTOKENS such as 8x200.

    Raises ArgumentTypeError if it is neither, or has fewer than 3 tokens: `<s>`, a token and `</s>`.
    """
    product = PRODUCT.fullmatch(text)
    if text not in WORKS and not product:
        raise argparse.ArgumentTypeError(f"{text}: expected one of {', '.join(WORKS)}, or BATCHxTOKENS such as 8x200")
    if product and int(product[2]) < 3:
        raise argparse.ArgumentTypeError(f"{text}: expected at least 3 tokens, such as {product[1]}x200")
    return text


def batch_and_tokens(work: str) -> tuple[int, int] | None:
    """Returns the functions and the tokens of each in a work such as 8x200; None for those of `WORKS`."""
    product = PRODUCT.fullmatch(work)
    return (int(product[1]), int(product[2])) if product else None


def describe_work(work: str, full: int) -> str:
    """Returns what a work has, in words. `full`: as in `Size`."""
    if product := batch_and_tokens(work):
        what = "1 function" if product[0] == 1 else f"{product[0]} functions"
        return f"{what} of {product[1]} tokens; Longformer pads to a multiple of {full}, the others do not pad"
    return WORKS[work] if full == 1024 else f"{WORKS[work]}, every length times {full}/1024"


def work_items(
    work: str, size: Size, lengths: np.ndarray, batch_size: int = 32, max_batches: int | None = None
) -> list[Item]:
    """Returns the items of one work. They are timed in the same rounds.

    Args:
        lengths: `[N]`, tokens of the functions of W4, uncut.
        batch_size: functions in a batch of W4, and in a training step.
        max_batches: largest number of batches of W4; None: all.
    """
    full = size.full
    if product := batch_and_tokens(work):
        return [Item(work, work, ((product[1],) * product[0],))]
    if work == "W5":
        return [Item(work, f"W5 {length}", ((length,),)) for length in (full // 4 * 2**i for i in range(7))]
    cut = np.minimum(lengths, full)
    if work == "W4":
        ordered = np.sort(cut)[::-1].tolist()
        all_batches = [tuple(ordered[i : i + batch_size]) for i in range(0, len(ordered), batch_size)]
        batches = _sample_batches(all_batches, max_batches)
    elif work == "train":
        batches = (_evenly_spaced(cut, batch_size),)
    elif work == "latency":
        mixed = np.random.default_rng(0).permutation(_evenly_spaced(cut, LATENCY_FUNCTIONS))
        batches = tuple((length,) for length in mixed.tolist())
    else:
        batches = {"W1": ((full,) * 4,), "W2": ((full * 200 // 1024,) * 4,), "W3": ((4 * full,),)}[work]
    return [Item(work, work, batches)]


def _sample_batches(batches: list[tuple[int, ...]], count: int | None) -> tuple[tuple[int, ...], ...]:
    """Divides the batches into `count` equal parts. Returns of each the batch whose tokens are nearest to the mean."""
    if count is None or count >= len(batches):
        return tuple(batches)
    chosen = []
    for part in np.array_split(np.arange(len(batches)), count):
        tokens = np.array([sum(batches[i]) for i in part])
        chosen.append(batches[part[np.abs(tokens - tokens.mean()).argmin()]])
    return tuple(chosen)


def _evenly_spaced(lengths: np.ndarray, count: int) -> tuple[int, ...]:
    """Returns `count` lengths at equal distances among the sorted ones, the longest first."""
    ordered = np.sort(lengths)[::-1]
    places = (np.arange(count) + 0.5) * len(ordered) / count
    return tuple(ordered[places.astype(int)].tolist())


def micro_batches(lengths: tuple[int, ...], model: str, full: int, max_tokens: int) -> list[tuple[int, ...]]:
    """Divides the functions of one training step into parts with at most `max_tokens` computed tokens.

    Padding counts where the model computes it: Longformer pads to `full`, LTP not at all, the others to the longest.

    `lengths`: tokens of each function, the longest first.
    """
    parts: list[list[int]] = []
    for length in lengths:
        if parts:
            width = full if model == "longformer" else parts[-1][0]
            computed = sum(parts[-1]) + length if model.startswith("ltp") else width * (len(parts[-1]) + 1)
        if parts and computed <= max_tokens:
            parts[-1].append(length)
        else:
            parts.append([length])
    return [tuple(part) for part in parts]


def make_batch(lengths: Collection[int], size: Size, seed: int, width: int = 0) -> dict[str, torch.Tensor]:
    """Returns random token ids between `<s>` and `</s>`. The ids of a function do not depend on the padding.

    `lengths`: tokens of each function. `width`: pad to at least this many tokens.
    Returns `input_ids` and `attention_mask`, `[B, L]` int64.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = len(lengths), max(width, *lengths)
    ids, mask = torch.full(shape, 1), torch.zeros(shape, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(4, size.vocab, (length,), generator=generator)
        ids[row, 0], ids[row, length - 1] = 0, 2
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask}


def padded_width(model: str, size: Size) -> int:
    """Returns the least width to which `model` pads. Only Longformer has one, as in the original's scripts."""
    return size.full if model.startswith("longformer") else 0


def read_lengths(path: Path) -> np.ndarray:
    """Returns the column `tokens` of a CSV file, `[N]` int64.

    Raises UserError if there is no such file or column, or a length is below 3: `<s>`, a token and `</s>`.
    """
    import pandas as pd

    if not path.is_file():
        raise UserError(f"--lengths_file {path}: no such file; expected a CSV file with a column 'tokens'")
    frame = read_table(path, f"--lengths_file {path}")
    if "tokens" not in frame or not len(frame):
        raise UserError(f"--lengths_file {path}: expected a column 'tokens' with a number for each function")
    lengths = pd.to_numeric(frame["tokens"], errors="coerce")
    wrong = ~(lengths >= 3) | (lengths % 1 != 0)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        value = frame["tokens"][row]
        raise UserError(f"--lengths_file {path}: row {row + 1}: expected a whole number from 3, not {value!r}")
    return lengths.to_numpy(dtype=np.int64)


def tokenized_lengths(path: Path, tokenizer: str) -> np.ndarray:
    """Returns the number of tokens of each function of a data set, uncut, `[N]` int64.

    Raises UserError if there is no such file, no column `functionSource`, or no such tokenizer.
    """
    from ltp_pipeline.model.checkpoints import load_tokenizer

    if not path.is_file():
        raise UserError(
            f"--data_file {path}: no such file; `python Data/build_dataset.py` builds Data/test.csv. Without "
            "--data_file, the lengths come from --lengths_file"
        )
    frame = read_table(path, f"--data_file {path}")
    if "functionSource" not in frame or not len(frame):
        raise UserError(f"--data_file {path}: expected a column 'functionSource' with the code of each function")
    encode = load_tokenizer(tokenizer, flag="--tokenizer")
    ids = encode(frame["functionSource"].tolist(), split_special_tokens=True, verbose=False)["input_ids"]
    return np.array([len(row) for row in ids])
