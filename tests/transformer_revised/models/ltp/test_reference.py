"""Agreement with the published code's outputs (tests/reference/README.md says how they were made)."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LongformerConfig, LongformerForSequenceClassification

from transformer_revised import LTPForSequenceClassification

REFERENCE = Path(__file__).parents[3] / "reference"
CASES = ["several_global_tokens", "three_lengths", "window_per_layer"]
INPUTS = ("input_ids", "attention_mask", "global_attention_mask", "labels")


def close(actual, expected, tolerance=1e-4):
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance, equal_nan=True)


@pytest.fixture(params=CASES)
def case(request):
    folder = REFERENCE / request.param
    expected = load_file(folder / "expected.safetensors")
    settings = json.loads((folder / "case.json").read_text())
    model = LTPForSequenceClassification.from_pretrained(folder).eval()
    return model, expected, settings, {k: expected[k] for k in INPUTS}


@pytest.mark.parametrize("name", CASES)
def test_unpruned_logits_are_those_of_the_librarys_longformer(name):
    folder = REFERENCE / name
    expected = load_file(folder / "expected.safetensors")
    batch = {k: expected[k] for k in INPUTS}
    model = LTPForSequenceClassification.from_pretrained(folder, prune_mode=None).eval()
    close(model(**batch).logits, expected["unpruned_logits"])
    config = LongformerConfig.from_pretrained(folder)
    longformer = LongformerForSequenceClassification.from_pretrained(folder, config=config).eval()
    close(longformer(**batch).logits, expected["unpruned_logits"])


def check_hard(output, expected, rows, length):
    """`rows` of the expected batch, cut to `length`, against the output."""
    close(output.logits, expected["hard_logits"][rows])
    for layer, (scores, kept) in enumerate(zip(output.pruning_scores, output.kept_tokens)):
        assert torch.equal(kept, expected[f"hard_alive_after_layer_{layer}"][rows, :length]), layer
        name = f"hard_scores_layer_{layer}"
        assert (scores is not None) == (name in expected), layer
        if scores is not None:
            close(scores, expected[name][rows, :length])
    assert torch.equal(torch.stack(output.attention_sentence_lengths), expected["hard_attention_lengths"][:, rows])
    assert torch.equal(torch.stack(output.ffn_sentence_lengths), expected["hard_ffn_lengths"][:, rows])


def test_hard_pruning(case):
    model, expected, _, batch = case
    output = model(**batch, output_pruning=True)
    check_hard(output, expected, torch.arange(len(batch["labels"])), batch["input_ids"].shape[1])
    close(output.loss, expected["hard_loss"])


def test_hard_pruning_without_details_gives_the_same_logits(case):
    """Then the last layer computes only the first token."""
    model, expected, _, batch = case
    output = model(**batch)
    close(output.logits, expected["hard_logits"])
    assert output.ffn_sentence_lengths[-1].tolist() == [1] * len(batch["labels"])
    assert output.pruning_scores is None


def test_one_sequence_at_a_time(case):
    model, expected, settings, batch = case
    for i, length in enumerate(settings["lengths"]):
        single = {k: v[i : i + 1] if k == "labels" else v[i : i + 1, :length] for k, v in batch.items()}
        check_hard(model(**single, output_pruning=True), expected, torch.tensor([i]), length)


def test_batch_in_another_order(case):
    model, expected, _, batch = case
    order = torch.arange(len(batch["labels"])).flip(0)
    output = model(**{k: v[order] for k, v in batch.items()}, output_pruning=True)
    check_hard(output, expected, order, batch["input_ids"].shape[1])


def test_soft_pruning(case):
    model, expected, settings, batch = case
    model.train()
    model.set_hard_masking(False)
    model.set_temperature(settings["temperature"])
    output = model(**batch, output_pruning=True)
    for layer, mask in enumerate(output.soft_masks):
        name = f"soft_mask_layer_{layer}"
        assert (mask is not None) == (name in expected), layer
        if mask is not None:
            real = batch["attention_mask"] > 0
            close(mask[real], expected[name][real])
    close(output.logits, expected["soft_logits"])
    close(output.loss, expected["soft_task_loss"])
    close(output.pruning_regularizer, expected["soft_regularizer"])
    total = output.loss + settings["lambda"] * output.pruning_regularizer
    close(total, expected["soft_total_loss"])
    total.backward()
    thresholds = [offset.grad for offset in model.learned_thresholds()]
    gradients = {
        "soft_threshold_grads": torch.stack([torch.zeros(()) if g is None else g for g in thresholds]),
        "soft_grad_query_layer_0": model.longformer.encoder.layer[0].attention.self.query.weight.grad,
        "soft_grad_word_embeddings": model.longformer.embeddings.word_embeddings.weight.grad,
    }
    for name, gradient in gradients.items():
        error = (gradient - expected[name]).norm() / expected[name].norm()
        assert error < 1e-3, f"{name}: relative error {error:.1e}"
