"""The products of a layer on a CPU: pieces, reused memory, weights in oneDNN's layout."""

import copy
import pickle
from unittest import mock

import pytest
import torch
from torch import nn

from transformer_revised.models.ltp import cpu_products
from transformer_revised.models.ltp.product_choice import uses_onednn
from transformer_revised.models.ltp.workspace import Workspace

from .tiny import random_batch, tiny_model

needs_onednn = pytest.mark.skipif(not uses_onednn(torch.bfloat16), reason="oneDNN has no bfloat16 on this machine")


@pytest.mark.parametrize("rows, lengths", [
    (0, [0]),
    (130, [130]),
    (512, [512]),
    (513, [272, 241]),
    (1100, [368, 368, 364]),
])  # fmt: skip
def test_pieces(rows, lengths):
    with torch.no_grad():
        found = cpu_products.pieces(torch.zeros(rows, 1))
    assert [place.stop - place.start for place in found] == lengths
    assert found[0].start == 0 and all(a.stop == b.start for a, b in zip(found, found[1:]))
    assert cpu_products.pieces(torch.zeros(rows, 1)) == [slice(0, rows)]  # with gradients


def test_there_are_few_sizes_of_products():
    with torch.no_grad():
        pieces = [p for n in range(1, 3000) for p in cpu_products.pieces(torch.zeros(1).expand(n))]
    sizes = {cpu_products.product_rows(p.stop - p.start) for p in pieces}
    assert sizes == {1, 8, *range(16, 513, 16)}
    assert all(0 <= cpu_products.product_rows(p.stop - p.start) - (p.stop - p.start) < 16 for p in pieces)


def test_rows_are_padded_with_zeros():
    space, x = Workspace(), torch.randn(20, 3)
    space.take("rows", (32, 3), x).fill_(torch.nan)
    with torch.no_grad():
        padded = cpu_products.padded_rows(x, space, "rows")
        assert cpu_products.padded_rows(x[:16], space, "rows").shape == (16, 3)
    assert torch.equal(padded, torch.cat([x, torch.zeros(12, 3)]))
    assert cpu_products.padded_rows(x, space, "rows") is x  # with gradients


@pytest.mark.parametrize("threshold", [0.0, 0.6])
def test_pieces_change_nothing(threshold):
    model = tiny_model(final_token_threshold=threshold)
    batch = random_batch([61, 40, 3])
    with torch.no_grad():
        whole = model(**batch)
        with mock.patch.multiple(cpu_products, PIECE_TOKENS=16, ROW_STEP=4):
            cut = model(**batch)
    torch.testing.assert_close(cut.logits, whole.logits, rtol=0, atol=1e-6)
    lengths = [[layer.tolist() for layer in output.ffn_sentence_lengths] for output in (whole, cut)]
    assert lengths[0] == lengths[1] and (sum(lengths[0][1]) < 104) == bool(threshold)


def test_only_a_cpu_computes_in_pieces():
    """The meta device replaces a GPU."""
    layer, tokens = tiny_model().longformer.encoder.layer[0], 2 * cpu_products.PIECE_TOKENS + 69
    for device, calls in (("cpu", 3), ("meta", 1)):
        layer.to(device)
        blocks = layer.attention.output, layer.intermediate, layer.output
        context, residual = torch.zeros(tokens, 4, 8, device=device), torch.zeros(tokens, 32, device=device)
        with mock.patch.object(layer.output, "forward", wraps=layer.output.forward) as output, torch.no_grad():
            states = cpu_products.after_attention(*blocks, context, residual)
        assert output.call_count == calls and len(states) == tokens


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_gradient_checkpointing_drops_the_same(use_reentrant):
    """The first pass of a reentrant checkpoint runs without gradients, in training mode. In float64 nothing but other
    dropout masks can make a difference above 1e-9: oneDNN and PyTorch round float32 products differently.
    """
    model = tiny_model(hidden_dropout_prob=0.5, final_token_threshold=0.0).double().train()
    batch, grads = random_batch([200, 90]) | {"labels": torch.tensor([0, 1])}, []
    for checkpointing in (False, True):
        model.zero_grad()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
            model.get_input_embeddings().weight.requires_grad_()
        torch.manual_seed(3)
        model(**batch).loss.backward()
        grads.append(model.longformer.encoder.layer[1].output.dense.weight.grad.clone())
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-9, atol=1e-12)


def test_a_pass_does_not_overwrite_what_another_returned():
    model = tiny_model(final_token_threshold=0.0)
    seen = []
    model.longformer.encoder.layer[0].register_forward_hook(lambda module, inputs, output: seen.append(output[0]))
    with torch.no_grad():
        first = model(**random_batch([30, 20], seed=1), output_hidden_states=True)
        returned = *first.hidden_states, first.logits, seen[0]
        copied = [state.clone() for state in returned]
        model(**random_batch([30, 20], seed=2), output_hidden_states=True)
    assert all(torch.equal(state, copy) for state, copy in zip(returned, copied))


@needs_onednn
def test_prepacked_weights_give_the_same():
    model = tiny_model(final_token_threshold=0.6).to(torch.bfloat16)
    batch = random_batch([61, 40, 3])
    with torch.no_grad():
        plain = model(**batch).logits
        model.prepack_weights()
        prepacked = [model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        assert all(torch.equal(other(**batch).logits, plain) for other in prepacked)
    assert cpu_products._weight(model.longformer.encoder.layer[0].intermediate.dense).layout == torch._mkldnn


@needs_onednn
def test_prepacked_weights_follow_changes():
    layer = nn.Linear(32, 64).to(torch.bfloat16)
    cpu_products.prepack(layer)
    x = torch.randn(20, 32).to(torch.bfloat16)

    def check():
        with torch.no_grad():
            torch.testing.assert_close(
                cpu_products.linear(layer, x), nn.functional.linear(x, layer.weight, layer.bias)
            )

    check()
    with torch.no_grad():
        layer.weight.mul_(2)  # as an optimiser
    check()
    layer.load_state_dict({name: torch.randn_like(t) for name, t in layer.state_dict().items()})
    check()
    layer.weight.data = torch.randn_like(layer.weight)
    check()
    layer.weight.data.copy_(torch.randn_like(layer.weight))  # as an average of weights; changes no version number
    check()
    layer.weight.data.mul_(0.5)
    check()
    layer.weight.requires_grad_()
    cpu_products.linear(layer, x).sum().backward()
    assert layer.weight.grad is not None
