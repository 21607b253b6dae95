"""Products with gradients on a CPU: forward and backward pass of a layer's blocks, written out.

`nn.Linear` uses a BLAS library that may be much slower than oneDNN in float32 (`cpu_products`), and oneDNN's operator
has no gradient. Here both passes of a block go through the faster one. Dropout, residual and layer norm are computed a
few rows at a time, while a product's result is still in a cache.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.module import _has_any_global_hook

from .device_policy import run_uncompiled
from .dropout_masks import Dropout, draw_seed
from .int8_products import Int8Linear
from .product_choice import uses_onednn

# Rows of a piece. A gradient of a weight is summed over pieces: oneDNN has to lay out both operands of it anew, and
# does that in a cache only for few rows.
GRADIENT_ROWS = 1024
NORM_ROWS = 512


def uses_onednn_in_training(dtype: torch.dtype) -> bool:
    """Whether products with gradients in `dtype` go through oneDNN.

    In bfloat16 PyTorch's own products already do, and are faster for gradients of weights.
    """
    return dtype == torch.float32 and uses_onednn(dtype)


def takes_own_backward(x: torch.Tensor, *layers: nn.Module, residual: torch.Tensor | None = None) -> bool:
    """Whether the passes here compute what the layers would: plain layers with a bias on a CPU, without hooks.

    `x` and `residual`: the inputs. In training also passes without gradients are computed here, because the first pass
    of a reentrant gradient checkpoint has none and must drop the same elements.
    """
    if x.device.type != "cpu":
        return False
    if not (torch.is_grad_enabled() or any(layer.training and type(layer) is nn.Dropout for layer in layers)):
        return False
    if not len(x) or torch.compiler.is_exporting() or torch.jit.is_tracing():
        return False
    dtypes = {tensor.dtype for tensor in (x, residual) if tensor is not None}
    dtypes |= {layer.weight.dtype for layer in layers if isinstance(getattr(layer, "weight", None), torch.Tensor)}
    if torch.is_autocast_enabled("cpu"):  # which computes the sum and the norm in float32
        weights = {layer.weight.dtype for layer in layers if isinstance(layer, nn.LayerNorm)}
        if residual is not None and {residual.dtype, *weights} != {torch.float32}:
            return False
    elif len(dtypes) > 1:
        return False
    return all(_is_plain(layer) for layer in layers)


def _is_plain(layer: nn.Module) -> bool:
    is_int8 = type(layer) is Int8Linear and not layer.training  # with gradients it multiplies by the exact weights
    if type(layer) not in (nn.Linear, nn.LayerNorm, nn.Dropout) and not is_int8:
        return False
    if has_hooks(layer) or layer._backward_hooks or layer._backward_pre_hooks:
        return False
    if type(layer) is nn.Dropout:
        return True
    weight, bias = layer.weight, layer.bias
    if weight is None or bias is None or weight.device.type != "cpu" or weight.dtype != bias.dtype:
        return False
    return type(weight) in (nn.Parameter, torch.Tensor)  # not sharded or quantised


def has_hooks(layer: nn.Module) -> bool:
    """Whether the forward pass of `layer` calls hooks: its own, or those of all modules."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks or _has_any_global_hook())


def product_dtype(x: torch.Tensor) -> torch.dtype:
    """The dtype in which a product with `x` is computed."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


@run_uncompiled
def linear_with_gradient(layer: nn.Linear, x: torch.Tensor, *, gelu: bool = False) -> torch.Tensor:
    """`layer(x)`, `[N, D_in]` to `[N, D_out]`; then the exact GELU if `gelu`."""
    return _Linear.apply(x, layer.weight, layer.bias, product_dtype(x), gelu)


@run_uncompiled  # so that a compiled training drops the same elements
def dense_and_norm_with_gradient(
    dense: nn.Linear, dropout: nn.Dropout, norm: nn.LayerNorm, x: torch.Tensor, residual: torch.Tensor
) -> torch.Tensor:
    """`norm(dropout(dense(x)) + residual)`: `[N, D_in]` and `[N, D]` to `[N, D]`."""
    p = dropout.p if dropout.training else 0.0
    return _DenseAndNorm.apply(
        x, residual, dense.weight, dense.bias, norm.weight, norm.bias, norm.eps, p, product_dtype(x)
    )


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`x @ weight^T + bias`."""
    if uses_onednn_in_training(x.dtype):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "none")
    return nn.functional.linear(x, weight, bias)


def _weight_gradient(grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """`grad^T @ x`: `[N, D_out]` and `[N, D_in]` to `[D_out, D_in]`."""
    if not uses_onednn_in_training(x.dtype):
        return grad.t() @ x
    total = None
    for rows, values in zip(grad.split(GRADIENT_ROWS), x.split(GRADIENT_ROWS)):
        part = _product(rows.t().contiguous(), values.t())
        total = part if total is None else total.add_(part)
    return total


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, dtype, gelu):
        ctx.dtypes = x.dtype, weight.dtype
        with torch.autocast("cpu", enabled=False):
            x, used = x.to(dtype), weight.to(dtype)
            y = _product(x, used, bias.to(dtype))
            # A layer whose weight needs no gradient, as with LoRA, need not keep its input.
            ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, used, y if gelu else None)
            return nn.functional.gelu(y) if gelu else y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, y = ctx.saved_tensors
        with torch.autocast("cpu", enabled=False):
            grad = grad.contiguous() if y is None else torch.ops.aten.gelu_backward(grad, y)
            grad_x = _product(grad, weight.t()).to(ctx.dtypes[0]) if ctx.needs_input_grad[0] else None
            return (grad_x, *_layer_gradients(grad, x, ctx.needs_input_grad[1:3], ctx.dtypes[1]), None, None)


class _DenseAndNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, residual, weight, bias, norm_weight, norm_bias, eps, p, dtype):
        ctx.dtypes, ctx.dropout = (x.dtype, weight.dtype), (p, draw_seed(p))
        dropout = Dropout(*ctx.dropout) if p else None
        shape = norm_weight.shape
        with torch.autocast("cpu", enabled=False):
            x, used, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
            sums, output = torch.empty_like(residual), torch.empty_like(residual)
            means, deviations = residual.new_empty(len(x), 1), residual.new_empty(len(x), 1)
            for begin in range(0, len(x), NORM_ROWS):
                place = slice(begin, begin + NORM_ROWS)
                y = _product(x[place], used, bias)
                if dropout is not None:
                    dropout.drop_(y)
                torch.add(residual[place], y, alpha=dropout.scale if dropout else 1, out=sums[place])
                output[place], means[place], deviations[place] = torch.native_layer_norm(
                    sums[place], shape, norm_weight, norm_bias, eps
                )
        x = x if ctx.needs_input_grad[2] else None
        ctx.save_for_backward(x, used, norm_weight, norm_bias, sums, means, deviations)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, norm_weight, norm_bias, sums, means, deviations = ctx.saved_tensors
        needs = ctx.needs_input_grad
        grad = grad.contiguous()
        dropout = Dropout(*ctx.dropout) if ctx.dropout[0] else None
        grad_sums, grad_y = torch.empty_like(sums), weight.new_empty(sums.shape)
        grad_norm = [torch.zeros_like(norm_weight), torch.zeros_like(norm_bias)]
        with torch.autocast("cpu", enabled=False):
            for begin in range(0, len(sums), NORM_ROWS):
                place = slice(begin, begin + NORM_ROWS)
                parts = torch.ops.aten.native_layer_norm_backward(
                    grad[place], sums[place], norm_weight.shape, means[place], deviations[place],
                    norm_weight, norm_bias, [True, *needs[4:6]],
                )  # fmt: skip
                grad_sums[place] = parts[0]
                for total, part in zip(grad_norm, parts[1:]):
                    if part is not None:
                        total += part
                torch.mul(parts[0], dropout.scale if dropout else 1, out=grad_y[place])
                if dropout is not None:
                    dropout.drop_(grad_y[place])
            grad_x = _product(grad_y, weight.t()).to(ctx.dtypes[0]) if needs[0] else None
            grad_weight, grad_bias = _layer_gradients(grad_y, x, needs[2:4], ctx.dtypes[1])
        grad_norm = [total if need else None for total, need in zip(grad_norm, needs[4:6])]
        return grad_x, grad_sums, grad_weight, grad_bias, *grad_norm, None, None, None


def _layer_gradients(grad: torch.Tensor, x: torch.Tensor, needs: tuple[bool, bool], dtype: torch.dtype) -> tuple:
    """The gradients of a layer's weight and bias in `dtype`; `None` where none is needed."""
    weight = _weight_gradient(grad, x).to(dtype) if needs[0] else None
    bias = grad.sum(0, dtype=torch.promote_types(grad.dtype, torch.float32)).to(dtype) if needs[1] else None
    return weight, bias
