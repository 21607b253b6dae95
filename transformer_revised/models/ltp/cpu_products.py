"""The token-wise blocks of a layer: the library's Longformer blocks, computed the way the device does it fastest.

On a CPU, PyTorch multiplies through a BLAS library that may be far from what the machine can do: `nn.Linear` in
float32 reaches two fifths of oneDNN's rate on a Zen 5. oneDNN also adds the bias, GELU and the residual while a result
is still in a register. Everywhere else, and where a layer is not a plain `nn.Linear` (an adapter, a quantised layer, a
hook), the library's own forward pass is taken.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch
from torch import nn
from transformers.models.longformer.modeling_longformer import (
    LongformerIntermediate,
    LongformerOutput,
    LongformerSelfOutput,
)

# Most tokens of a piece ([`pieces`]), so that what lies between two products stays in a cache, and the step of their
# number.
PIECE_TOKENS, PIECE_STEP = 512, 64


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
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight, bias = x.to(dtype), layer.weight.to(dtype), layer.bias.to(dtype)
    else:
        weight, bias = _weight(layer), layer.bias
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


# Layers whose weights are also kept in oneDNN's layout, by what these were made from.
_PREPACKED: weakref.WeakKeyDictionary[nn.Linear, tuple[tuple, torch.Tensor] | None] = weakref.WeakKeyDictionary()


def prepack(layer: nn.Linear) -> None:
    """Has `linear` keep the layer's weight a second time, in the layout oneDNN multiplies in, from its next use on."""
    _PREPACKED[layer] = None


def _weight(layer: nn.Linear) -> torch.Tensor:
    weight = layer.weight
    if layer not in _PREPACKED or weight.is_inference() or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return weight
    state = weight._version, weight.data_ptr(), weight.dtype  # an optimiser's step or a load changes one of them
    if (_PREPACKED[layer] or [None])[0] != state:
        _PREPACKED[layer] = state, torch.ops.mkldnn._reorder_linear_weight(weight.detach(), PIECE_TOKENS)
    return _PREPACKED[layer][1]


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


def pieces(x: torch.Tensor) -> list[slice]:
    """
    How the `N` rows of `x` are computed: 1,100 as 512, 512, 64 and 12; all at once on a GPU or with gradients.

    oneDNN compiles each product for the number of rows it has, which takes as long as computing some hundred rows, and
    pruning leaves another number in every layer of every batch. Of pieces there are 135 sizes, soon all compiled.
    """
    n = len(x)
    if torch.is_grad_enabled() or x.device.type != "cpu" or torch.compiler.is_compiling() or n < 2 * PIECE_STEP:
        return [slice(0, n)]
    even = n // PIECE_STEP * PIECE_STEP
    bounds = [*range(0, even, PIECE_TOKENS), even]
    return [slice(*pair) for pair in zip(bounds, [*bounds[1:], n] if n > even else bounds[1:])]


def projected_heads(
    layer: nn.Module,
    x: torch.Tensor,
    num_heads: int,
    scale: float = 1.0,
    take: Callable[[tuple[int, ...], torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """
    `layer(x) * scale`, cut into heads: `[N, D]` to `[H, N, d]`; contiguous on a CPU, whose products are then twice as
    fast.

    Args:
        take: gives the memory for the result, without gradients on a CPU, from its shape and a tensor of its kind.
    """
    if torch.is_grad_enabled() or x.device.type != "cpu":
        heads = linear(layer, x).unflatten(1, (num_heads, -1)).transpose(0, 1)
        heads = heads.contiguous() if x.device.type == "cpu" else heads
        return heads if scale == 1.0 else heads.mul_(scale)
    result = None
    for place in pieces(x):
        heads = linear(layer, x[place]).unflatten(1, (num_heads, -1)).transpose(0, 1)
        if result is None:
            shape = num_heads, len(x), heads.shape[2]
            result = heads.new_empty(shape) if take is None else take(shape, heads)
        if scale == 1.0:
            result[:, place].copy_(heads)
        else:
            torch.mul(heads, scale, out=result[:, place])
    return result


def after_attention(
    attention_output: LTPSelfOutput,
    intermediate: LTPIntermediate,
    output: LTPOutput,
    context: torch.Tensor,
    residual: torch.Tensor,
    stay: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    The token-wise rest of a layer, piece by piece.

    Args:
        context: `[N, H, d]`; residual: `[N, D]`.
        stay: which tokens are left, `[M]` int64; `None`: all.

    Returns:
        `[M, D]`.
    """

    def compute(place: slice) -> torch.Tensor:
        if stay is None:
            heads, kept = context[place], residual[place]
        else:
            index = stay[place]
            heads, kept = _rows(context, index), residual.index_select(0, index)
        attended = attention_output(heads.flatten(1), kept)
        return output(intermediate(attended), attended)

    left = residual if stay is None else stay
    # In training all at once: gradient checkpointing draws dropout first without gradients, then again with them.
    places = [slice(0, len(left))] if attention_output.training else pieces(left)
    if len(places) == 1:
        return compute(places[0])
    result = None
    for place in places:
        states = compute(place)
        if result is None:
            result = states.new_empty(places[-1].stop, states.shape[1])
        result[place] = states
    return result


def _rows(heads: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Rows of `[N, H, d]`; where that is a view of `[H, N, d]`, head by head."""
    if heads.is_contiguous():
        return heads.index_select(0, index)
    return heads.transpose(0, 1).index_select(1, index).transpose(0, 1)
