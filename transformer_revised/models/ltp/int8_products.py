"""Linear layers that multiply in int8, for passes without gradients on an x86 CPU.

Weights are quantised once, symmetrically, with one scale for each output channel. Activations are quantised in each
pass, symmetrically, with one scale for each token ("dynamic quantisation"). So the result for a token does not depend
on the other tokens of the batch. Products are summed in int32 and scaled in float32.

Processors without VNNI add pairs of products in 16 bits, which saturate. There activations have 7 bits instead of 8.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from .device_policy import run_uncompiled

VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")  # names in `torch.cpu.get_capabilities`
CANNOT_TRAIN = "a model in int8 cannot be trained; load it again in float32 or bfloat16"
ONLY_ON_X86 = "int8 is computed on x86 CPUs only"


def is_int8_supported() -> bool:
    """Whether this CPU and this PyTorch have the int8 products."""
    is_x86 = getattr(torch.cpu, "get_capabilities", dict)().get("architecture") == "x86_64"
    return is_x86 and torch.backends.mkldnn.is_available() and hasattr(torch.ops.onednn, "qlinear_pointwise")


def quantize(products: Iterable[tuple[nn.Module, str]], training: bool) -> None:
    """Replaces plain linear layers by [`Int8Linear`]. `products`: the modules that hold them, and their names there.

    Raises ValueError, and replaces none, if int8 is not supported, in `training`, or if a layer cannot be quantised.
    """
    if not is_int8_supported():
        raise ValueError(f"{ONLY_ON_X86}, with a PyTorch that has oneDNN")
    if training:
        raise ValueError("the model is in training mode; expected evaluation: call `model.eval()` first")
    found = [(module, name, getattr(module, name)) for module, name in products]
    layers = [layer if type(layer) is Int8Linear else Int8Linear(layer) for _, _, layer in found]
    for (module, name, _), layer in zip(found, layers):
        setattr(module, name, layer)


class Int8Linear(nn.Linear):
    """A linear layer that multiplies in int8 if no gradients are computed, `[..., D_in]` to `[..., D_out]`.

    It holds the weights of `layer` itself and a copy in int8, which is made in the first pass, and again when the
    weights change. So saving, copying and moving the layer act on the exact weights. With gradients, which lines are
    scored with, it multiplies by the exact weights.

    Raises ValueError if `layer` is not a plain `nn.Linear` on a CPU. A pass raises RuntimeError in training with
    gradients, and on another device than a CPU.
    """

    def __init__(self, layer: nn.Linear):
        if type(layer) is not nn.Linear or layer._forward_hooks or layer._forward_pre_hooks:
            raise ValueError(
                f"only a plain linear layer can be quantised, not {type(layer).__name__} or a layer with hooks; merge "
                "adapters first"
            )
        if layer.weight.device.type != "cpu":
            raise ValueError(f"{ONLY_ON_X86}, and the model is on {layer.weight.device}; move it to the CPU")
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.train(layer.training)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, int8"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The result has the dtype of `x`."""
        if not self.multiplies_int8():
            return super().forward(x)
        return self.multiply(x.reshape(-1, self.in_features)).view(*x.shape[:-1], self.out_features)

    def multiplies_int8(self) -> bool:
        """Whether a pass now multiplies in int8. Raises RuntimeError where the layer cannot be used."""
        if self.weight.device.type != "cpu":
            raise RuntimeError(f"{ONLY_ON_X86}, and the model is on {self.weight.device}; move it to the CPU")
        if torch.is_grad_enabled() and self.training:
            raise RuntimeError(CANNOT_TRAIN)
        return not torch.is_grad_enabled()

    @run_uncompiled
    def multiply(self, x: torch.Tensor, *, gelu: bool = False, residual: torch.Tensor | None = None) -> torch.Tensor:
        """`x W^T + b` from int8; then the exact GELU if `gelu`; then plus `residual` if that is given.

        Args:
            x: `[N, D_in]`, float32, bfloat16 or float16.
            residual: `[N, D_out]`.

        Returns `[N, D_out]` in the dtype of `residual`; without it in float32 after GELU, else in the dtype of `x`.
        """
        y = _product([self], x)
        if gelu:
            y = torch.ops.aten.gelu_(y)
        if residual is not None:
            return y.add_(residual).to(residual.dtype)
        return y if gelu else y.to(x.dtype)


@run_uncompiled
def multiply_together(layers: Sequence[Int8Linear], x: torch.Tensor) -> Sequence[torch.Tensor]:
    """`layer.multiply(x)` of each layer from one product, which quantises `x` once."""
    return _product(layers, x).to(x.dtype).split([layer.out_features for layer in layers], dim=1)


def _product(layers: Sequence[Int8Linear], x: torch.Tensor) -> torch.Tensor:
    """The results of all layers side by side, `[N, D_1 + D_2 + ...]` float32."""
    weight, (top, zero_point) = _quantised_weight(layers), activation_range()
    quantised, scale = quantised_rows(x, top, zero_point)
    y = torch.ops.onednn.qlinear_pointwise(
        quantised, 1.0, zero_point, weight.packed, weight.scale, weight.zero_point, None,
        1.0, 0, torch.float32, "none", [], "",
    )  # fmt: skip
    return torch.addcmul(weight.bias, y, scale, out=y)


def quantised_rows(x: torch.Tensor, top: int, zero_point: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Quantises each row of `x` (`[N, D]`) so that its largest absolute value becomes `top`.

    Returns uint8 `[N, D]`, in which `zero_point` stands for 0, and the scales, `[N, 1]` float32. A row with NaN or
    infinity has a scale that is not finite, so that its products are NaN.
    """
    exact = x.float()
    largest = torch.maximum(exact.amax(1, keepdim=True), exact.amin(1, keepdim=True).neg_())
    scale = largest.div_(top).clamp_min_(torch.finfo(torch.float32).tiny)
    rounded = torch.mul(exact, scale.reciprocal(), out=exact if exact is not x else None).round_()
    if zero_point < 128:
        return rounded.add_(zero_point).to(torch.int8).view(torch.uint8), scale
    # PyTorch converts to int8 three times faster than to uint8. Changing the highest bit adds 128.
    return rounded.to(torch.int8).bitwise_xor_(-128).view(torch.uint8), scale


@functools.cache
def activation_range() -> tuple[int, int]:
    """The largest quantised activation and the number that stands for 0: 127 and 128; with 7 bits 63 and 64."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    eight_bits = any(capabilities.get(name) for name in VNNI) and not _saturates()
    return (127, 128) if eight_bits else (63, 64)


def _saturates() -> bool:
    """Whether products of the largest numbers are summed wrongly, as by oneDNN without VNNI."""
    weight, x = torch.full((64, 256), 127, dtype=torch.int8), torch.full((64, 256), 255, dtype=torch.uint8)
    packed, scale = torch.ops.onednn.qlinear_prepack(weight, None), torch.ones(64)
    zero_point = torch.zeros(64, dtype=torch.int64)
    product = torch.ops.onednn.qlinear_pointwise(
        x, 1.0, 0, packed, scale, zero_point, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return not bool((product == 127 * 255 * 256).all())


@dataclass
class _QuantisedWeight:
    state: list[tuple]  # of the exact weights when they were quantised
    packed: torch.Tensor  # int8, in oneDNN's layout
    scale: torch.Tensor  # [D_out] float32
    zero_point: torch.Tensor  # [D_out] int64, zeros
    bias: torch.Tensor  # [D_out] float32


# By the first of the layers and their number. Not an attribute of the layers: tensors in oneDNN's layout can be
# neither copied nor pickled.
_QUANTISED_WEIGHTS: weakref.WeakKeyDictionary[Int8Linear, dict[int, _QuantisedWeight]] = weakref.WeakKeyDictionary()


def state_of(tensor: torch.Tensor) -> tuple:
    """What changes with the values of a matrix or vector.

    A change through `tensor.data` is noticed only if it changes one of 128 values that are spread over the tensor, as
    a change of the whole tensor does. To compare all values would take longer than a copy of the weights saves.
    """
    values = tensor.view(-1) if tensor.is_contiguous() else tensor[0]
    some = values[:: values.shape[0] // 128 | 1].tolist()  # an odd step does not stay in one column
    return some, tensor.data_ptr(), tensor.dtype, 0 if tensor.is_inference() else tensor._version


def _state(layers: Sequence[Int8Linear]) -> list[tuple]:
    return [state_of(tensor) for layer in layers for tensor in (layer.weight, layer.bias) if tensor is not None]


def _quantised_weight(layers: Sequence[Int8Linear]) -> _QuantisedWeight:
    """The weights in int8, one below the other, quantised again when an exact one has changed."""
    stored = _QUANTISED_WEIGHTS.setdefault(layers[0], {})
    known, state = stored.get(len(layers)), _state(layers)
    if known is None or known.state != state:
        weight = torch.cat([layer.weight.detach().float() for layer in layers])
        scale = weight.abs().amax(1).div_(127).clamp_min_(torch.finfo(torch.float32).tiny)
        packed = torch.ops.onednn.qlinear_prepack((weight / scale[:, None]).round_().to(torch.int8), None)
        zeros = torch.zeros(len(scale), dtype=torch.int64)
        biases = [zeros[: layer.out_features] if layer.bias is None else layer.bias.detach() for layer in layers]
        known = _QuantisedWeight(state, packed, scale, zeros, torch.cat([bias.float() for bias in biases]))
        stored[len(layers)] = known
    return known
