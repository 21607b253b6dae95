"""The exportable classifier: the model's logits, also after torch.export, and what cannot be exported."""

import pytest
import torch

from ltp_pipeline.model.dense_classifier import DenseClassifier
from tests.transformer_revised.models.ltp.tiny import random_batch, tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model(prune_mode=None, initializer_range=0.15)


def difference(model, dense, batch):
    with torch.no_grad():
        return (dense(**batch) - model(**batch).logits).abs().max().item()


@pytest.mark.parametrize("lengths", [[60, 33, 5], [290, 1, 2], [17]])
@pytest.mark.parametrize("side", ["right", "left"])
def test_its_logits_are_those_of_the_model(model, lengths, side):
    batch = random_batch(lengths)
    if side == "left":
        for row, length in enumerate(lengths):
            for name in batch:
                batch[name][row] = batch[name][row].roll(max(lengths) - length)
    assert difference(model, DenseClassifier(model), batch) < 1e-6


def test_torch_export_with_dynamic_batch_and_length(model):
    names = {"input_ids", "attention_mask"}
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", min=2, max=300)}
    inputs = {name: values for name, values in random_batch([40, 33]).items() if name in names}
    program = torch.export.export(DenseClassifier(model), (), inputs, dynamic_shapes=dict.fromkeys(inputs, shape))
    for lengths in ([60, 33, 5], [17]):
        batch = {name: values for name, values in random_batch(lengths).items() if name in names}
        assert difference(model, program.module(), batch) < 1e-6


def test_a_model_that_prunes_is_refused():
    with pytest.raises(ValueError, match="prune_mode absolute_threshold.*expected a model that does not prune"):
        DenseClassifier(tiny_model())


@pytest.mark.parametrize("trace", ["export", "jit"])
def test_the_model_itself_says_what_to_export(model, trace):
    batch = random_batch([20, 12])
    with pytest.raises(NotImplementedError, match="DenseClassifier"), torch.no_grad():
        if trace == "export":
            torch.export.export(model, (), dict(batch))
        else:
            torch.jit.trace(lambda ids, mask: model(ids, mask).logits, (batch["input_ids"], batch["attention_mask"]))
