import pytest
import torch

from transformer_revised import LTPConfig
from transformer_revised.models.ltp.packed_sequence import PackedSequence
from transformer_revised.models.ltp.prune_modules import AbsoluteThresholdPruner, normalize_importance


@pytest.fixture
def packed():
    return PackedSequence.from_masks(torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]), None)


def pruner(layer=2, learned=0.0, final=0.4):
    module = AbsoluteThresholdPruner(LTPConfig(num_hidden_layers=4, final_token_threshold=final), layer)
    torch.nn.init.constant_(module.keep_threshold, learned)
    return module


@pytest.mark.parametrize(
    "normalization, expected",
    [
        ("max", [1.0, 0.5, 0.25, 0.25, 1.0, 1 / 3]),
        ("mean", [0.5, 0.25, 0.125, 0.125, 0.75, 0.25]),
        ("rel", [2.0, 1.0, 0.5, 0.5, 1.5, 0.5]),
    ],
)
def test_normalizations(packed, normalization, expected):
    importance = torch.tensor([4.0, 2.0, 1.0, 1.0, 3.0, 1.0])
    torch.testing.assert_close(normalize_importance(importance, packed, 2, normalization), torch.tensor(expected))


def test_threshold_rises_with_the_layer_and_adds_what_was_learned():
    assert pruner(layer=0).threshold.item() == 0
    assert pruner(layer=3).threshold.item() == pytest.approx(0.3)
    assert pruner(layer=3, learned=0.05).threshold.item() == pytest.approx(0.35)


def test_only_a_threshold_of_exactly_zero_is_inactive():
    assert not pruner(layer=0).is_active
    assert pruner(layer=0, learned=-0.1).is_active
    assert pruner(layer=1).is_active


def test_hard_mask_keeps_the_threshold_itself_and_global_tokens(packed):
    scores = torch.tensor([0.0, 0.2, 0.1999, 0.9, 0.0, 0.1])
    assert pruner().hard_mask(scores, packed).tolist() == [True, True, False, True, True, False]


def test_hard_mask_at_a_negative_threshold_still_drops_what_got_nothing(packed):
    scores = torch.tensor([1.0, 0.0, 9e-6, 2e-5, 1.0, 0.5])
    assert pruner(learned=-1.0).hard_mask(scores, packed).tolist() == [True, False, False, True, True, True]


def test_soft_mask_and_its_gradient():
    module = pruner()
    scores = torch.tensor([0.2, 0.3, 0.1])
    mask = module.soft_mask(scores, temperature=0.1)
    torch.testing.assert_close(mask, torch.tensor([0.0, 1.0, -1.0]).sigmoid())
    mask[0].backward()
    torch.testing.assert_close(module.keep_threshold.grad, torch.tensor(-0.25 / 0.1))


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"prune_mode": "random"}, "`prune_mode` has to be None or one of absolute_threshold"),
        ({"score_normalization": "sum"}, "`score_normalization` has to be one of max, mean, rel"),
        ({"temperature": 0.0}, "`temperature` has to be positive"),
    ],
)
def test_configuration_refuses(setting, message):
    with pytest.raises(Exception, match=message):
        LTPConfig(**setting)
