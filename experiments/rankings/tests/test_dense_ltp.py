"""The dense forward pass agrees with the packed model's, hard and soft."""

import pytest
import torch

from experiments.rankings.dense_ltp import Masking, dense_forward
from transformer_revised import LTPConfig, LTPForSequenceClassification

# thresholds of the four layers at which about half of the tokens leave
THRESHOLDS = {"max": (0.1, 0.3, 0.5, 0.0), "mean": (0.008, 0.01, 0.02, 0.0), "rel": (0.8, 0.7, 0.6, 0.0)}
TEMPERATURE = {"max": 0.1, "mean": 0.01, "rel": 0.1}


def make_model(normalization: str) -> LTPForSequenceClassification:
    torch.manual_seed(0)
    config = LTPConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        attention_window=32,
        max_position_embeddings=90,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        sep_token_id=2,
        initializer_range=0.4,
        final_token_threshold=0.0,
        score_normalization=normalization,
        temperature=TEMPERATURE[normalization],
    )
    model = LTPForSequenceClassification(config)
    for layer, threshold in zip(model.longformer.encoder.layer, THRESHOLDS[normalization]):
        layer.attention.self.pruner.keep_threshold.data.fill_(threshold)
    return model


@pytest.fixture
def ids():
    ids = torch.randint(3, 40, (3, 80), generator=torch.Generator().manual_seed(1))
    ids[:, 0] = 0
    ids[1, 60:] = ids[2, 41:] = 1
    return ids


@pytest.mark.parametrize("normalization", ["max", "mean", "rel"])
def test_hard_masking_is_that_of_the_packed_model(normalization, ids):
    model = make_model(normalization).eval()
    packed = model(input_ids=ids, attention_mask=(ids != 1).long())
    dense = dense_forward(model, ids, ids != 1, Masking("hard"))
    torch.testing.assert_close(dense.logits, packed.logits, atol=1e-5, rtol=1e-5)
    stayed = [(alive & mask).sum(1) for alive, mask in zip(dense.alive, dense.masks)]
    assert [n.tolist() for n in stayed] == [n.tolist() for n in packed.ffn_sentence_lengths[:3]]
    assert 3 < stayed[2].sum() < 0.6 * (ids != 1).sum()


@pytest.mark.parametrize("normalization", ["max", "mean", "rel"])
def test_soft_masks_are_those_of_the_packed_model(normalization, ids):
    model = make_model(normalization).train()
    model.set_hard_masking(False)
    packed = model(input_ids=ids, attention_mask=(ids != 1).long(), output_pruning=True)
    dense = dense_forward(model, ids, ids != 1, Masking("output", TEMPERATURE[normalization]))
    for given, expected in zip(dense.masks, packed.soft_masks):
        torch.testing.assert_close(given, expected.nan_to_num(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(dense.logits, packed.logits, atol=1e-4, rtol=1e-4)


def test_cold_masks_on_keys_are_hard_masks(ids):
    model = make_model("rel").eval()
    cold = dense_forward(model, ids, ids != 1, Masking("keys", 1e-7))
    hard = dense_forward(model, ids, ids != 1, Masking("hard"))
    torch.testing.assert_close(cold.logits, hard.logits, atol=1e-3, rtol=1e-3)
    whole = dense_forward(model, ids, ids != 1, Masking("none"))
    assert (whole.logits - hard.logits).abs().max() > 0.05


def test_random_masking_keeps_the_share_asked_for(ids):
    model = make_model("rel").eval()
    for layer in model.longformer.encoder.layer:
        layer.attention.self.pruner.keep_threshold.data.fill_(0.25)
    torch.manual_seed(0)
    masks = [dense_forward(model, ids, ids != 1, Masking("random")) for _ in range(10)]
    shares = [(o.alive[1].sum() / o.alive[0].sum()).item() for o in masks]
    assert sum(shares) / 10 == pytest.approx(0.75, abs=0.03)
    assert len(set(shares)) > 3


def test_importance_carries_a_gradient(ids):
    model = make_model("rel").train()
    output = dense_forward(model, ids, ids != 1, Masking("output", 0.1))
    output.scores[0].square().sum().backward()
    assert model.longformer.encoder.layer[0].attention.self.query.weight.grad.abs().max() > 0
