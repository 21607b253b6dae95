"""Turns texts into token ids, truncated to the model's input length, and caches the ids on disk.

The name of a cache file is a hash of everything that determines the token ids, so a file is never out of date. Of
several processes only one writes a file. The library writes it under a temporary name and then renames it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ltp_pipeline.data.truncation import (
    Truncation,
    choose_truncation,
    remember_truncation,
    truncation_line,
    truncation_report,
)
from ltp_pipeline.task.tasks import CODE, NOT_GIVEN, UNLABELLED, Task

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from ltp_pipeline.data.flags import DataArguments

CACHE_FORMAT = 2  # increase it when a change of this code changes the tokens of the same texts
UNUSED_DAYS = 30
CHARACTERS_AT_ONCE = 2**23  # while a text is tokenized, it takes about 100 bytes per character


def tokenize_splits(
    frames: dict[str, pd.DataFrame],
    tokenizer: PreTrainedTokenizerBase,
    config: PreTrainedConfig,
    task: Task,
    data: DataArguments,
) -> dict[str, Dataset]:
    """Tokenizes each split, truncates to the tokenizer's `model_max_length`, and prints how many rows were truncated.

    If there is a split to train on, the model's `config` records how functions are truncated.
    """
    segments, length = getattr(config, "type_vocab_size", 0) > 1, tokenizer.model_max_length
    truncation = choose_truncation(data, config, task, tokenizer, length)
    if "train" in frames:
        remember_truncation(config, truncation)
    splits = {}
    for split, frame in frames.items():
        splits[split] = tokenize(frame, tokenizer, length, task, segments, truncation, data.overwrite_cache)
        line = truncation_line(truncation_report(splits[split]), f"{split}, {len(frame)} rows", length, truncation)
        if line:
            print(line, flush=True)
    return splits


def tokenize(
    frame: pd.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    task: Task = CODE,
    segments: bool = False,
    truncation: Truncation | None = None,
    overwrite_cache: bool = False,
) -> Dataset:
    """Tokenizes the texts of `frame`, one column or two as a pair, and truncates them to `max_length` tokens.

    In a pair, the longer text is truncated first. Text that looks like a special token, such as `</s>` in a string, is
    tokenized as text. Cached token ids are reused.

    Args:
        frame: holds the columns of `task`, and `label`; its index is each row's position in the file.
        segments: whether to add `token_type_ids` (which text of a pair a token belongs to), if the tokenizer has them.
        truncation: which tokens of a long text are read; None: its head.

    Returns a dataset in the order of `frame`, without padding, with a row for each function or, if `truncation` is
    windows, each window. Columns: input_ids and attention_mask (n integers each), labels (an integer, a float or a
    list of floats), length (n), full_length (tokens before truncation), function (index into `frame`) and row
    (position in the file, from 0).
    """
    from datasets import List, Value

    truncation = truncation or Truncation()
    texts = [frame[column].tolist() for column in task.columns]
    segments = segments and len(task.columns) == 2 and "token_type_ids" in tokenizer.model_input_names

    def build(**options: Any) -> Dataset:
        return _encode(texts, tokenizer, max_length, segments, truncation, options)

    if tokenizer.is_fast:
        settings = {"max_length": max_length, "segments": segments, "truncation": [truncation.mode, truncation.stride]}
        tokens = cached(content_key(texts, tokenizer, settings), build, overwrite_cache)
    else:
        tokens = build()
    functions = np.asarray(tokens["function"])
    kind = List(Value("float32")) if task.multi_label else Value("float32" if task.is_regression else "int64")
    labels = [NOT_GIVEN if label == UNLABELLED else label for label in frame["label"]]
    tokens = tokens.add_column("labels", [labels[function] for function in functions], feature=kind)
    return tokens.add_column("row", frame.index.to_numpy()[functions].astype("int64"), feature=Value("int64"))


def _encode(
    texts: list[list[str]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    segments: bool,
    truncation: Truncation,
    map_options: dict[str, Any],
) -> Dataset:
    """The columns of [`tokenize`] that depend on the texts: all but `labels` and `row`."""
    from datasets import Dataset, Features, List, Value

    names = ["input_ids", "attention_mask", *(["token_type_ids"] if segments else [])]
    dtypes = {name: "int32" if name == "input_ids" else "int8" for name in names}
    counts = ("length", "full_length", "function")
    features = Features(
        {
            **{name: List(Value(dtype)) for name, dtype in dtypes.items()},
            **{name: Value("int32") for name in counts},
        }
    )
    columns = [f"text{number}" for number in range(len(texts))]
    options = {"split_special_tokens": True, "return_special_tokens_mask": True, "verbose": False}

    def encode(batch: dict[str, list], indices: list[int]) -> dict[str, list]:
        pairs = [batch[column] for column in columns]
        encoded = tokenizer(*pairs, **options)
        made: dict[str, list] = {name: [] for name in (*names, *counts)}
        for i, special in enumerate(encoded["special_tokens_mask"]):
            values = {name: encoded[name][i] for name in names}
            readings = [slice(None)]
            if len(special) > max_length and len(pairs) > 1:
                values = tokenizer(pairs[0][i], pairs[1][i], truncation=True, max_length=max_length, **options)
            elif len(special) > max_length:
                readings = truncation.readings(np.array(special, dtype=bool), max_length)
            # Once for each text, not for each of its windows: the time is then linear in the length of the text.
            values = {name: np.asarray(values[name], dtype=dtypes[name]) for name in names}
            for reading in readings:
                for name in names:
                    made[name].append(values[name][reading])
                made["length"].append(len(made["input_ids"][-1]))
                made["full_length"].append(len(special))
                made["function"].append(indices[i])
        return made

    rows = Dataset.from_dict(dict(zip(columns, texts)))
    return rows.map(
        encode,
        batched=True,
        batch_size=_texts_at_once(texts),
        with_indices=True,
        remove_columns=columns,
        features=features,
        desc="tokenizing",
        **map_options,
    )


def _texts_at_once(texts: list[list[str]]) -> int:
    """Texts to tokenize at once: 1,000, or fewer if they are so long that their tokens would fill the memory."""
    longest = max((sum(map(len, item)) for item in zip(*texts)), default=0)
    return max(1, min(1000, CHARACTERS_AT_ONCE // max(longest, 1)))


def content_key(texts: Iterable[Iterable[str]], tokenizer: PreTrainedTokenizerBase, settings: dict[str, Any]) -> str:
    """A name, 32 hexadecimal digits, for the token ids of `texts` (columns of texts).

    `tokenizer` is a fast one; its settings for padding and truncation do not change the name. `settings`: everything
    else that determines the token ids.
    """
    import tokenizers

    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    rules = {name: rule for name, rule in rules.items() if name not in ("truncation", "padding")}
    about = [CACHE_FORMAT, tokenizers.__version__, type(tokenizer).__name__, rules, settings]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for column in texts:
        for text in column:
            raw = text.encode("utf-8", errors="surrogatepass")
            digest.update(b"%d:" % len(raw))
            digest.update(raw)
        digest.update(b"|")
    return digest.hexdigest()[:32]


def cached(
    key: str,
    build: Callable[..., Dataset],
    overwrite: bool = False,
    what: str = "tokens",
    again: str = "tokenizes again",
) -> Dataset:
    """Reads the data set named `key` from the cache, or builds it and writes it to the cache.

    If the cache cannot be read or written, or there is no home folder for it, builds the data set, prints a line and
    continues.

    Args:
        build: makes the data set with `Dataset.map`, to which it passes its keyword arguments.
        what: names what the rows hold in messages, and the folder in the cache. `again`: what `overwrite` does.
    """
    from filelock import FileLock

    try:
        place = cache_folder() / what / key
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{place}.lock").acquire()
    except (OSError, RuntimeError, NotImplementedError) as error:  # RuntimeError: no home folder
        _say_once(f"{what} are not cached: {error} (to cache them, set the variable LTP_CACHE to another folder)")
        return build()
    file = place / f"{what}.arrow"
    with lock:
        tokens = None if overwrite else _read_cached(file)
        if tokens is not None:
            print(f"{what} of {tokens.num_rows} rows are read from {place} (--overwrite_cache {again})")
            return tokens
        try:
            _remove_unused(place.parent)
            shutil.rmtree(place, ignore_errors=True)
            return build(cache_file_name=str(file), new_fingerprint=key, load_from_cache_file=False)
        except (OSError, ValueError) as error:  # on a full disk the library raises a ValueError from the OSError
            shutil.rmtree(place, ignore_errors=True)
            _say_once(f"{what} are not cached: {place.parent} cannot be written: {error.__context__ or error}")
    return build()


def cache_folder() -> Path:
    """`$LTP_CACHE`, or the folder `ltp` in the user's cache folder."""
    given = os.environ.get("LTP_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "ltp")


@functools.cache
def _say_once(message: str) -> None:
    """Prints a line, once for all splits."""
    print(message, flush=True)


def _read_cached(file: Path) -> Dataset | None:
    """The data set in `file`; None if there is no such file or it is damaged."""
    import pyarrow
    from datasets import Dataset

    try:
        tokens = Dataset.from_file(str(file))
        os.utime(file.parent)  # marks it as used now
        return tokens
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException):
        return None


def _remove_unused(folder: Path) -> None:
    """Removes the folders in `folder` that no run has used for `UNUSED_DAYS` days."""
    oldest = time.time() - UNUSED_DAYS * 24 * 3600
    for entry in folder.iterdir():
        if entry.is_dir() and entry.stat().st_mtime < oldest:
            shutil.rmtree(entry, ignore_errors=True)
