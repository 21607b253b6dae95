"""The work of the speed benchmark: which functions, in which batches, padded how."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.speed.models import Size
from ltp_pipeline.base.errors import UserError

WORKS = {
    "W1": "4 sequences of 1024 tokens",
    "W2": "4 functions of 200 tokens; Longformer pads them to 1024, the others not at all",
    "W3": "one sequence of 4096 tokens",
    "W4": "functions of real lengths, cut at 1024, sorted by length, 32 a batch; Longformer pads them to 1024, "
    "RoBERTa and ModernBERT to the longest of the batch, LTP not at all",
    "W5": "one sequence of 256 to 16,384 tokens",
    "train": "a training step on 32 functions of W4: forward and backward pass in micro-batches, AdamW",
}
LENGTHS_FILE = Path(__file__).with_name("function_lengths.csv")


@dataclass(frozen=True)
class Item:
    """
    What is timed as one.

    Args:
        label: its name in the tables.
        batches: the number of tokens of every function of every batch.
        full: tokens to which Longformer pads.
    """

    work: str
    label: str
    batches: tuple[tuple[int, ...], ...]
    full: int

    @property
    def functions(self) -> int:
        return sum(map(len, self.batches))

    @property
    def tokens(self) -> int:
        """Real tokens."""
        return sum(map(sum, self.batches))


def work_items(
    work: str, size: Size, lengths: np.ndarray, batch_size: int = 32, max_batches: int | None = None
) -> list[Item]:
    """
    The items of one work, which are timed in the same rounds.

    Args:
        lengths: of the functions of W4, uncut.
        max_batches: of W4; None: all.
    """
    full = size.full
    if work == "W5":
        sweep = [full // 4 * 2**i for i in range(7)]
        return [Item(work, f"W5 {length}", ((length,),), full) for length in sweep]
    cut = np.minimum(lengths, full)
    batches = {
        "W1": lambda: ((full,) * 4,),
        "W2": lambda: ((full * 200 // 1024,) * 4,),
        "W3": lambda: ((4 * full,),),
        "W4": lambda: _sample(_sorted_batches(cut, batch_size), max_batches),
        "train": lambda: (_spread(cut, batch_size),),
    }
    return [Item(work, work, batches[work](), full)]


def _sorted_batches(lengths: np.ndarray, batch_size: int) -> list[tuple[int, ...]]:
    ordered = np.sort(lengths)[::-1].tolist()
    return [tuple(ordered[i : i + batch_size]) for i in range(0, len(ordered), batch_size)]


def _sample(batches: list[tuple[int, ...]], most: int | None) -> tuple[tuple[int, ...], ...]:
    """Of each of `most` equal parts of the batches, the one whose number of tokens is nearest to the part's mean."""
    if most is None or most >= len(batches):
        return tuple(batches)
    chosen = []
    for part in np.array_split(np.arange(len(batches)), most):
        tokens = np.array([sum(batches[i]) for i in part])
        chosen.append(batches[part[np.abs(tokens - tokens.mean()).argmin()]])
    return tuple(chosen)


def _spread(lengths: np.ndarray, count: int) -> tuple[int, ...]:
    """`count` lengths at equal distances in their order, the longest first."""
    ordered = np.sort(lengths)[::-1]
    places = (np.arange(count) + 0.5) * len(ordered) / count
    return tuple(ordered[places.astype(int)].tolist())


def micro_batches(lengths: tuple[int, ...], model: str, full: int, max_tokens: int) -> list[tuple[int, ...]]:
    """Cuts the functions of one training step, longest first, into parts of at most `max_tokens` tokens to compute:
    with padding for the models that compute it."""
    parts: list[list[int]] = []
    for length in lengths:
        if parts:
            longest = full if model == "longformer" else parts[-1][0]
            padded = longest * (len(parts[-1]) + 1)
            cost = sum(parts[-1]) + length if model.startswith("ltp") else padded
        if parts and cost <= max_tokens:
            parts[-1].append(length)
        else:
            parts.append([length])
    return [tuple(part) for part in parts]


def make_batch(lengths: Collection[int], size: Size, seed: int, width: int = 0) -> dict[str, torch.Tensor]:
    """
    Random token ids of these lengths between `<s>` and `</s>`; the ids of a function do not depend on the padding.

    Args:
        width: pad to at least this many tokens.

    Returns:
        `input_ids` and `attention_mask`, `[B, L]` int64.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = len(lengths), max(width, *lengths)
    ids, mask = torch.full(shape, 1), torch.zeros(shape, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(4, size.vocab, (length,), generator=generator)
        ids[row, 0], ids[row, length - 1] = 0, 2
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask}


def padded_width(model: str, item: Item) -> int:
    """Tokens to which `model` pads at least: only Longformer, and as the original does."""
    return item.full if model == "longformer" else 0


def read_lengths(path: Path) -> np.ndarray:
    """
    The column `tokens` of a CSV file, `[N]` int64.

    Raises:
        UserError: no such file or column; a length below 3, which `<s>`, a token and `</s>` have.
    """
    import pandas as pd

    if not path.is_file():
        raise UserError(f"--lengths_file {path}: no such file; expected a CSV file with a column 'tokens'")
    frame = pd.read_csv(path)
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
    """
    Tokens of each function of a data set, uncut, `[N]` int64.

    Raises:
        UserError: no such file, or a file without `functionSource`; no such tokenizer.
    """
    import pandas as pd
    from transformers import AutoTokenizer

    if not path.is_file():
        raise UserError(
            f"--data_file {path}: no such file; `python Data/build_dataset.py` builds Data/test.csv, and without "
            "--data_file the lengths of its functions are read from a list"
        )
    frame = pd.read_csv(path)
    if "functionSource" not in frame or not len(frame):
        raise UserError(f"--data_file {path}: expected a column 'functionSource' with the code of each function")
    try:
        encode = AutoTokenizer.from_pretrained(tokenizer)
    except (OSError, ValueError) as error:
        raise UserError(f"--tokenizer {tokenizer}: no tokenizer was found there: {error}") from error
    ids = encode(frame["functionSource"].tolist(), split_special_tokens=True, verbose=False)["input_ids"]
    return np.array([len(row) for row in ids])
