"""The model: Longformer at threshold 0, removed tokens without influence, settings, precision."""

import re

import pytest
import torch
from transformers import LongformerModel

from transformer_revised import LTPForSequenceClassification, LTPModel

from .tiny import longformer_twin, random_batch, tiny_config, tiny_model


def close(actual, expected, atol=1e-4):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# Lengths in tokens of real functions: short ones, many windows, an exact multiple of the window, and 1,000 tokens.
@pytest.mark.parametrize("lengths", [[117], [288, 117, 30], [16, 256, 5, 1], [1000, 600]])
@pytest.mark.parametrize("settings", [{"final_token_threshold": 0.0}, {"prune_mode": None}])
def test_without_thresholds_it_is_longformer(lengths, settings):
    if max(lengths) > 300:  # the window of allenai/longformer-base-4096
        settings = {**settings, "attention_window": 512, "max_position_embeddings": 1100}
    model = tiny_model(**settings)
    batch = random_batch(lengths)
    close(model(**batch).logits, longformer_twin(model)(**batch).logits)


def test_outputs_have_longformers_shapes_and_values():
    """With a narrow window and several global tokens, which use every column of the attentions' layout."""
    torch.manual_seed(0)
    model = LTPModel(tiny_config(prune_mode=None)).eval()
    batch = random_batch([100, 64])
    batch["global_attention_mask"] = torch.zeros_like(batch["input_ids"])
    batch["global_attention_mask"][:, [0, 9]] = 1
    asked = {"output_hidden_states": True, "output_attentions": True}
    ours, theirs = model(**batch, **asked), longformer_twin(model, LongformerModel)(**batch, **asked)
    real = batch["attention_mask"] > 0
    close(ours.pooler_output, theirs.pooler_output)
    close(ours.last_hidden_state[real], theirs.last_hidden_state[real])
    assert len(ours.hidden_states) == len(theirs.hidden_states) == 5
    for a, b in zip(ours.hidden_states, theirs.hidden_states):
        close(a[real], b[real])
        assert not a[~real].any()
    for name in ("attentions", "global_attentions"):
        for a, b in zip(ours[name], theirs[name]):
            b = b[:, :, :100]  # the library leaves its own padding on `global_attentions`
            assert a.shape == b.shape
            close(a.transpose(1, 2)[real], b.transpose(1, 2)[real])


def test_tuple_output_begins_with_longformers():
    model = tiny_model()
    batch = random_batch([20])
    output = model(**batch, labels=torch.tensor([1]), return_dict=False)
    close(output[0], torch.nn.functional.cross_entropy(output[1], torch.tensor([1])))
    assert output[1].shape == (1, 2)


@pytest.mark.parametrize("layer", [0, 1])
def test_a_removed_token_can_change_nothing(layer):
    """Noise on its last state and at its place in the batch changes no later layer."""
    model = tiny_model(prune_first_layer=layer == 0)
    batch = random_batch([120, 60])
    plain = model(**batch, output_pruning=True)
    kept = plain.kept_tokens[layer]
    before = plain.kept_tokens[layer - 1] if layer else batch["attention_mask"] > 0
    gone = (batch["attention_mask"] > 0) & ~kept
    assert gone.sum() > 10 and kept.sum() > 4

    def disturb(module, args, output):
        """Adds noise after the layer to every place that may hold a removed token's state."""
        hidden_states, trace = output
        index, states = trace.removed
        assert len(index) == (before & ~kept).sum()
        assert len(hidden_states) == kept.sum()
        states += 1e3 * torch.randn_like(states)
        padded = trace.kept.unpack(hidden_states)
        padded[~kept] = torch.randn(int((~kept).sum()), padded.shape[-1])
        return trace.kept.pack(padded), trace

    handle = model.longformer.encoder.layer[layer].register_forward_hook(disturb)
    disturbed = model(**batch)
    handle.remove()
    assert torch.equal(disturbed.logits, model(**batch).logits)


@pytest.mark.parametrize("masked", [True, False])
def test_global_tokens_are_masked_in_soft_training_only_if_configured(masked):
    model = tiny_model(mask_global_tokens=masked, temperature=0.1).train()
    model.set_hard_masking(False)
    batch = random_batch([60, 40])
    batch["global_attention_mask"] = torch.zeros_like(batch["input_ids"])
    batch["global_attention_mask"][:, [0, 9]] = 1
    output = model(**batch, output_pruning=True)
    masks = torch.stack([mask for mask in output.soft_masks if mask is not None])
    is_global = batch["global_attention_mask"] > 0
    assert (masks[:, is_global] == 1).all() != masked
    assert (masks[:, ~is_global & (batch["attention_mask"] > 0)] < 1).any()


def test_rest_token_indices_are_the_tokens_alive_at_the_end():
    model = tiny_model().train()
    batch = random_batch([90, 50])
    model.set_hard_masking(False)
    model.longformer.embeddings.eval()  # a part frozen by its user
    rest = model.get_rest_token_indices(**batch)
    assert model.training and not model.longformer.embeddings.training and model.longformer.encoder.training
    by_position = model.get_rest_token_indices(batch["input_ids"], batch["attention_mask"])
    assert all(map(torch.equal, rest, by_position))
    kept = model.eval()(**batch, output_pruning=True).kept_tokens[-1]
    assert [r.tolist() for r in rest] == [row.nonzero().flatten().tolist() for row in kept]
    assert all(r[0] == 0 and 1 <= len(r) < n for r, n in zip(rest, (90, 50)))


def test_full_dropout_of_attention_gives_finite_numbers():
    model = tiny_model(attention_probs_dropout_prob=1.0).train()
    output = model(**random_batch([40, 20]), labels=torch.tensor([0, 1]))
    output.loss.backward()
    assert output.logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_temperature_is_kept_in_the_configuration(tmp_path):
    model = tiny_model()
    model.set_temperature(0.25)
    model.save_pretrained(tmp_path)
    assert LTPForSequenceClassification.from_pretrained(tmp_path).config.temperature == 0.25
    with pytest.raises(ValueError, match="`temperature` has to be above 0"):
        model.set_temperature(0)


def test_bfloat16_stays_close(tmp_path):
    model = tiny_model(initializer_range=0.1)
    model.save_pretrained(tmp_path)
    low = LTPForSequenceClassification.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    batch = random_batch([100])
    exact, rough = model(**batch, output_pruning=True), low(**batch, output_pruning=True)
    real = ~exact.pruning_scores[1].isnan()
    torch.testing.assert_close(rough.pruning_scores[1][real], exact.pruning_scores[1][real], rtol=0.1, atol=0.02)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(**batch)
    torch.testing.assert_close(mixed.logits.float(), exact.logits, rtol=0.1, atol=0.1)


def test_embeddings_instead_of_ids():
    model = tiny_model()
    batch = random_batch([30])
    embeds = model.get_input_embeddings()(batch["input_ids"])
    assert torch.equal(model(inputs_embeds=embeds).logits, model(input_ids=batch["input_ids"]).logits)


@pytest.mark.parametrize("by", ["input_ids", "inputs_embeds"])
@pytest.mark.parametrize("prune_mode", ["absolute_threshold", "topk", None])
def test_the_side_of_the_padding_does_not_matter(by, prune_mode):
    """Logits, hidden states, pooled states, kept tokens, and what each layer counted."""
    model = LTPModel(tiny_config(prune_mode=prune_mode, token_keep_rate=0.3)).eval()
    right, lengths = random_batch([50, 20, 33]), (50, 20, 33)
    left = {name: torch.stack([x.roll(50 - n) for x, n in zip(values, lengths)]) for name, values in right.items()}
    outputs = []
    for batch in (right, left):
        ids = batch.pop("input_ids")
        inputs = ids if by == "input_ids" else model.get_input_embeddings()(ids)
        with torch.no_grad():
            outputs.append(model(**{by: inputs}, **batch, output_pruning=True))
    for name in ("pooler_output", "ffn_sentence_lengths", "attention_pairs", "global_lengths"):
        torch.testing.assert_close(outputs[0][name], outputs[1][name], rtol=1e-5, atol=1e-5)
    for i, n in enumerate(lengths):
        states = [outputs[0].last_hidden_state[i, :n], outputs[1].last_hidden_state[i, 50 - n :]]
        torch.testing.assert_close(*states, rtol=1e-5, atol=1e-5)
        assert torch.equal(outputs[0].kept_tokens[-1][i, :n], outputs[1].kept_tokens[-1][i, 50 - n :])


@pytest.mark.parametrize(
    "batch, message",
    [
        ({}, "exactly one of `input_ids` and `inputs_embeds`"),
        ({"input_ids": torch.full((1, 299), 5)}, "at most 298 tokens fit"),
    ],
)
def test_bad_input(batch, message):
    with pytest.raises(ValueError, match=message):
        tiny_model()(**batch)


@pytest.mark.parametrize("shape", [(2, 29), (2, 31), (3, 30), (1, 29), (30,), (2, 30, 1)], ids=str)
@pytest.mark.parametrize("name", ["attention_mask", "global_attention_mask", "token_type_ids", "position_ids"])
@pytest.mark.parametrize("by", ["input_ids", "inputs_embeds"])
def test_a_tensor_of_another_shape_is_refused(name, shape, by):
    """It would belong to other tokens."""
    model, ids = tiny_model(), random_batch([30, 30])["input_ids"]
    inputs = ids if by == "input_ids" else model.get_input_embeddings()(ids)
    message = rf"`{name}` has the shape {re.escape(str(list(shape)))}; expected .* \[2, 30\]"
    with pytest.raises(ValueError, match=message):
        model(**{by: inputs, name: torch.ones(shape, dtype=torch.long)})


@pytest.mark.parametrize("name", ["attention_mask", "global_attention_mask", "token_type_ids", "position_ids"])
def test_one_row_is_for_every_sequence(name):
    model, ids = tiny_model(type_vocab_size=2), random_batch([30, 30])["input_ids"]
    row = (torch.arange(30) % 2)[None]
    assert torch.equal(model(ids, **{name: row}).logits, model(ids, **{name: row.repeat(2, 1)}).logits)


def test_one_window_a_layer_is_required():
    with pytest.raises(ValueError, match=r"`attention_window` .* 4 layers, not \[8, 8\]"):
        tiny_model(attention_window=[8, 8])
