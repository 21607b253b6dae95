"""The models of the speed benchmark, of one size: random weights from a seed, the same for Longformer and LTP."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import nn

from ltp_pipeline.base.errors import UserError

MODELS = ("longformer", "roberta", "modernbert", "ltp", "ltp_pruned")
# Fresh weights attend so evenly that the tokens near the ends of a sequence, which fewer queries reach, would be the
# least important and leave as one piece. Queries so many times as large make it uneven, as training does.
QUERY_SCALE = 8.0
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Size:
    """
    Args:
        full (`int`): tokens of a full input, to which Longformer pads; all lengths of the benchmark are multiples or
            fractions of it.
        window (`int`): attention window, both sides together.
        tolerance (`float`): how near pruning comes to `--relative_flops`. To a tiny model a few tokens are a step, as
            attention is computed in tiles of 8 tokens and more.
    """

    layers: int
    hidden: int
    heads: int
    intermediate: int
    window: int
    vocab: int
    full: int
    tolerance: float = 0.01

    @property
    def longest(self) -> int:
        return 16 * self.full

    def config(self) -> dict:
        """Settings that Longformer, LTP and RoBERTa share."""
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
    "tiny": Size(layers=4, hidden=64, heads=4, intermediate=256, window=32, vocab=500, full=64, tolerance=0.03),
}


def build_models(
    names: Collection[str], dtypes: Collection[str], size: Size, seed: int, ltp_attn: str | None = None
) -> dict[tuple[str, str], nn.Module]:
    """
    Args:
        names: of `MODELS`.
        dtypes: of `DTYPES`.
        ltp_attn: `attn_implementation` of LTP; None: its own choice.

    Returns:
        The classifiers by name and dtype, in evaluation mode. `ltp` never prunes; `ltp_pruned` does not until it is
        given thresholds. In float32 Longformer and both LTP models share their parameters' storage.

    Raises:
        UserError: LTP does not know `ltp_attn`.
    """
    makers = {"longformer": _longformer, "roberta": _roberta, "modernbert": _modernbert}
    models, weights = {}, None
    for name in sorted(names, key=MODELS.index):
        if name.startswith("ltp"):
            weights = weights or _seeded(_longformer, size, seed).state_dict()
            full = _ltp(size, weights, pruned=name == "ltp_pruned", attention=ltp_attn)
        else:
            full = _seeded(makers[name], size, seed)
            if name == "longformer":
                weights = full.state_dict()
        full.eval()
        for dtype in dtypes:
            models[name, dtype] = full if dtype == "float32" else converted(copy.deepcopy(full), DTYPES[dtype])
            if name.startswith("ltp") and dtype == "bfloat16":  # as `precision.prepack_bfloat16` does
                models[name, dtype].prepack_weights()
    return models


def converted(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """`model` in `dtype`, as `from_pretrained(dtype=...)` makes it: what the class keeps in float32 stays so."""
    kept = set(getattr(model, "_keep_in_fp32_modules_strict", None) or ())
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point() and not kept & set(name.split(".")):
            tensor.data = tensor.data.to(dtype)
    return model


def _seeded(maker, size: Size, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return maker(size)


def _longformer(size: Size) -> nn.Module:
    from transformers import LongformerConfig, LongformerForSequenceClassification  # here: --help need not wait for it

    window = [size.window] * size.layers
    model = LongformerForSequenceClassification(LongformerConfig(**size.config(), attention_window=window))
    for layer in model.longformer.encoder.layer:
        layer.attention.self.query.weight.data *= QUERY_SCALE
    return model


def _roberta(size: Size) -> nn.Module:
    from transformers import RobertaConfig, RobertaForSequenceClassification

    return RobertaForSequenceClassification(RobertaConfig(**size.config(), attn_implementation="sdpa"))


def _modernbert(size: Size) -> nn.Module:
    """ModernBERT's attention (windows of 128, every third layer global) on as many layers and parameters a layer:
    its gated feed-forward part has three matrices, each 2/3 as wide."""
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    config = size.config()
    for name in ("type_vocab_size", "layer_norm_eps"):
        del config[name]
    config |= {"intermediate_size": size.intermediate * 2 // 3, "cls_token_id": 0, "sep_token_id": 2}
    return ModernBertForSequenceClassification(
        ModernBertConfig(**config, attn_implementation="sdpa", local_attention=min(128, size.window))
    )


def _ltp(size: Size, weights: dict[str, torch.Tensor], pruned: bool, attention: str | None) -> nn.Module:
    from transformer_revised import LTPConfig, LTPForSequenceClassification

    settings = {"prune_mode": None}
    if pruned:
        # "rel" scores mean the same at every length; at thresholds of exactly 0 nothing leaves.
        settings = {"prune_mode": "absolute_threshold", "final_token_threshold": 0.0, "score_normalization": "rel"}
    if attention is not None:
        settings["attn_implementation"] = attention
    config = LTPConfig(**size.config(), attention_window=[size.window] * size.layers, **settings)
    try:
        model = LTPForSequenceClassification(config)
    except ValueError as error:
        raise UserError(f"--ltp_attn {attention}: {error}") from error
    missing, unexpected = model.load_state_dict(weights, strict=False, assign=True)
    other = [name for name in missing if "pruner" not in name] + unexpected
    if other:
        raise RuntimeError(f"LTP and Longformer do not have the same parameters: {', '.join(other)}")
    return model
