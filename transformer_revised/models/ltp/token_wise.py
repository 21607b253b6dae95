"""The token-wise blocks of a layer: the library's Longformer blocks, computed the way the device does it fastest.

On a CPU, PyTorch multiplies through a BLAS library that may be far from what the machine can do: `nn.Linear` in
float32 reaches two fifths of oneDNN's rate on a Zen 5. oneDNN also adds the bias, GELU and the residual while a result
is still in a register. Everywhere else, and where a layer is not a plain `nn.Linear` (an adapter, a quantised layer, a
hook), the library's own forward pass is taken.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers.models.longformer.modeling_longformer import (
    LongformerIntermediate,
    LongformerOutput,
    LongformerSelfOutput,
)

# Tokens whose feed-forward part is computed at a time: what lies between its two products stays in a cache.
FEED_FORWARD_TOKENS = 512


def _onednn_dtypes() -> tuple[torch.dtype, ...]:
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return ()
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.float32, torch.bfloat16
    return (torch.float32,)


ONEDNN_DTYPES = _onednn_dtypes()


def linear(
    layer: nn.Module, x: torch.Tensor, *, gelu: bool = False, residual: torch.Tensor | None = None
) -> torch.Tensor:
    """
    `layer(x)`, then GELU (the exact one), then plus `residual`, where asked for.

    Args:
        layer: `nn.Linear`, or what stands in its place, `D_in -> D_out`.
        x: `[N, D_in]`; `residual`: `[N, D_out]`.
    """
    if not takes_onednn(layer, x):
        y = layer(x)
        y = nn.functional.gelu(y) if gelu else y
        return y if residual is None else y + residual
    weight, bias = layer.weight, layer.bias
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    if residual is not None and residual.dtype == x.dtype and not gelu:
        return torch.ops.mkldnn._linear_pointwise.binary(x, residual, weight, bias, "add")
    y = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "gelu" if gelu else "none", [], "none")
    return y if residual is None else y + residual


def takes_onednn(layer: nn.Module, x: torch.Tensor) -> bool:
    """Whether `linear` multiplies through oneDNN: a plain layer, on a CPU, with nothing to differentiate."""
    if type(layer) is not nn.Linear or x.device.type != "cpu" or torch.is_grad_enabled() or layer.bias is None:
        return False
    if type(layer.weight) not in (nn.Parameter, torch.Tensor):  # sharded, quantised
        return False
    if layer._forward_hooks or layer._forward_pre_hooks or torch.compiler.is_compiling():
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") in ONEDNN_DTYPES
    return x.dtype == layer.weight.dtype and x.dtype in ONEDNN_DTYPES


class LTPSelfOutput(LongformerSelfOutput):
    """Output projection, residual, layer norm."""

    def forward(self, hidden_states: torch.Tensor, input_tensor: torch.Tensor) -> torch.Tensor:
        """`[N, D]` and the residual `[N, D]`."""
        return _add_and_norm(self, hidden_states, input_tensor)


class LTPIntermediate(LongformerIntermediate):
    """First half of the feed-forward part."""

    def __init__(self, config):
        super().__init__(config)
        self.is_gelu = config.hidden_act == "gelu"

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`[N, D]` to `[N, intermediate_size]`."""
        if self.is_gelu and takes_onednn(self.dense, hidden_states):
            return linear(self.dense, hidden_states, gelu=True)
        return self.intermediate_act_fn(linear(self.dense, hidden_states))


class LTPOutput(LongformerOutput):
    """Second half of the feed-forward part, residual, layer norm."""

    def forward(self, hidden_states: torch.Tensor, input_tensor: torch.Tensor) -> torch.Tensor:
        """`[N, intermediate_size]` and the residual `[N, D]`."""
        return _add_and_norm(self, hidden_states, input_tensor)


def _add_and_norm(block: LTPSelfOutput | LTPOutput, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
    if block.training or not takes_onednn(block.dense, x):
        return block.LayerNorm(block.dropout(block.dense(x)) + residual)
    return block.LayerNorm(linear(block.dense, x, residual=residual))


def feed_forward(intermediate: LTPIntermediate, output: LTPOutput, x: torch.Tensor) -> torch.Tensor:
    """The feed-forward part of a layer, `[N, D]` to `[N, D]`, on a CPU without gradients in pieces."""
    if torch.is_grad_enabled() or x.device.type != "cpu" or len(x) <= FEED_FORWARD_TOKENS:
        return output(intermediate(x), x)
    result = torch.empty_like(x)
    pieces = -(-len(x) // FEED_FORWARD_TOKENS)
    for piece, place in zip(x.tensor_split(pieces), result.tensor_split(pieces)):
        place.copy_(output(intermediate(piece), piece))
    return result
