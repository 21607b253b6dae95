import pytest
import torch

from transformer_revised import LTPConfig, LTPForSequenceClassification, LTPModel
from transformer_revised.models.ltp import configuration_ltp
from transformer_revised.models.ltp.packed_sequence import PackedSequence
from transformer_revised.models.ltp.prune_modules import (
    PRUNERS,
    AbsoluteThresholdPruner,
    TokenPruner,
    TopKPruner,
)

from .tiny import tiny_config


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
    module = AbsoluteThresholdPruner(LTPConfig(score_normalization=normalization), 1)
    torch.testing.assert_close(module.scores(importance, packed, num_heads=2), torch.tensor(expected))


def test_hard_mask_keeps_the_threshold_itself_and_global_tokens(packed):
    scores = torch.tensor([0.0, 0.2, 0.1999, 0.9, 0.0, 0.1])
    assert pruner().hard_mask(scores, packed).tolist() == [True, True, False, True, True, False]


def test_the_worked_example_of_the_documentation():
    """docs/model.md: six tokens, uniform attention, window of 1 to each side, two layers."""
    torch.manual_seed(0)
    config = tiny_config(num_hidden_layers=2, num_attention_heads=1, attention_window=2, final_token_threshold=0.8)
    model = LTPModel(config).eval()
    for layer in model.encoder.layer:
        torch.nn.init.zeros_(layer.attention.self.query.weight)
    output = model(torch.tensor([[0, 5, 6, 7, 8, 9]]), output_pruning=True)
    assert output.pruning_scores[0] is None and output.kept_tokens[0].all()
    received = torch.tensor([[23 / 12, 13 / 12, 5 / 6, 3 / 4, 5 / 6, 7 / 12]])
    torch.testing.assert_close(output.pruning_scores[1], received / received.max())
    assert output.kept_tokens[1].tolist() == [[True, True, True, False, True, False]]


@pytest.mark.parametrize("mode", ["absolute_threshold", "rising_threshold"])
@pytest.mark.parametrize("first, expected", [(False, [0, 0.1, 0.2, 0.3]), (True, [0.1, 0.2, 0.3, 0.4])])
def test_thresholds_rise_from_the_second_layer_or_from_the_first(mode, first, expected):
    config = tiny_config(prune_mode=mode, final_token_threshold=0.4, prune_first_layer=first)
    pruners = [PRUNERS[mode](config, layer) for layer in range(4)]
    assert [pruner.threshold.item() for pruner in pruners] == pytest.approx(expected)
    assert [pruner.is_active for pruner in pruners] == [first, True, True, True]


def test_topk_schedule_and_cut(packed):
    rates = [TopKPruner(LTPConfig(num_hidden_layers=7, token_keep_rate=0.2), i).keep_rate for i in range(7)]
    assert rates == pytest.approx([1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    long = [TopKPruner(LTPConfig(num_hidden_layers=40, token_keep_rate=0.5), i).is_active for i in range(8)]
    assert long == [False] * 6 + [True] * 2  # 15 % of 40 layers
    nothing = LTPConfig(num_hidden_layers=4, token_keep_rate=0.0)
    assert TopKPruner(nothing, 3).keep_rate == 0.01

    half = TopKPruner(LTPConfig(num_hidden_layers=4, token_keep_rate=0.5), 3)
    scores = torch.tensor([0.1, 0.3, 0.9, 0.3, 0.2, 0.8])  # first and fifth are global
    assert half.hard_mask(scores, packed).tolist() == [True, False, True, False, True, False]
    three_quarters = TopKPruner(LTPConfig(num_hidden_layers=4, token_keep_rate=0.75), 3)
    assert three_quarters.hard_mask(scores, packed).tolist() == [True, True, True, False, True, True]
    left = packed.select(torch.tensor([0, 2, 4]))  # half of the four it started with, not of the two it has
    assert half.hard_mask(scores[[0, 2, 4]], left).tolist() == [True, True, True]
    with pytest.raises(ValueError, match="no soft mask"):
        half.soft_mask(scores, 0.1)


def test_a_new_mode_is_one_class(monkeypatch):
    """The example of docs/model.md."""

    class RandomPruner(TokenPruner):
        def __init__(self, config, layer_id):
            super().__init__()
            self.keep_rate = config.token_keep_rate

        @property
        def is_active(self):
            return self.keep_rate < 1

        def hard_mask(self, scores, packed):
            return (torch.rand_like(scores) < self.keep_rate) | packed.is_global

    monkeypatch.setitem(PRUNERS, "random", RandomPruner)
    monkeypatch.setattr(configuration_ltp, "PRUNE_MODES", (*configuration_ltp.PRUNE_MODES, "random"))
    model = LTPModel(tiny_config(prune_mode="random", token_keep_rate=0.5)).eval()
    alive = [int(n) for n in model(torch.full((1, 200), 7)).ffn_sentence_lengths]
    assert 70 < alive[0] < 130 and alive[0] > alive[1] > alive[2] > alive[3] > 0


@pytest.mark.parametrize("cls", [LTPForSequenceClassification, LTPModel])
def test_a_model_knows_its_pruners_and_thresholds(cls):
    model = cls(tiny_config(final_token_threshold=0.4))
    offsets = model.learned_thresholds()
    assert len(offsets) == len(model.pruners()) == 4
    prefix = "" if cls is LTPModel else "longformer."
    key = prefix + "encoder.layer.{}.attention.self.pruner.keep_threshold"
    assert all(model.get_parameter(key.format(i)) is offset for i, offset in enumerate(offsets))
    with torch.no_grad():
        for i, offset in enumerate(offsets):
            offset.fill_(0.01 * i)
    assert model.thresholds().dtype == torch.float32
    assert model.thresholds().tolist() == pytest.approx([0.0, 0.11, 0.22, 0.33])
    assert not model.thresholds().requires_grad


@pytest.mark.parametrize("mode, has_thresholds", [(None, False), ("topk", False), ("rising_threshold", True)])
def test_a_layer_without_a_threshold_has_nan(mode, has_thresholds):
    model = LTPModel(tiny_config(prune_mode=mode))
    assert [pruner is None for pruner in model.pruners()] == [mode is None] * 4
    assert model.thresholds().isnan().tolist() == [not has_thresholds] * 4
    assert model.learned_thresholds() == []
