"""Refuses configuration values of the wrong type or out of range, with one line: name, value, what would be right."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from textwrap import shorten
from types import NoneType
from typing import Any, get_args, get_origin

from huggingface_hub.errors import StrictDataclassError


@dataclass(frozen=True)
class Range:
    """Finite numbers from `low` to `high`; `open_low` excludes `low`."""

    low: float
    high: float = math.inf
    open_low: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        return above and value <= self.high and abs(value) <= sys.float_info.max

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.open_low else f"at least {self.low:g}"
        return low if self.high == math.inf else f"{low} and at most {self.high:g}"

    def in_words(self, wrong: float) -> str:
        """What would be right instead of `wrong`."""
        return str(self) if abs(wrong) <= sys.float_info.max else f"a finite number, {self}"


SIZES = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "type_vocab_size",
)  # fmt: skip
PROBLEM_TYPES = "regression", "single_label_classification", "multi_label_classification"
RANGES = {
    **dict.fromkeys(SIZES, Range(1)),
    "hidden_dropout_prob": Range(0, 1),
    "attention_probs_dropout_prob": Range(0, 1),
    "initializer_range": Range(0),
    "layer_norm_eps": Range(0),
    "final_token_threshold": Range(0),
    "token_threshold": Range(0, 1),
    "token_keep_rate": Range(0, 1),
    "temperature": Range(0, open_low=True),
    "target_flops": Range(0, 1, open_low=True),
    "decision_threshold": Range(0, 1),
}


def check_value(is_right: bool, name: str, right: str, value: Any) -> None:
    """Raises ValueError unless `is_right`. `right` says in words which values of `name` are right."""
    if not is_right:
        raise ValueError(f"`{name}` has to be {right}, not {shorten(repr(value), 100)}")


def check_ranges(config: Any) -> None:
    """Raises ValueError for a number outside its range, or for numbers that do not fit together."""
    for name, right in RANGES.items():
        value = getattr(config, name)
        if value is not None and value not in right:
            check_value(False, name, right.in_words(value), value)
    heads = config.num_attention_heads
    check_value(
        config.hidden_size % heads == 0,
        "hidden_size", f"a multiple of `num_attention_heads` ({heads})", config.hidden_size,
    )  # fmt: skip
    pad = config.pad_token_id
    check_value(
        0 <= pad < config.vocab_size,
        "pad_token_id", f"a token id from 0 to {config.vocab_size - 1} (`vocab_size` - 1)", pad,
    )  # fmt: skip
    check_value(
        config.max_position_embeddings >= pad + 2,
        "max_position_embeddings", f"at least {pad + 2}, because positions start at `pad_token_id` + 1",
        config.max_position_embeddings,
    )  # fmt: skip


def check_attention_window(config: Any) -> None:
    """Raises ValueError unless the attention window is an even number, or one for each layer."""
    given, num_layers = config.attention_window, config.num_hidden_layers
    windows = given if isinstance(given, list) else [given] * num_layers
    check_value(
        len(windows) == num_layers,
        "attention_window", f"one even number, or a list with one for each of the {num_layers} layers", given,
    )  # fmt: skip
    check_value(
        all(window >= 2 and window % 2 == 0 for window in windows),
        "attention_window", "an even number, at least 2, or a list of such numbers", given,
    )  # fmt: skip


def check_activation(config: Any) -> None:
    """Raises ValueError unless the library has the activation function."""
    from transformers.activations import ACT2FN

    name = config.hidden_act
    check_value(name in ACT2FN, "hidden_act", "a name in the library's table ACT2FN, such as gelu", name)


def check_dtype(name: Any) -> None:
    """Raises ValueError for the name of something that is no floating-point dtype of PyTorch."""
    import torch

    dtype = getattr(torch, name.removeprefix("torch."), None) if isinstance(name, str) else name
    is_right = dtype is None or (isinstance(dtype, torch.dtype) and dtype.is_floating_point)
    check_value(
        is_right and (dtype is not None or name is None), "dtype", "a floating-point dtype, such as float32", name
    )


def check_general_fields(config: Any, num_labels: Any) -> None:
    """Raises ValueError for a wrong value of a field that all the library's configurations have.

    The library does not check these. `num_labels`: None if it is not given.
    """
    is_number = isinstance(num_labels, int) and not isinstance(num_labels, bool) and num_labels >= 1
    check_value(num_labels is None or is_number, "num_labels", "a whole number, at least 1", num_labels)
    names = config.id2label
    is_table = isinstance(names, dict) and names and all(str(key).isdecimal() for key in names)
    check_value(names is None or is_table, "id2label", "a table with a name for each class number, from 0 on", names)
    check_value(
        config.problem_type in (None, *PROBLEM_TYPES),
        "problem_type", f"None or one of {', '.join(PROBLEM_TYPES)}", config.problem_type,
    )  # fmt: skip
    classes = config.architectures
    check_value(classes is None or isinstance(classes, list), "architectures", "a list of class names", classes)
    for name in ("output_hidden_states", "return_dict", "is_encoder_decoder"):
        value = getattr(config, name)
        check_value(value is None or isinstance(value, bool), name, "true or false", value)


def one_line_errors(cls: type) -> type:
    """Class decorator for a strict dataclass: its errors become ValueErrors with one line.

    The library's own errors are no ValueErrors and have two lines.
    """
    types = {field.name: field.type for field in fields(cls)}

    def as_value_error(method: Callable) -> Callable:
        @functools.wraps(method)
        def call(self: Any, *args: Any) -> None:
            try:
                method(self, *args)
            except StrictDataclassError as error:
                if args:  # of __setattr__: name and value
                    check_value(False, args[0], in_words(types[args[0]]), args[1])
                raise ValueError(" ".join(str(error.__cause__).split())) from error

        return call

    cls.__setattr__, cls.validate = as_value_error(cls.__setattr__), as_value_error(cls.validate)
    return cls


def in_words(type_: Any) -> str:
    """What values of a type are: `float | int` -> "a number"."""
    words = {int: "a whole number", float: "a number with a decimal point", str: "a string", bool: "true or false"}
    options = get_args(type_) if get_origin(type_) not in (None, list, dict) else (type_,)
    names = ["a number"] if {int, float} <= {*options} else []
    options = [o for o in options if not (names and o in (int, float))]
    for option in options:
        if get_origin(option) is list:
            names.append(f"a list of {in_words(get_args(option)[0]).removeprefix('a ')}s")
        elif option is not NoneType:
            names.append(words.get(option) or str(getattr(option, "__name__", option)))
    names += ["None"] if NoneType in options else []
    return " or ".join(dict.fromkeys(names))
