"""Which tokens of a padded batch are real and which are global, from the arguments of a model's `forward`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def named_inputs(model: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `model(*args, **kwargs)` by name."""
    parameters = inspect.signature(model.forward).parameters.values()
    by_position = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    return dict(zip((p.name for p in parameters if p.kind in by_position), args)) | dict(kwargs)


def in_shape(name: str, tensor: torch.Tensor | None, shape: tuple[int, int]) -> torch.Tensor | None:
    """`tensor` as `[B, L]`; a single row `[1, L]` is repeated. Raises ValueError if it has another shape."""
    if tensor is None or tuple(tensor.shape) == shape:
        return tensor
    if tuple(tensor.shape) == (1, shape[1]):
        return tensor.expand(shape)
    raise ValueError(f"`{name}` has the shape {list(tensor.shape)}; expected that of the input, {list(shape)}")


def attention_mask_of(inputs: Mapping[str, Any]) -> torch.Tensor:
    """`[B, L]`, above 0 for real tokens: the given mask, or ones. `inputs`: the arguments of `forward` by name."""
    if inputs.get("attention_mask") is not None:
        return inputs["attention_mask"]
    ids = inputs.get("input_ids")
    ids = inputs["inputs_embeds"][..., 0] if ids is None else ids
    return torch.ones_like(ids, dtype=torch.long)


def first_real_tokens(attention_mask: torch.Tensor) -> torch.Tensor:
    """`[B, L]` bool, True for the first real token of each sequence, whichever side the padding is on."""
    real = attention_mask > 0
    return real & (real.cumsum(dim=1) == 1)


def global_tokens(attention_mask: torch.Tensor, global_attention_mask: torch.Tensor | None = None) -> torch.Tensor:
    """`[B, L]` bool, the global tokens of a sequence classifier: the given ones, or the first of each sequence."""
    if global_attention_mask is None:
        return first_real_tokens(attention_mask)
    return (attention_mask > 0) & (global_attention_mask > 0)
