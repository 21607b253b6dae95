"""Computes the matrix products of a layer that do not mix tokens: projections, attention output, feed-forward part.

The library's Longformer blocks define them. On a CPU and without gradients they are computed through oneDNN where
that is faster ([`product_choice`]): PyTorch's `nn.Linear` uses a BLAS library that in float32 reaches two fifths of
oneDNN's rate on a Zen 5. oneDNN also adds the bias, GELU and the residual while a result is still in a register. With
gradients see [`gradient_products`]. On other devices, and for layers that are not a plain `nn.Linear` (an adapter, a
quantised layer, a layer with hooks), the library's own forward pass runs.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from transformers.models.longformer.modeling_longformer import (
    LongformerIntermediate,
    LongformerOutput,
    LongformerSelfOutput,
)

from .gradient_products import dense_and_norm_with_gradient, has_hooks, linear_with_gradient, takes_own_backward
from .int8_products import Int8Linear, multiply_together, state_of
from .product_choice import uses_onednn
from .workspace import Workspace

# Maximum number of tokens in a piece ([`pieces`]), so that the data between two products stays in a CPU's cache.
PIECE_TOKENS = 512
# The number of rows of a product is a multiple of this, see [`product_rows`]. With 1 no row is added.
ROW_STEP = 16


def linear(
    layer: nn.Module, x: torch.Tensor, *, gelu: bool = False, residual: torch.Tensor | None = None
) -> torch.Tensor:
    """`layer(x)`; then the exact GELU if `gelu`; then plus `residual` if that is given.

    Args:
        layer: `nn.Linear` or a layer that replaces it, `D_in -> D_out`.
        x: `[N, D_in]`.
        residual: `[N, D_out]`.
    """
    if _takes_int8(layer):
        return layer.multiply(x, gelu=gelu, residual=residual)
    if not takes_onednn(layer, x):
        if residual is None and takes_own_backward(x, layer):
            return linear_with_gradient(layer, x, gelu=gelu)
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
    if has_hooks(layer) or torch.compiler.is_compiling():
        return False
    if torch.is_autocast_enabled("cpu"):
        return uses_onednn(torch.get_autocast_dtype("cpu"))
    return x.dtype == layer.weight.dtype and uses_onednn(x.dtype)


def _takes_int8(layer: nn.Module) -> bool:
    return type(layer) is Int8Linear and not has_hooks(layer) and layer.multiplies_int8()


def fuses(layer: nn.Module, x: torch.Tensor) -> bool:
    """Whether `linear` adds GELU and the residual to the product itself."""
    return takes_onednn(layer, x) or _takes_int8(layer)


class _PackedWeight:
    """A second copy of the weights of layers with the same input, one below the other, in oneDNN's layout."""

    def __init__(self):
        self._state, self._packed = None, None

    def of(self, *weights: torch.Tensor) -> torch.Tensor:
        """The copy, made again when a weight has changed ([`state_of`])."""
        state = [state_of(weight) for weight in weights]
        if state != self._state:
            rows = weights[0].detach() if len(weights) == 1 else torch.cat([w.detach() for w in weights])
            self._packed = torch.ops.mkldnn._reorder_linear_weight(rows, PIECE_TOKENS)
            self._state = state
        return self._packed


# Not an attribute of the layers: tensors in oneDNN's layout can be neither copied nor pickled.
_PACKED_WEIGHTS: weakref.WeakKeyDictionary[nn.Linear, _PackedWeight] = weakref.WeakKeyDictionary()
# By the first of several layers with the same input
_PACKED_TOGETHER: weakref.WeakKeyDictionary[nn.Linear, _PackedWeight] = weakref.WeakKeyDictionary()


def prepack(*layers: nn.Linear) -> None:
    """Makes `linear` keep a second copy of a layer's weight in oneDNN's layout instead of reordering each time.

    `layers`: several are computed by [`projected_heads`] as one product.
    """
    packed = _PACKED_WEIGHTS if len(layers) == 1 else _PACKED_TOGETHER
    packed[layers[0]] = _PackedWeight()


def _packed_weight(packed: Mapping[nn.Linear, _PackedWeight], *layers: nn.Linear) -> torch.Tensor | None:
    copies = packed.get(layers[0])
    if copies is None or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return None
    weights = [layer.weight for layer in layers]
    return None if any(weight.is_inference() for weight in weights) else copies.of(*weights)


def _weight(layer: nn.Linear) -> torch.Tensor:
    packed = _packed_weight(_PACKED_WEIGHTS, layer)
    return layer.weight if packed is None else packed


def _products_of_one_input(layers: Sequence[nn.Module], x: torch.Tensor) -> Sequence[torch.Tensor]:
    """`layer(x)` of each layer, from one product if [`prepack`] stored their weights together, or in int8."""
    if all(_takes_int8(layer) for layer in layers):
        return multiply_together(layers, x)
    if not torch.is_autocast_enabled("cpu") and all(takes_onednn(layer, x) for layer in layers):
        packed = _packed_weight(_PACKED_TOGETHER, *layers)
        if packed is not None:
            bias = torch.cat([layer.bias for layer in layers])
            y = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "none")
            return y.split([len(layer.bias) for layer in layers], dim=1)
    return [linear(layer, x) for layer in layers]


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
        if self.is_gelu:
            return linear(self.dense, hidden_states, gelu=True)
        return self.intermediate_act_fn(linear(self.dense, hidden_states))


class LTPOutput(LongformerOutput):
    """Second half of the feed-forward part, residual, layer norm."""

    def forward(self, hidden_states: torch.Tensor, input_tensor: torch.Tensor) -> torch.Tensor:
        """`[N, intermediate_size]` and the residual `[N, D]`."""
        return _add_and_norm(self, hidden_states, input_tensor)


def _add_and_norm(block: LTPSelfOutput | LTPOutput, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
    if takes_own_backward(x, block.dense, block.dropout, block.LayerNorm, residual=residual):
        return dense_and_norm_with_gradient(block.dense, block.dropout, block.LayerNorm, x, residual)
    if block.training or not fuses(block.dense, x):
        return block.LayerNorm(block.dropout(block.dense(x)) + residual)
    return block.LayerNorm(linear(block.dense, x, residual=residual))


def product_rows(n: int) -> int:
    """The number of rows with which `n` rows are multiplied on a CPU: 1, 8, or the next multiple of 16.

    oneDNN compiles a kernel for each number of rows, which takes as long as computing some hundred rows. After pruning
    each layer of each batch has a different number. Products of few sizes have kernels that are soon all compiled.
    """
    if n <= 1 or ROW_STEP == 1:
        return n
    return 8 if n <= 8 else -(-n // ROW_STEP) * ROW_STEP


def pieces(x: torch.Tensor) -> list[slice]:
    """The slices in which the `N` rows of `x` are computed: 1,100 rows as 368, 368 and 364. One slice on a GPU or with
    gradients.
    """
    n = len(x)
    if n <= PIECE_TOKENS or computes_all_rows_at_once(x):
        return [slice(0, n)]
    rows = product_rows(-(-n // -(-n // PIECE_TOKENS)))
    return [slice(begin, min(begin + rows, n)) for begin in range(0, n, rows)]


def computes_all_rows_at_once(x: torch.Tensor) -> bool:
    """Whether the rows of `x` are neither cut into pieces nor padded: on a GPU, with gradients, in `torch.compile`."""
    return torch.is_grad_enabled() or x.device.type != "cpu" or torch.compiler.is_compiling()


def padded_rows(x: torch.Tensor, workspace: Workspace, name: str) -> torch.Tensor:
    """`x` with rows of zeros below its `n` rows, [`product_rows`] in all. Under `name` in `workspace`, unless it is
    `x`.
    """
    n, rows = len(x), product_rows(len(x))
    if rows == n or computes_all_rows_at_once(x):
        return x
    result = workspace.take(name, (rows, *x.shape[1:]), x)
    result[:n] = x
    result[n:] = 0
    return result


def projected_heads(
    layers: Sequence[nn.Module], x: torch.Tensor, num_heads: int, scale: float, workspace: Workspace | None = None
) -> tuple[torch.Tensor, ...]:
    """`layer(x)` of each layer, split into heads: `[N, D]` to `[H, N, d]`. The first is multiplied by `scale`.

    On a CPU the results are contiguous, because products of contiguous heads are twice as fast.

    `workspace`: where the results are stored, on a CPU without gradients.
    """
    if computes_all_rows_at_once(x):
        outputs = (linear(layer, x).unflatten(1, (num_heads, -1)).transpose(0, 1) for layer in layers)
        first, *others = (heads.contiguous() if x.device.type == "cpu" else heads for heads in outputs)
        return first if scale == 1.0 else first.mul_(scale), *others
    space, result = workspace or Workspace(), None
    for place in pieces(x):
        rows = padded_rows(x[place], space, "rows")
        for i, output in enumerate(_products_of_one_input(layers, rows)):
            heads = output[: place.stop - place.start].unflatten(1, (num_heads, -1)).transpose(0, 1)
            if result is None:
                result = space.take("heads", (len(layers), num_heads, len(x), heads.shape[2]), heads)
            if i == 0:
                torch.mul(heads, scale, out=result[0, :, place])
            else:
                result[i, :, place].copy_(heads)
    return result.unbind(0)


def after_attention(
    attention_output: LTPSelfOutput,
    intermediate: LTPIntermediate,
    output: LTPOutput,
    context: torch.Tensor,
    residual: torch.Tensor,
    kept: torch.Tensor | None = None,
    workspace: Workspace | None = None,
) -> torch.Tensor:
    """The rest of a layer after its attention: attention output and feed-forward part, piece by piece.

    Args:
        context: `[N, H, d]`.
        residual: the input of the layer, `[N, D]`.
        kept: indices of the tokens that the layer keeps, `[M]` int64; `None` for all.
        workspace: memory for rows that are padded, on a CPU without gradients.

    Returns `[M, D]`.
    """
    space = workspace or Workspace()

    def compute(place: slice) -> torch.Tensor:
        if kept is None:
            heads, states = context[place], residual[place]
        else:
            heads, states = _select_tokens(context, kept[place]), residual.index_select(0, kept[place])
        if not attention_output.training:
            heads, states = padded_rows(heads, space, "context"), padded_rows(states, space, "rows")
        attended = attention_output(heads.flatten(1), states)
        return output(intermediate(attended), attended)[: place.stop - place.start]

    computed = residual if kept is None else kept
    if computes_all_rows_at_once(computed):
        heads = context if kept is None else _select_tokens(context, kept)
        attended = attention_output(heads.flatten(1), residual if kept is None else residual.index_select(0, kept))
        return output(intermediate(attended), attended)
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
