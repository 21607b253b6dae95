"""Gradients against central finite differences, in float64.

The gradient treats scores as constants. But a threshold changes the scores of later layers, so a plain difference of
losses is another number. The tests therefore record the scores of all layers and keep them fixed while they change a
parameter.
"""

import pytest
import torch

from transformer_revised import LTPForSequenceClassification

from .tiny import random_batch, tiny_config

LAYERS, STRENGTH, STEP = 4, 0.7, 1e-5
# Learned offsets in units of the fixed part: positive, zero, negative, and larger than the fixed part.
LEARNED = [0.1, 0.0, -0.2, -1.2]
# Normalisation -> a typical score and a temperature.
SCALES = {"max": (0.3, 0.05), "mean": (0.03, 0.005), "rel": (0.8, 0.3)}
OTHERS = [
    "longformer.embeddings.word_embeddings.weight",
    "longformer.encoder.layer.0.attention.self.query.weight",
    "longformer.encoder.layer.1.attention.self.value.bias",
    "longformer.encoder.layer.1.attention.self.key_global.weight",
    "longformer.encoder.layer.2.intermediate.dense.weight",
    "longformer.encoder.layer.3.output.LayerNorm.weight",
    "classifier.out_proj.weight",
]


def prepared(normalization: str = "max"):
    """A model in training mode without dropout, and a batch."""
    torch.manual_seed(7)
    scale, temperature = SCALES[normalization]
    config = tiny_config(score_normalization=normalization, temperature=temperature, final_token_threshold=scale)
    model = LTPForSequenceClassification(config).double().train()
    with torch.no_grad():
        for pruner, learned in zip(model.pruners(), LEARNED):
            pruner.keep_threshold.fill_(learned * scale)
    return model, {**random_batch([40, 23]), "labels": torch.tensor([1, 0])}


def total_loss(model, batch) -> torch.Tensor:
    output = model(**batch)
    return output.loss + (0 if output.pruning_regularizer is None else STRENGTH * output.pruning_regularizer)


def freeze_scores(model, batch) -> None:
    """From now on every layer computes its soft mask from its present scores."""
    for pruner in model.pruners():
        pruner.forward_mask = pruner.soft_mask

        def record(scores, temperature, pruner=pruner):
            assert not scores.requires_grad
            scores = pruner.__dict__.setdefault("frozen_scores", scores.clone())
            return pruner.forward_mask(scores, temperature)

        pruner.soft_mask = record
    total_loss(model, batch)
    assert all("frozen_scores" in pruner.__dict__ for pruner in model.pruners())


def difference(model, batch, parameter: torch.nn.Parameter, entry: int) -> float:
    """Central difference of the loss for one entry of a parameter."""
    values = parameter.data.view(-1)
    at = values[entry].item()
    losses = []
    with torch.no_grad():
        for step in (STEP, -STEP):
            values[entry] = at + step
            losses.append(total_loss(model, batch).item())
        values[entry] = at
    return (losses[0] - losses[1]) / (2 * STEP)


def check(model, batch, names: list[str], rtol=1e-5) -> None:
    """The largest entries of the gradients of these parameters."""
    parameters = dict(model.named_parameters())
    model.zero_grad()
    total_loss(model, batch).backward()
    for name in names:
        gradient = parameters[name].grad.view(-1)
        for entry in gradient.abs().topk(min(3, len(gradient))).indices.tolist():
            expected = difference(model, batch, parameters[name], entry)
            assert abs(expected) > 1e-6, f"{name}[{entry}] moves nothing"
            assert gradient[entry].item() == pytest.approx(expected, rel=rtol, abs=1e-9), f"{name}[{entry}]"


def threshold_name(layer: int) -> str:
    return f"longformer.encoder.layer.{layer}.attention.self.pruner.keep_threshold"


@pytest.mark.parametrize("normalization", SCALES)
@pytest.mark.parametrize("layer", range(LAYERS))
def test_threshold(layer, normalization):
    model, batch = prepared(normalization)
    model.set_hard_masking(False)
    freeze_scores(model, batch)
    check(model, batch, [threshold_name(layer)])


def test_a_threshold_also_moves_the_scores_of_later_layers():
    """Without fixed scores the difference is another number, except in the last layer."""
    model, batch = prepared()
    model.set_hard_masking(False)
    total_loss(model, batch).backward()
    for pruner, last in zip(model.pruners(), [False, False, False, True]):
        free = difference(model, batch, pruner.keep_threshold, 0)
        assert (pruner.keep_threshold.grad.item() == pytest.approx(free, rel=1e-5)) == last


@pytest.mark.parametrize("name", OTHERS)
def test_other_parameters_in_soft_training(name):
    model, batch = prepared()
    model.set_hard_masking(False)
    freeze_scores(model, batch)
    check(model, batch, [name])


@pytest.mark.parametrize("name", OTHERS)
def test_other_parameters_in_hard_training(name):
    """The step is so small that the same tokens are removed, so scores need not be fixed."""
    model, batch = prepared()
    model.set_hard_masking(True)
    assert model(**batch).ffn_sentence_lengths[1].sum() < 63
    check(model, batch, [name])
    assert all(pruner.keep_threshold.grad is None for pruner in model.pruners())
