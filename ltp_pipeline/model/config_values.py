"""Checks the values of a checkpoint's config.json when it is read, before a model is made from them.

The library checks types, and LTPConfig the attention window and the settings of pruning. Here are the ranges that all
models have in common: a value outside them would end in an error deep in the library, or in wrong numbers.
"""

import sys
from collections.abc import Callable
from typing import Any

from ltp_pipeline.base.errors import UserError, printable

# RoBERTa and the model types derived from it start position ids at pad_token_id + 1.
POSITIONS_AFTER_PADDING = (
    "longformer", "ltp", "roberta", "xlm-roberta", "camembert", "ibert", "mpnet", "roberta-prelayernorm",
)  # fmt: skip
# Model types whose sizes have the names and meanings of BERT's. Other types are checked by the library alone.
ENCODERS = (*POSITIONS_AFTER_PADDING, "bert", "electra", "albert", "deberta", "deberta-v2", "modernbert")
PRUNABLE = ("longformer", "ltp")
DTYPES = ("float32", "float16", "bfloat16", "float64")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
TRUNCATIONS = ("head", "tail", "head_tail", "windows")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _whole(least: int) -> tuple[Callable[[Any], bool], str]:
    return lambda value: _is_int(value) and value >= least, f"a whole number, {least} or more"


def _one_of(names: tuple[str, ...]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: isinstance(value, str) and value in names, f"one of {', '.join(names)}"


def _between(least: float, most: float) -> tuple[Callable[[Any], bool], str]:
    return lambda value: _is_number(value) and least <= value <= most, f"a number from {least:g} to {most:g}"


ABOVE_0 = (lambda value: _is_number(value) and value > 0, "a number above 0")
FROM_0 = (lambda value: _is_number(value) and value >= 0, "a number, 0 or more")
# Value -> a test of it, and what would be right. A value that is missing or null is not tested.
Ranges = dict[str, tuple[Callable[[Any], bool], str]]
RANGES: Ranges = {
    "model_type": (lambda value: isinstance(value, str), "a name, such as longformer"),
    **dict.fromkeys(("dtype", "torch_dtype"), _one_of(DTYPES + tuple(f"torch.{name}" for name in DTYPES))),
    "num_labels": _whole(1),
    "problem_type": _one_of(PROBLEM_TYPES),
    **dict.fromkeys(
        ("output_attentions", "output_hidden_states", "return_dict"),
        (lambda value: isinstance(value, bool), "true or false"),
    ),
    "decision_threshold": _between(0, 1),
    "truncation": _one_of(TRUNCATIONS),
    "window_stride": _whole(1),
    # These would read other files, or change the model's code.
    "transformers_weights": (lambda value: False, "null: weights are read from model.safetensors"),
    "quantization_config": (lambda value: False, "null: quantized weights are not supported"),
    "fusion_config": (lambda value: False, "null"),
    **dict.fromkeys(
        ("attn_implementation", "_attn_implementation"),
        (lambda value: value in ("eager", "sdpa"), "eager or sdpa: no code is loaded from the hub"),
    ),
}
RANGES_OF_ENCODERS: Ranges = {
    **dict.fromkeys(("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size"), _whole(1)),
    "num_hidden_layers": (lambda value: _is_int(value) and 1 <= value <= 10_000, "a whole number from 1 to 10000"),
    # A larger number would have to divide the length of every batch.
    "chunk_size_feed_forward": (lambda value: _is_int(value) and value in (0, 1), "0 or 1"),
    "max_position_embeddings": _whole(1),
    "type_vocab_size": _whole(0),
    **dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"), _between(0, 1)),
    "layer_norm_eps": ABOVE_0,
    "initializer_range": FROM_0,
    "hidden_act": (lambda value: isinstance(value, str) and value in _activations(), "an activation, such as gelu"),
}
SPECIAL_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id")


def check_values(values: dict[str, Any], where: str) -> None:
    """Raises UserError, which begins with `where`, for a value of config.json that no model can have.

    `values`: the object in config.json.
    """
    encoder = values.get("model_type") in ENCODERS
    for name, (is_right, expected) in {**RANGES, **(RANGES_OF_ENCODERS if encoder else {})}.items():
        value = values.get(name)
        if value is not None and not is_right(value):
            raise UserError(f"{where}: config.json has {name} {_shown(value)}; expected {expected}")
    if values.get("model_type") is None:
        raise UserError(
            f"{where}: config.json has no model_type; expected the configuration of a model, with a model_type such "
            "as longformer or ltp"
        )
    _check_classes(values, where)
    if encoder:
        _check_sizes(values, where)
        _check_tokens(values, where)
    if values["model_type"] in PRUNABLE:
        _check_as_ltp(values, where)


def _check_sizes(values: dict[str, Any], where: str) -> None:
    if values.get("chunk_size_feed_forward", 0) is None:
        raise UserError(f"{where}: config.json has chunk_size_feed_forward null; expected 0 or 1")
    width, heads = values.get("hidden_size"), values.get("num_attention_heads")
    if width is not None and heads is not None and width % heads:
        raise UserError(
            f"{where}: config.json has hidden_size {width} and num_attention_heads {heads}; expected a hidden_size "
            "that is a multiple of the number of heads"
        )


def _check_as_ltp(values: dict[str, Any], where: str) -> None:
    """Checks the attention window and how tokens are pruned, as LTPConfig does."""
    from transformer_revised import LTPConfig

    try:
        LTPConfig.from_dict({name: value for name, value in values.items() if name != "model_type"})
    except Exception as error:  # The library raises errors of many kinds for wrong values.
        raise UserError(f"{where}: config.json: {printable(str(error), 300)}") from error


def _check_tokens(values: dict[str, Any], where: str) -> None:
    size, after = values.get("vocab_size"), values["model_type"] in POSITIONS_AFTER_PADDING
    if after and "pad_token_id" in values and values["pad_token_id"] is None:
        raise UserError(
            f"{where}: config.json has pad_token_id null; expected the id of the tokenizer's padding token, because "
            f"position ids of a {values['model_type']} start after it"
        )
    for name in SPECIAL_TOKENS:
        value = values.get(name)
        if value is None or (isinstance(value, list) and name == "eos_token_id"):
            continue
        if not _is_int(value) or value < 0 or (size is not None and value >= size):
            last = "" if size is None else f", below vocab_size {size}"
            raise UserError(f"{where}: config.json has {name} {_shown(value)}; expected the id of a token{last}")
    positions, padding = values.get("max_position_embeddings"), values.get("pad_token_id")
    if after and positions is not None and padding is not None and positions - padding - 1 < 3:
        raise UserError(
            f"{where}: config.json has max_position_embeddings {positions} and pad_token_id {padding}; expected "
            f"{padding + 4} positions or more: {padding + 1} are not for tokens, and a text has 3 tokens or more"
        )


def _check_classes(values: dict[str, Any], where: str) -> None:
    """Checks the names of the classes, by number (`id2label`) and by name (`label2id`)."""
    by_name, names = values.get("label2id"), values.get("id2label")
    if by_name is not None and not (isinstance(by_name, dict) and all(map(_is_int, by_name.values()))):
        raise UserError(f"{where}: config.json has label2id {_shown(by_name)}; expected the number of each class")
    if names is None:
        return
    numbers = {str(number) for number in names} if isinstance(names, dict) else set()
    if not numbers or numbers != {str(number) for number in range(len(names))}:
        raise UserError(
            f"{where}: config.json has id2label {_shown(names)}; expected the name of each class by its number from "
            '0, such as {"0": "clean", "1": "defective"}'
        )
    if "num_labels" in values and values["num_labels"] != len(names):
        raise UserError(
            f"{where}: config.json has num_labels {values['num_labels']} and id2label for {len(names)} classes; "
            "expected the same number"
        )


def _activations() -> dict[str, Any]:
    from transformers.activations import ACT2FN

    return ACT2FN


def _shown(value: Any) -> str:
    text = repr(value) if value is not None else "null"
    return text if len(text) <= 60 else f"{text[:56]}..."
