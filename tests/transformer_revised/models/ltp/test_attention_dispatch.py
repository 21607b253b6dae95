"""`attn_implementation`: which implementation a model uses, from its setting, its device and its outputs."""

import contextlib
from unittest import mock

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from transformer_revised import LTPForSequenceClassification, LTPModel
from transformer_revised.models.ltp import attention_dispatch
from transformer_revised.models.ltp.attention_dispatch import IMPLEMENTATIONS, choose_implementation
from transformer_revised.models.ltp.flops_ltp import executed_flops, layer_counts, unpruned_flops
from transformer_revised.models.ltp.packed_sequence import PackedSequence

from .test_attention_kernels import as_on_a_gpu
from .tiny import random_batch, tiny_model


@pytest.mark.parametrize("requested, device, output_attentions, used", [
    (None, "cpu", False, "eager"),
    (None, "mps", False, "eager"),
    (None, "cuda", False, "sdpa"),
    (None, "cuda", True, "eager"),
    ("eager", "cuda", False, "eager"),
    ("sdpa", "cpu", False, "sdpa"),
    ("sdpa", "cpu", True, "eager"),
])  # fmt: skip
def test_choice(requested, device, output_attentions, used):
    assert choose_implementation(requested, torch.device(device), output_attentions) == used


def used(model) -> set[str]:
    """The kernels that a forward pass calls."""
    kernels = {name: getattr(attention_dispatch, name) for name in ("tiled_attention", "banded_attention")}
    with contextlib.ExitStack() as stack, torch.no_grad():
        mocks = {
            name: stack.enter_context(mock.patch.object(attention_dispatch, name, wraps=kernel))
            for name, kernel in kernels.items()
        }
        model(**random_batch([30, 20]))
    return {name for name, kernel in mocks.items() if kernel.called}


def test_set_and_unset():
    model = tiny_model()
    assert used(model) == {"tiled_attention"}
    model.set_attn_implementation("sdpa")
    assert used(model) == {"banded_attention"}
    model.longformer.set_attn_implementation(None)
    assert used(model) == {"tiled_attention"}


def test_loading_and_saving(tmp_path):
    tiny_model().save_pretrained(tmp_path / "saved")
    for cls in (LTPForSequenceClassification, LTPModel, AutoModelForSequenceClassification):
        model = cls.from_pretrained(tmp_path / "saved", attn_implementation="sdpa").eval()
        assert used(model) == {"banded_attention"}
    model.save_pretrained(tmp_path / "again")
    assert "attn" not in (tmp_path / "again" / "config.json").read_text()
    assert used(LTPForSequenceClassification.from_pretrained(tmp_path / "again").eval()) == {"tiled_attention"}


@pytest.mark.parametrize("wrong", ["flash_attention_2", "flex_attention", "paged|eager"])
def test_wrong_values(wrong, tmp_path):
    model = tiny_model()
    with pytest.raises(ValueError, match=r"is not supported.*eager, sdpa, and None"):
        model.set_attn_implementation(wrong)
    assert model.config._attn_implementation is None
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"is not supported.*eager, sdpa, and None"):
        LTPForSequenceClassification.from_pretrained(tmp_path, attn_implementation=wrong)


def test_attention_weights_are_returned_with_every_setting():
    model, batch = tiny_model(), random_batch([60, 33])
    expected = model(**batch, output_attentions=True)
    model.set_attn_implementation("sdpa")
    with as_on_a_gpu("cpu"):
        output = model(**batch, output_attentions=True)
    for name in ("attentions", "global_attentions"):
        for a, e in zip(output[name], expected[name]):
            torch.testing.assert_close(a, e)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_flops_without_pruning(implementation):
    model, batch = tiny_model(prune_mode=None), random_batch([120, 50])
    model.set_attn_implementation(implementation)
    with torch.no_grad():
        layers = layer_counts(model(**batch))
    packed = PackedSequence.from_masks(batch["attention_mask"], None)
    assert executed_flops(model.config, layers).tolist() == unpruned_flops(model.config, packed).tolist()
    full = unpruned_flops(model.config, packed, full=True)
    model.set_attn_implementation("eager")
    assert unpruned_flops(model.config, packed, full=True).tolist() == full.tolist()
