"""Products in int8: their error, one token's independence of others, copies, and what is refused."""

import copy
import pickle

import pytest
import torch
from torch import nn

from transformer_revised.models.ltp import int8_products
from transformer_revised.models.ltp.configuration_ltp import LTPConfig
from transformer_revised.models.ltp.int8_products import Int8Linear, is_int8_supported, quantised_rows
from transformer_revised.models.ltp.modeling_ltp_heads import LTPForSequenceClassification

pytestmark = pytest.mark.skipif(not is_int8_supported(), reason="this machine has no int8 products")


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return nn.Linear(96, 64)


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = LTPConfig(
        vocab_size=60, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=80, attention_window=[16] * 3, pad_token_id=1, prune_mode="absolute_threshold",
        final_token_threshold=0.1,
    )  # fmt: skip
    return LTPForSequenceClassification(config).eval()


@pytest.mark.parametrize(("top", "zero_point"), [(127, 128), (63, 64)])
def test_rows_are_quantised_one_by_one(top, zero_point):
    x = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0], [300.0, 0.0, -100.0]])
    before = x.clone()
    quantised, scale = quantised_rows(x, top, zero_point)
    assert torch.equal(x, before) and quantised.dtype == torch.uint8
    assert quantised[:, 1].tolist() == [zero_point - top, zero_point, zero_point]
    assert scale[::2].flatten().tolist() == pytest.approx([2 / top, 300 / top])
    assert ((quantised.float() - zero_point) * scale - x).abs().max() <= 150 / top + 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_has_the_error_of_its_numbers_of_bits(layer, dtype):
    x, residual = torch.randn(40, 96).to(dtype), torch.randn(40, 64).to(dtype)
    exact = nn.functional.linear(x.float(), layer.weight, layer.bias)
    with torch.no_grad():
        quantised = Int8Linear(layer)
        product, gelu = quantised(x), quantised.multiply(x, gelu=True)
        added = quantised.multiply(x, residual=residual)
    bound = 0.015 if int8_products.activation_range()[0] == 127 else 0.03
    for found, expected in (
        (product, exact), (gelu, nn.functional.gelu(exact)), (added, exact + residual.float())
    ):  # fmt: skip
        assert 0 < (found.float() - expected).norm() / expected.norm() < bound
    assert product.dtype == added.dtype == dtype and gelu.dtype == torch.float32


def test_the_largest_numbers_are_not_saturated():
    large = nn.Linear(256, 64)
    nn.init.ones_(large.weight)
    nn.init.zeros_(large.bias)
    with torch.no_grad():
        assert torch.allclose(Int8Linear(large)(torch.ones(64, 256)), torch.full((64, 64), 256.0), rtol=1e-3)


def test_seven_bits_without_vnni(monkeypatch):
    int8_products.activation_range.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", "avx2": True})
    assert int8_products.activation_range() == (63, 64)
    int8_products.activation_range.cache_clear()


def test_a_token_does_not_depend_on_the_others_of_the_batch(layer):
    x = torch.randn(40, 96)
    with torch.no_grad():
        quantised = Int8Linear(layer)
        together, alone = quantised(torch.cat([x, 1000 * x])), quantised(x)
    assert torch.allclose(together[:40], alone, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (5,), (0,), (2, 3)])
def test_any_leading_shape(layer, shape):
    x = torch.randn(*shape, 96)
    with torch.no_grad():
        product = Int8Linear(layer)(x)
    assert product.shape == (*shape, 64)
    torch.testing.assert_close(product, nn.functional.linear(x, layer.weight, layer.bias).detach(), rtol=0, atol=0.1)


def test_not_a_number_stays_one(layer):
    with torch.no_grad():
        product = Int8Linear(layer)(torch.stack([torch.ones(96), torch.full((96,), torch.nan)]))
    assert product[0].isfinite().all() and product[1].isnan().all()


def test_a_changed_weight_is_quantised_again(layer):
    x = torch.randn(20, 96)
    with torch.no_grad():
        quantised = Int8Linear(layer)
        before = quantised(x)
        quantised.weight.mul_(2)
        quantised.bias.mul_(2)
        assert torch.allclose(quantised(x), 2 * before, rtol=1e-5, atol=1e-5)
        for tensor in (quantised.weight, quantised.bias):  # as an average of weights; changes no version number
            tensor.data.mul_(2)
        assert torch.allclose(quantised(x), 4 * before, rtol=1e-5, atol=1e-5)
        quantised.bias.data.add_(3)
        assert torch.allclose(quantised(x), 4 * before + 3, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 96), (96,), (3, 5), (1,)])
def test_small_changes_of_a_whole_tensor_are_noticed(shape):
    """As merging an adapter: in bfloat16 most of the values stay as they are."""
    tensor = torch.ones(shape, dtype=torch.bfloat16)
    before = int8_products.state_of(tensor)
    assert int8_products.state_of(tensor) == before
    changes = torch.zeros(tensor.numel())
    changes[:: max(tensor.numel() // 1000, 2)] = 0.1
    tensor.data += changes.view(shape)
    assert int8_products.state_of(tensor) != before


def test_hooks_are_called(model):
    model.quantize_int8()
    ids, seen = torch.randint(5, 60, (1, 20)), []
    handles = [
        module.register_forward_hook(lambda module, _, output: seen.append(output.shape[-1]))
        for module in model.modules()
        if type(module) is Int8Linear
    ]
    with torch.no_grad():
        hooked = model(ids).logits
        assert len(seen) == 2 * 6 + 3  # the last layer needs no projections of all tokens
        for handle in handles:
            handle.remove()
        assert torch.allclose(model(ids).logits, hooked, atol=1e-4)


def test_logits_and_kept_tokens_are_near_those_in_float32(model):
    ids = torch.randint(5, 60, (6, 50))
    with torch.no_grad():
        exact = model(ids, output_pruning=True)
        model.quantize_int8()
        found = model(ids, output_pruning=True)
        alone = model(ids[:1]).logits
    assert 0 < (found.logits - exact.logits).abs().max() < 0.01
    assert all((a != b).float().mean() < 0.05 for a, b in zip(found.kept_tokens, exact.kept_tokens))
    # Attention has other last digits in another batch, so that a few activations are rounded the other way.
    assert torch.allclose(found.logits[:1], alone, atol=2e-4)
    assert {scores.dtype for scores in found.pruning_scores if scores is not None} == {torch.float32}
    assert model.is_int8 and model.dtype == torch.float32 and model.thresholds().dtype == torch.float32


def test_copies_pickles_and_saved_weights(model, tmp_path):
    ids, weights = torch.randint(5, 60, (2, 30)), {name: x.clone() for name, x in model.state_dict().items()}
    model.quantize_int8()
    model.quantize_int8()  # changes nothing
    with torch.no_grad():
        logits = model(ids).logits
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert other.is_int8 and torch.equal(other(ids).logits, logits)
    assert "int8" in repr(model.longformer.encoder.layer[0].attention.self.query)
    model.save_pretrained(tmp_path)
    saved = LTPForSequenceClassification.from_pretrained(tmp_path).state_dict()
    assert saved.keys() == weights.keys() and all(torch.equal(saved[name], x) for name, x in weights.items())


def test_gradients_are_those_of_the_exact_weights(model):
    embeds = torch.randn(1, 20, 64, requires_grad=True)
    (exact,) = torch.autograd.grad(model(inputs_embeds=embeds).logits[0, 1], embeds)
    model.quantize_int8()
    (found,) = torch.autograd.grad(model(inputs_embeds=embeds).logits[0, 1], embeds)
    assert torch.equal(found, exact) and exact.abs().sum() > 0


def test_what_is_refused(model, layer):
    ids = torch.randint(5, 60, (1, 20))
    model.train()
    with pytest.raises(ValueError, match="the model is in training mode"):
        model.quantize_int8()
    model.eval().quantize_int8()
    model.train()
    with pytest.raises(RuntimeError, match="a model in int8 cannot be trained"):
        model(ids)
    moved = model.longformer.encoder.layer[0].output.dense.to("meta")
    with pytest.raises(RuntimeError, match="int8 is computed on x86 CPUs only, and the model is on meta"):
        moved(torch.ones(1, 128, device="meta"))
    with pytest.raises(ValueError, match="only a plain linear layer can be quantised, not Int8Linear"):
        Int8Linear(Int8Linear(layer))
    with pytest.raises(ValueError, match="the model is on meta"):
        Int8Linear(nn.Linear(4, 4, device="meta"))
