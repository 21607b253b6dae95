"""Scores of tokens: against finite differences, Captum, the attention weights and the tokens that a model keeps."""

import copy

import numpy as np
import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from ltp_pipeline.view.encode import encode
from ltp_pipeline.view.kept_tokens import prune_functions
from ltp_pipeline.view.token_batches import padded
from ltp_pipeline.view.token_scores import (
    METHODS,
    attention_by_layer,
    gradient_x_input,
    importance_by_layer,
    integrated_gradients,
    layers_survived,
    token_scores,
)
from tests.pruned_checkpoint import FUNCTIONS, MAX_LENGTH, THRESHOLDS
from transformer_revised.models.ltp.pruning_ranks import Teacher
from transformer_revised.models.ltp.rank_teacher_relevance import FLOOR


@pytest.fixture(scope="module")
def batch(pruned_model):
    """All functions, of different lengths, in one batch."""
    model, tokenizer = pruned_model
    return padded(encode(FUNCTIONS, tokenizer, MAX_LENGTH), model)


@pytest.fixture(scope="module")
def unpruned(pruned_model):
    """The model with the same weights whose layers keep every token."""
    model = copy.deepcopy(pruned_model[0])
    model.config.prune_mode = None
    for layer in model.longformer.encoder.layer:
        layer.attention.self.pruner = None
    return model


def gpt2():
    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=16, pad_token_id=1)
    return GPT2ForSequenceClassification(config)


def roberta():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return RobertaForSequenceClassification(RobertaConfig(vocab_size=50, max_position_embeddings=16, **sizes))


def margin(model, batch, embeddings):
    """`z_1 - z_0` of each sequence, and the tokens alive after the last layer."""
    output = model(inputs_embeds=embeddings, attention_mask=batch["attention_mask"], output_pruning=True)
    return output.logits[:, 1] - output.logits[:, 0], torch.stack(output.kept_tokens)


def test_gradient_with_removed_tokens_agrees_with_finite_differences(pruned_model, batch):
    model = copy.deepcopy(pruned_model[0]).double()
    scores = gradient_x_input(model, batch)
    embeddings, step, checked = model.get_input_embeddings()(batch["input_ids"]).detach(), 1e-6, set()
    with torch.no_grad():
        _, kept = margin(model, batch, embeddings)
        for column in range(0, batch["input_ids"].shape[1], 3):
            ahead, behind = (embeddings.clone() for _ in range(2))
            ahead[:, column] *= 1 + step
            behind[:, column] *= 1 - step
            (high, kept_high), (low, kept_low) = margin(model, batch, ahead), margin(model, batch, behind)
            same = ((kept_high == kept) & (kept_low == kept)).all(dim=(0, 2)) & (
                batch["attention_mask"][:, column] > 0
            )
            assert torch.allclose(
                scores[same, column].double(), ((high - low) / (2 * step))[same], rtol=1e-4, atol=1e-7
            )
            checked |= set(kept[:, same, column].sum(0).tolist())
    assert checked >= {0, 1, len(THRESHOLDS)}, "tokens removed in the first layer, later, and never"
    assert (scores[batch["attention_mask"] > 0] != 0).float().mean() > 0.9


@pytest.mark.parametrize("method", [name for name in METHODS if name != "integrated_gradients"])  # 20 gradients
def test_a_batch_agrees_with_one_function_at_a_time(pruned_model, batch, method):
    model, tokenizer = pruned_model
    together = token_scores(model, batch, method)
    assert torch.allclose(together.abs().sum(1), torch.ones(len(together)), atol=1e-5)
    assert together.dtype == torch.float32 and together.shape == batch["input_ids"].shape
    assert not together[batch["attention_mask"] == 0].any()
    for row, function in enumerate(encode(FUNCTIONS, tokenizer, MAX_LENGTH)):
        alone = token_scores(model, padded([function], model), method)[0]
        assert torch.allclose(together[row, : len(function)], alone, atol=1e-4)


@pytest.mark.parametrize("make", [gpt2, roberta])
def test_other_models_score_a_batch_as_one_function_at_a_time(make):
    torch.manual_seed(0)
    model = make().eval()
    ids = torch.randint(5, 50, (3, 12))
    mask = torch.arange(12) < torch.tensor([12, 7, 4])[:, None]
    batch = {"input_ids": ids.masked_fill(~mask, model.config.pad_token_id), "attention_mask": mask.long()}
    for method in ("gradient_x_input", "integrated_gradients"):
        together = token_scores(model, batch, method)
        for row, n in enumerate(mask.sum(1)):
            alone = token_scores(model, {name: values[row : row + 1, :n] for name, values in batch.items()}, method)
            assert torch.allclose(together[row, :n], alone[0], atol=1e-5) and alone.any()
    assert not model.get_input_embeddings()._forward_hooks


def test_scores_are_the_same_in_inference_mode_and_leave_the_model_as_it_was(pruned_model, batch):
    model, _ = pruned_model
    model.longformer.embeddings.word_embeddings.weight.requires_grad_(False)
    before = [parameter.requires_grad for parameter in model.parameters()]
    scores = token_scores(model, batch)
    with torch.inference_mode():
        assert torch.equal(scores, token_scores(model, {name: values.clone() for name, values in batch.items()}))
    assert [parameter.requires_grad for parameter in model.parameters()] == before
    assert all(parameter.grad is None for parameter in model.parameters())
    model.longformer.embeddings.word_embeddings.weight.requires_grad_(True)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_bfloat16_agrees_with_float32_where_the_same_tokens_are_kept(pruned_model, unpruned, batch, implementation):
    for model in (pruned_model[0], unpruned):
        half = copy.deepcopy(model).bfloat16()
        half.config._attn_implementation = implementation
        full = copy.deepcopy(half).float()  # the same weights
        kept = [torch.stack(one(**batch, output_pruning=True).kept_tokens) for one in (half, full)]
        same = (kept[0] == kept[1]).all(dim=(0, 2))
        real = batch["attention_mask"][same] > 0
        assert same.any() and (model is not unpruned or same.all())
        a, b = token_scores(half, batch)[same][real], token_scores(full, batch)[same][real]
        assert np.corrcoef(a, b)[0, 1] > 0.99


def test_integrated_gradients_sum_to_the_change_of_the_logits(unpruned, batch):
    batch, steps = {name: values[:2] for name, values in batch.items()}, 100
    embeddings = unpruned.get_input_embeddings()(batch["input_ids"])
    with torch.no_grad():
        change = margin(unpruned, batch, embeddings)[0] - margin(unpruned, batch, embeddings * 0)[0]
    total = (integrated_gradients(unpruned, batch, steps) * batch["attention_mask"]).sum(1)
    assert torch.allclose(total, change, rtol=0.02, atol=0.02)


def test_integrated_gradients_agree_with_captum(pruned_model, batch):
    attr = pytest.importorskip("captum.attr")
    model, _ = pruned_model
    embeddings = model.get_input_embeddings()(batch["input_ids"]).detach()

    def forward(embeddings, mask):
        logits = model(inputs_embeds=embeddings, attention_mask=mask).logits
        return logits[:, 1] - logits[:, 0]

    theirs = attr.IntegratedGradients(forward).attribute(
        embeddings, torch.zeros_like(embeddings), additional_forward_args=batch["attention_mask"],
        n_steps=8, method="riemann_middle",
    )  # fmt: skip
    assert torch.allclose(integrated_gradients(model, batch, 8), theirs.sum(-1).float(), atol=1e-5)


def test_relevance_above_0_is_that_of_the_teacher(unpruned, batch):
    found = token_scores(unpruned, batch, "relevance")
    above = found.clamp(min=0)
    sums = above.sum(1, keepdim=True).clamp(min=1e-30)  # one function speaks for class 0 alone
    expected = Teacher(unpruned, "relevance").importance(batch)
    real = batch["attention_mask"] > 0
    torch.testing.assert_close((above / sums + FLOOR)[real], expected[real], rtol=1e-5, atol=1e-6)
    assert (found < 0).any() and (found > 0).any(1).sum() > 1


def test_attention_of_the_last_layer_is_that_of_the_teacher(unpruned, batch):
    layers = attention_by_layer(unpruned, batch)
    assert torch.allclose(layers[-1], Teacher(unpruned).importance(batch), atol=1e-6)
    heads = unpruned.config.num_attention_heads
    assert torch.allclose(layers.sum(-1), torch.full(layers.shape[:2], float(heads)), atol=1e-4)
    assert not any(layer.attention.self._forward_pre_hooks for layer in unpruned.longformer.encoder.layer)


def test_pruning_scores_and_layers_are_those_of_the_kept_tokens(pruned_model, batch):
    model, tokenizer = pruned_model
    survived, layers = layers_survived(model, batch), importance_by_layer(model, batch)
    attention = attention_by_layer(model, batch)
    for row, function in prune_functions(model, encode(FUNCTIONS, tokenizer, MAX_LENGTH)):
        n = len(function.kept[0])
        assert np.array_equal(survived[row, :n], function.kept.sum(0))
        assert np.allclose(layers[:, row, :n], np.nan_to_num(function.scores), atol=1e-6)
        assert not attention[1:, row, :n][~torch.from_numpy(function.kept[:-1])].any()
