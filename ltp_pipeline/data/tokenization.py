"""Turns texts into token ids, cut to the model's input length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ltp_pipeline.data.flags import DataArguments
from ltp_pipeline.data.token_cache import cached, content_key
from ltp_pipeline.data.truncation import (
    Truncation,
    choose_truncation,
    remember_truncation,
    truncation_line,
    truncation_report,
)
from ltp_pipeline.task.tasks import CODE, Task

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


def tokenize_splits(
    frames: dict[str, pd.DataFrame],
    tokenizer: PreTrainedTokenizerBase,
    config: PreTrainedConfig,
    task: Task,
    data: DataArguments,
) -> dict[str, Dataset]:
    """Tokenizes each split with [`tokenize`], cut to the tokenizer's `model_max_length`, and prints how many were cut.

    If there is a split to train on, `config` (of the model) records how functions are cut.
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
    """Tokenizes the texts of `frame`, one column or two as a pair, cut to `max_length` tokens as `truncation` says.

    Of a pair the longer text is cut first. Text that reads like a special token, such as `</s>` in a string, stays
    text. Tokens are kept in, and taken from, the cache of [`ltp_pipeline.data.token_cache`].

    Args:
        frame: the columns of `task`, and `label`; its index is the rows' place in their file.
        segments: whether to add `token_type_ids`, where the tokenizer has them: which text of a pair a token is of.
        truncation: None: the head is read.
        overwrite_cache: tokenize in any case.

    Returns:
        Dataset of the same order, not padded, with a row for each function, or each window of one: input_ids and
        attention_mask (lists of n tokens), labels (a class, or floats), length (n), full_length (before it was cut),
        function (which of `frame` it is of) and row (its place in the file), both from 0.
    """
    from datasets import List, Value

    truncation = truncation or Truncation()
    texts = [frame[column].tolist() for column in task.columns]
    segments = segments and len(task.columns) == 2 and "token_type_ids" in tokenizer.model_input_names

    def build() -> Dataset:
        return _tokens(texts, tokenizer, max_length, segments, truncation)

    if tokenizer.is_fast:
        settings = {"max_length": max_length, "segments": segments, "truncation": [truncation.mode, truncation.stride]}
        tokens = cached(content_key(texts, tokenizer, settings), build, overwrite_cache)
    else:
        tokens = build()
    functions = np.asarray(tokens["function"])
    kind = List(Value("float32")) if task.multi_label else Value("float32" if task.is_regression else "int64")
    labels = frame["label"].tolist()
    tokens = tokens.add_column("labels", [labels[function] for function in functions], feature=kind)
    return tokens.add_column("row", frame.index.to_numpy()[functions].astype("int64"), feature=Value("int64"))


def _tokens(
    texts: list[list[str]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    segments: bool,
    truncation: Truncation,
) -> Dataset:
    """What `tokenize` gives, but for what is not in the texts: labels and rows."""
    from datasets import Dataset, Features, List, Value

    names = ["input_ids", "attention_mask", *(["token_type_ids"] if segments else [])]
    counts = ("length", "full_length", "function")
    features = Features(
        {
            "input_ids": List(Value("int32")),
            **{name: List(Value("int8")) for name in names[1:]},
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
            for reading in readings:
                for name in names:
                    made[name].append(np.asarray(values[name])[reading])
                made["length"].append(len(made["input_ids"][-1]))
                made["full_length"].append(len(special))
                made["function"].append(indices[i])
        return made

    rows = Dataset.from_dict(dict(zip(columns, texts)))
    return rows.map(
        encode, batched=True, with_indices=True, remove_columns=columns, features=features, desc="tokenizing"
    )
