"""Builds the models of the speed benchmark: all of one size, with random weights; Longformer and LTP share theirs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from ltp_pipeline.base.errors import UserError

MODELS = ("longformer", "roberta", "modernbert", "ltp", "ltp_pruned")
PEERS = ("longformer_compiled", "roberta_onnx", "roberta_openvino")  # made by benchmarks.speed.peers
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
INT8 = "int8"
# The data types of the models that do not have all of `DTYPES` and only these
OTHER_DTYPES = {"roberta_onnx": ("float32", INT8), "ltp": (*DTYPES, INT8), "ltp_pruned": (*DTYPES, INT8)}
# Random weights attend almost evenly. Tokens near the ends of a sequence, which fewer queries reach, would then be the
# least important and would be removed as one piece. Larger query weights make attention uneven, as training does.
QUERY_SCALE = 8.0


@dataclass(frozen=True)
class Size:
    """The size of all models, and of their inputs."""

    layers: int
    hidden: int
    heads: int
    intermediate: int
    window: int  # attention window, both sides together, in tokens
    vocab: int
    full: int  # tokens of a full input, to which Longformer pads. Other lengths are multiples or parts.
    # largest difference between the relative FLOPs of `ltp_pruned` and `--relative_flops`. It is large for a tiny
    # model, whose attention is computed in tiles of 8 tokens or more.
    tolerance: float = 0.01

    @property
    def longest(self) -> int:
        """Tokens of the longest input."""
        return 16 * self.full

    def config(self) -> dict:
        """Settings that the configurations of Longformer, LTP and RoBERTa share."""
        return {
            "vocab_size": self.vocab,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.intermediate,
            "max_position_embeddings": self.longest + 2,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
        }


SIZES = {
    "base": Size(layers=12, hidden=768, heads=12, intermediate=3072, window=512, vocab=50265, full=1024),
    "half": Size(layers=6, hidden=768, heads=12, intermediate=3072, window=512, vocab=50265, full=1024),
    "tiny": Size(layers=4, hidden=64, heads=4, intermediate=256, window=32, vocab=500, full=64, tolerance=0.03),
}


def has_dtype(name: str, dtype: str) -> bool:
    """Returns whether the model `name` is run in `dtype`."""
    return dtype in OTHER_DTYPES.get(name, DTYPES)


def build_models(
    names: Collection[str], dtypes: Collection[str], size: Size, seed: int, ltp_attn: str | None = None
) -> dict[tuple[str, str], nn.Module]:
    """Returns classifiers by name (in `MODELS`) and dtype (in `DTYPES`, and int8 for LTP), in evaluation mode.

    `ltp` never prunes. `ltp_pruned` prunes after it has been given thresholds. In float32, Longformer and both LTP
    models share the memory of their weights.

    `ltp_attn`: `attn_implementation` of LTP; None: the model chooses.
    Raises UserError if LTP does not know `ltp_attn`.
    """
    makers = {"longformer": _longformer, "roberta": _roberta, "modernbert": _modernbert}
    models, weights = {}, None
    for name in sorted(names, key=MODELS.index):
        if name.startswith("ltp"):
            weights = weights or _seeded(_longformer, size, seed).state_dict()
            model = _ltp(size, weights, name == "ltp_pruned", ltp_attn)
        else:
            model = _seeded(makers[name], size, seed)
            if name == "longformer":
                weights = model.state_dict()
        model.eval()
        for dtype in filter(partial(has_dtype, name), dtypes):
            models[name, dtype] = model if dtype == "float32" else _in_dtype(copy.deepcopy(model), dtype)
    return models


def _in_dtype(model: nn.Module, dtype: str) -> nn.Module:
    """Casts or quantises a model in place, as the scripts that evaluate do."""
    from ltp_pipeline.model.precision import dtype_of_weights

    cast_weights(model, dtype_of_weights(dtype) if dtype == INT8 else DTYPES[dtype])
    if dtype == INT8:
        model.quantize_int8()
    elif hasattr(model, "prepack_weights"):
        model.prepack_weights()
    return model


def cast_weights(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Casts a model in place, as `from_pretrained(dtype=...)` does. The modules that its class names stay float32."""
    float32_modules = set(getattr(model, "_keep_in_fp32_modules_strict", None) or ())
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point() and not float32_modules & set(name.split(".")):
            tensor.data = tensor.data.to(dtype)
    return model


def _seeded(maker: Callable[[Size], nn.Module], size: Size, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return maker(size)


def _longformer(size: Size) -> nn.Module:
    from transformers import LongformerConfig, LongformerForSequenceClassification  # imported here to keep --help fast

    window = [size.window] * size.layers
    model = LongformerForSequenceClassification(LongformerConfig(**size.config(), attention_window=window))
    for layer in model.longformer.encoder.layer:
        layer.attention.self.query.weight.data *= QUERY_SCALE
    return model


def _roberta(size: Size) -> nn.Module:
    from transformers import RobertaConfig, RobertaForSequenceClassification

    return RobertaForSequenceClassification(RobertaConfig(**size.config(), attn_implementation="sdpa"))


def _modernbert(size: Size) -> nn.Module:
    """ModernBERT's attention (window 128, every third layer global) with as many layers and parameters as RoBERTa.

    Its gated feed-forward part has three matrices and not two, so each of them has 2/3 of the width.
    """
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    config = size.config()
    for name in ("type_vocab_size", "layer_norm_eps"):
        del config[name]
    config |= {"intermediate_size": size.intermediate * 2 // 3, "cls_token_id": 0, "sep_token_id": 2}
    return ModernBertForSequenceClassification(
        ModernBertConfig(**config, attn_implementation="sdpa", local_attention=min(128, size.window))
    )


def new_ltp(attention: str | None, **settings) -> nn.Module:
    """Returns an LTP classifier with random weights.

    `attention`: `attn_implementation`; None: the model chooses.
    Raises UserError if LTP does not know `attention`.
    """
    from transformer_revised import LTPConfig, LTPForSequenceClassification

    if attention is not None:
        settings["attn_implementation"] = attention
    try:
        return LTPForSequenceClassification(LTPConfig(**settings))
    except ValueError as error:
        raise UserError(f"--ltp_attn {attention}: {error}") from error


def _ltp(size: Size, weights: dict[str, torch.Tensor], prunes: bool, attention: str | None) -> nn.Module:
    settings = {"prune_mode": None}
    if prunes:
        # Scores normalised by "rel" do not depend on the length. A threshold of exactly 0 removes nothing.
        settings = {"prune_mode": "absolute_threshold", "final_token_threshold": 0.0, "score_normalization": "rel"}
    model = new_ltp(attention, **size.config(), attention_window=[size.window] * size.layers, **settings)
    missing, unexpected = model.load_state_dict(weights, strict=False, assign=True)
    differing = [name for name in missing if "pruner" not in name] + unexpected
    if differing:
        raise RuntimeError(f"LTP and Longformer do not have the same parameters: {', '.join(differing)}")
    return model
