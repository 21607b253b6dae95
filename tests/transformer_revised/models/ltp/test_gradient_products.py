"""Both passes of a layer's blocks on a CPU, against the library's."""

from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_full_backward_hook

from transformer_revised.models.ltp import gradient_products
from transformer_revised.models.ltp.gradient_products import (
    dense_and_norm_with_gradient,
    linear_with_gradient,
    takes_own_backward,
)

from .tiny import random_batch, tiny_model

TOLERANCES = {torch.float64: (1e-9, 1e-10), torch.float32: (1e-4, 1e-5), torch.bfloat16: (0.05, 0.05)}


def block(dtype=torch.float32):
    torch.manual_seed(0)
    layers = nn.Linear(24, 16), nn.Dropout(0.0), nn.LayerNorm(16)
    for layer in layers:
        layer.to(dtype)
    return layers


def inputs(rows, dtype=torch.float32):
    torch.manual_seed(1)
    return torch.randn(rows, 24, dtype=dtype, requires_grad=True), torch.randn(
        rows, 16, dtype=dtype, requires_grad=True
    )


def gradients(y, layers, given):
    torch.manual_seed(2)
    (y * torch.randn(y.shape, dtype=y.dtype)).sum().backward()
    found = [
        t.grad.clone() for t in (*given, *(p for layer in layers for p in layer.parameters())) if t.grad is not None
    ]
    for tensor in (*given, *(p for layer in layers for p in layer.parameters())):
        tensor.grad = None
    return found


def assert_same(ours, theirs, dtype):
    assert len(ours) == len(theirs)
    rtol, atol = TOLERANCES[dtype]
    for a, b in zip(ours, theirs):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol * max(1.0, b.abs().max().item()))


@pytest.mark.parametrize("rows", [1, 70])
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_linear(rows, gelu, dtype):
    dense, _, _ = block(dtype)
    x, _ = inputs(rows, dtype)
    ours = linear_with_gradient(dense, x, gelu=gelu)
    ours = [ours.detach(), *gradients(ours, [dense], [x])]
    theirs = nn.functional.gelu(dense(x)) if gelu else dense(x)
    assert_same(ours, [theirs.detach(), *gradients(theirs, [dense], [x])], dtype)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dense_and_norm(dtype, autocast):
    if autocast and dtype == torch.float64:
        pytest.skip("autocast is for float32")
    dense, dropout, norm = block(dtype)
    x, residual = inputs(70, dtype)
    with (
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast),
        mock.patch.multiple(gradient_products, NORM_ROWS=32, GRADIENT_ROWS=32),
    ):
        assert takes_own_backward(x, dense, dropout, norm, residual=residual)
        y = dense_and_norm_with_gradient(dense, dropout, norm, x, residual)
    ours = [y.detach(), *gradients(y, [dense, norm], [x, residual])]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        y = norm(dropout(dense(x)) + residual)
    theirs = [y.detach(), *gradients(y, [dense, norm], [x, residual])]
    assert_same(ours, theirs, torch.bfloat16 if autocast else dtype)


def test_dropped_elements_have_no_gradient_and_the_others_are_scaled():
    """With the identity as the product, `y - residual` before the norm is the dropped input."""
    dense, norm, dropout = nn.Linear(32, 32), nn.LayerNorm(32), nn.Dropout(0.25)
    with torch.no_grad():
        dense.weight.copy_(torch.eye(32))
        dense.bias.zero_()
    x = torch.ones(600, 32, requires_grad=True)
    residual = torch.randn(600, 32, requires_grad=True)
    dense_and_norm_with_gradient(dense, dropout, norm, x, residual)[:, ::2].sum().backward()
    kept = x.grad != 0
    assert 0.7 < kept.float().mean() < 0.8
    torch.testing.assert_close(x.grad[kept], residual.grad[kept] / 0.75, rtol=1e-4, atol=1e-6)


def test_frozen_weights_get_no_gradient():
    dense, dropout, norm = block()
    dense.weight.requires_grad_(False)
    norm.bias.requires_grad_(False)
    x, residual = inputs(5)
    with mock.patch.object(gradient_products, "_weight_gradient") as product:
        dense_and_norm_with_gradient(dense, dropout, norm, x, residual).sum().backward()
        linear_with_gradient(dense, x).sum().backward()
    assert not product.called and dense.weight.grad is None and norm.bias.grad is None
    assert dense.bias.grad is not None and norm.weight.grad is not None and x.grad is not None


def test_a_layer_whose_weight_is_frozen_does_not_keep_its_input():
    dense, dropout, norm = block()
    dense.weight.requires_grad_(False)
    x, residual = inputs(5)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.shape) or tensor, lambda x: x):
        dense_and_norm_with_gradient(dense, dropout, norm, x, residual)
        linear_with_gradient(dense, x)
    assert x.shape not in kept and residual.shape in kept


def test_a_second_derivative_is_an_error():
    dense, _, _ = block()
    x, _ = inputs(5)
    (grad,) = torch.autograd.grad(linear_with_gradient(dense, x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


class _Adapted(nn.Linear):
    pass


def test_which_layers_are_left_to_the_library():
    x = torch.zeros(3, 24)
    assert takes_own_backward(x, nn.Linear(24, 16))
    assert not takes_own_backward(x, _Adapted(24, 16))
    assert not takes_own_backward(x, nn.Linear(24, 16, bias=False))
    assert not takes_own_backward(x, nn.Linear(24, 16).double())
    assert not takes_own_backward(x[:0], nn.Linear(24, 16))
    assert not takes_own_backward(x, nn.Linear(24, 16, device="meta"))
    for register in ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"):
        layer = nn.Linear(24, 16)
        getattr(layer, register)(lambda *_: None)
        assert not takes_own_backward(x, layer)
    for register in (register_module_forward_hook, register_module_full_backward_hook):  # as profilers do
        handle = register(lambda *_: None)
        assert not takes_own_backward(x, nn.Linear(24, 16))
        handle.remove()
    assert takes_own_backward(x, nn.Linear(24, 16))
    with torch.no_grad():
        assert not takes_own_backward(x, nn.Linear(24, 16))


def test_soft_training_with_all_states_has_the_same_gradients():
    """The last layer of soft training computes the first token only; asked for hidden states, it computes all."""
    model = tiny_model(
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, final_token_threshold=0.3, temperature=0.1
    ).train()
    model.set_hard_masking(False)
    batch, found = random_batch([60, 33]) | {"labels": torch.tensor([0, 1])}, []
    for all_states in (False, True):
        model.zero_grad()
        output = model(**batch, output_hidden_states=all_states, output_pruning=True)
        (output.loss + output.pruning_regularizer).backward()
        found.append((output, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    (first, ours), (every, theirs) = found
    torch.testing.assert_close(first.logits, every.logits)
    for a, b in zip(first.soft_masks, every.soft_masks):
        torch.testing.assert_close(a, b, equal_nan=True)
    assert any("keep_threshold" in name for name in ours)
    for name, grad in theirs.items():
        torch.testing.assert_close(ours.get(name, torch.zeros_like(grad)), grad, rtol=1e-4, atol=1e-6)
