"""Computes the matrix products of a layer that do not mix tokens: projections, attention output, feed-forward part.

The library's Longformer blocks define them. On a CPU and without gradients they are computed through oneDNN, because
PyTorch's `nn.Linear` uses a BLAS library that may be much slower: in float32 it reaches two fifths of oneDNN's rate on
a Zen 5. oneDNN also adds the bias, GELU and the residual while a result is still in a register. On other devices, with
gradients, and for layers that are not a plain `nn.Linear` (an adapter, a quantised layer, a layer with hooks) the
library's own forward pass runs.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass, field

import torch
from torch import nn
from transformers.models.longformer.modeling_longformer import (
    LongformerIntermediate,
    LongformerOutput,
    LongformerSelfOutput,
)

# Maximum number of tokens in a piece ([`pieces`]), so that the data between two products stays in a CPU's cache.
PIECE_TOKENS = 512
# Shorter pieces have a multiple of this many tokens, except the last piece.
PIECE_STEP = 64


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
    """`layer(x)`; then the exact GELU if `gelu`; then plus `residual` if that is given.

    Args:
        layer: `nn.Linear` or a layer that replaces it, `D_in -> D_out`.
        x: `[N, D_in]`.
        residual: `[N, D_out]`.
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
    """Whether `linear` multiplies through oneDNN: a plain layer, on a CPU, without gradients."""
    if type(layer) is not nn.Linear or x.device.type != "cpu" or torch.is_grad_enabled() or layer.bias is None:
        return False
    if type(layer.weight) not in (nn.Parameter, torch.Tensor):  # sharded, quantised
        return False
    if layer._forward_hooks or layer._forward_pre_hooks or torch.compiler.is_compiling():
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") in ONEDNN_DTYPES
    return x.dtype == layer.weight.dtype and x.dtype in ONEDNN_DTYPES


class _PackedWeight:
    """A second copy of a layer's weight, in oneDNN's layout."""

    def __init__(self):
        self._state, self._packed = None, None

    def of(self, weight: torch.Tensor) -> torch.Tensor:
        """The copy, made again when the weight has changed.

        A change through `weight.data` is noticed only if it changes one of the first weights, as a change of the whole
        tensor does. Comparing all weights would take longer than the layout saves.
        """
        state = weight._version, weight.data_ptr(), weight.dtype, weight[0, :4].tolist()
        if state != self._state:
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), PIECE_TOKENS)
            self._state = state
        return self._packed


# Not an attribute of the layers: tensors in oneDNN's layout can be neither copied nor pickled.
_PACKED_WEIGHTS: weakref.WeakKeyDictionary[nn.Linear, _PackedWeight] = weakref.WeakKeyDictionary()


def prepack(layer: nn.Linear) -> None:
    """Makes `linear` keep a second copy of the layer's weight in oneDNN's layout instead of reordering each time."""
    _PACKED_WEIGHTS[layer] = _PackedWeight()


def _weight(layer: nn.Linear) -> torch.Tensor:
    packed = _PACKED_WEIGHTS.get(layer)
    if packed is None or layer.weight.is_inference() or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return layer.weight
    return packed.of(layer.weight)


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
    """The slices in which the `N` rows of `x` are computed: 1,100 rows as 512, 512, 64 and 12. One slice on a GPU or
    with gradients.

    oneDNN compiles a kernel for each number of rows, which takes as long as computing some hundred rows. After pruning
    each layer of each batch has a different number. Pieces have only 134 sizes, whose kernels are soon all compiled.
    """
    n = len(x)
    if torch.is_grad_enabled() or x.device.type != "cpu" or torch.compiler.is_compiling() or n < 2 * PIECE_STEP:
        return [slice(0, n)]
    even = n // PIECE_STEP * PIECE_STEP
    bounds = [*range(0, even, PIECE_TOKENS), even]
    return [slice(*pair) for pair in zip(bounds, [*bounds[1:], n] if n > even else bounds[1:])]


@dataclass
class Workspace:
    """Named buffers that the layers of one forward pass reuse, instead of allocating memory in each layer.

    A tensor taken under a name is overwritten by the next tensor taken under that name, so a layer must not return it.
    Tokens are only removed, so the buffers of the first layer are large enough for all layers.
    """

    buffers: dict[str, torch.Tensor] = field(default_factory=dict)

    def take(self, name: str, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """An uninitialised tensor of `shape`, with the dtype and device of `like`."""
        size, buffer = math.prod(shape), self.buffers.get(name)
        if buffer is None or len(buffer) < size or buffer.dtype != like.dtype or buffer.device != like.device:
            buffer = self.buffers[name] = like.new_empty(size)
        return buffer[:size].view(shape)


def projected_heads(
    layer: nn.Module,
    x: torch.Tensor,
    num_heads: int,
    scale: float = 1.0,
    workspace: Workspace | None = None,
    name: str = "",
) -> torch.Tensor:
    """`layer(x) * scale`, split into heads: `[N, D]` to `[H, N, d]`. On a CPU the result is contiguous, because
    products of contiguous heads are twice as fast.

    `workspace`: where the result is stored under `name`, on a CPU without gradients.
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
            result = heads.new_empty(shape) if workspace is None else workspace.take(name, shape, heads)
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
    kept: torch.Tensor | None = None,
) -> torch.Tensor:
    """The rest of a layer after its attention: attention output and feed-forward part, piece by piece.

    Args:
        context: `[N, H, d]`.
        residual: the input of the layer, `[N, D]`.
        kept: indices of the tokens that the layer keeps, `[M]` int64; `None` for all.

    Returns `[M, D]`.
    """

    def compute(place: slice) -> torch.Tensor:
        if kept is None:
            heads, states = context[place], residual[place]
        else:
            heads, states = _select_tokens(context, kept[place]), residual.index_select(0, kept[place])
        attended = attention_output(heads.flatten(1), states)
        return output(intermediate(attended), attended)

    computed = residual if kept is None else kept
    # One piece in training: gradient checkpointing draws dropout first without gradients, then with gradients.
    places = [slice(0, len(computed))] if attention_output.training else pieces(computed)
    if len(places) == 1:
        return compute(places[0])
    result = None
    for place in places:
        states = compute(place)
        if result is None:
            result = states.new_empty(places[-1].stop, states.shape[1])
        result[place] = states
    return result


def _select_tokens(heads: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Tokens of `[N, H, d]`; selected head by head if that is a view of `[H, N, d]`."""
    if heads.is_contiguous():
        return heads.index_select(0, index)
    return heads.transpose(0, 1).index_select(1, index).transpose(0, 1)
