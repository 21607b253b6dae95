"""The dense reference itself against the published code's outputs (tests/reference/README.md)."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from . import dense_reference as dense

REFERENCE = Path(__file__).parent / "reference"
INPUTS = ("input_ids", "attention_mask", "global_attention_mask")


@pytest.fixture(params=["several_global_tokens", "three_lengths", "window_per_layer"])
def case(request):
    """The weights, the configuration, what is expected, lambda."""
    folder = REFERENCE / request.param
    made = json.loads((folder / "case.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    config |= {"score_normalization": "max", "hidden_act": "gelu", "temperature": made["temperature"]}
    weights = {name: w.double().requires_grad_() for name, w in load_file(folder / "model.safetensors").items()}
    return weights, config, load_file(folder / "expected.safetensors"), made["lambda"]


def run(weights, config, expected, **settings):
    return [
        dense.run_sequence(weights, config, *(expected[name][i] for name in INPUTS), **settings)
        for i in range(len(expected["input_ids"]))
    ]


def close(actual, expected, atol=2e-5):
    torch.testing.assert_close(actual, expected.double(), rtol=0, atol=atol, equal_nan=True)


def test_unpruned(case):
    weights, config, expected, _ = case
    traces = run(weights, config | {"prune_mode": None}, expected)
    close(dense.sequence_logits(weights, traces), expected["unpruned_logits"])


def test_hard_pruning(case):
    weights, config, expected, _ = case
    traces = run(weights, config, expected)
    close(dense.sequence_logits(weights, traces), expected["hard_logits"])
    assert [trace.entered for trace in traces] == expected["hard_attention_lengths"].T.tolist()
    for layer in range(4):
        kept = torch.stack([trace.kept[layer] for trace in traces])
        assert torch.equal(kept, expected[f"hard_alive_after_layer_{layer}"])
        scores = [trace.scores[layer] for trace in traces]
        assert (scores[0] is None) == (f"hard_scores_layer_{layer}" not in expected)
        if scores[0] is not None:
            close(torch.stack(scores), expected[f"hard_scores_layer_{layer}"])


def test_soft_pruning_and_its_gradients(case):
    weights, config, expected, strength = case
    traces = run(weights, config, expected, soft=True)
    logits, regularizer = dense.sequence_logits(weights, traces), dense.regularizer(traces)
    close(logits, expected["soft_logits"])
    close(regularizer, expected["soft_regularizer"])
    total = torch.nn.functional.cross_entropy(logits, expected["labels"]) + strength * regularizer
    close(total, expected["soft_total_loss"])
    real = expected["attention_mask"] > 0
    for layer in range(4):
        masks = [trace.masks[layer] for trace in traces]
        assert (masks[0] is None) == (f"soft_mask_layer_{layer}" not in expected)
        if masks[0] is not None:
            close(torch.stack(masks)[real], expected[f"soft_mask_layer_{layer}"][real])
    names = [f"longformer.encoder.layer.{i}.attention.self.pruner.keep_threshold" for i in range(4)]
    names += ["longformer.encoder.layer.0.attention.self.query.weight", "longformer.embeddings.word_embeddings.weight"]
    *thresholds, query, words = torch.autograd.grad(
        total, [weights[name] for name in names], allow_unused=True, materialize_grads=True
    )
    for gradient, name in (
        (torch.stack([t.reshape(()) for t in thresholds]), "soft_threshold_grads"),
        (query, "soft_grad_query_layer_0"),
        (words, "soft_grad_word_embeddings"),
    ):
        error = (gradient - expected[name]).norm() / expected[name].norm()
        assert error < 1e-3, f"{name}: relative error {error:.1e}"
