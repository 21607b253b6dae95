"""The heads against the library's Longformer heads; loading, saving and pipelines.

`test_against_dense_reference.py` compares their logits with pruning, also of tokens that were removed.
"""

import pytest
import torch
import transformers
from torch import nn
from transformers import pipeline

import transformer_revised

from ....pruned_checkpoint import make_tokenizer
from .tiny import longformer_twin, random_batch, tiny_config

SEPARATOR = 2
# head: its Auto class, configuration beside the tiny one, labels for a batch of 2 x 60
HEADS = {
    "MaskedLM": ("AutoModelForMaskedLM", {}),
    "TokenClassification": ("AutoModelForTokenClassification", {"num_labels": 3}),
    "QuestionAnswering": ("AutoModelForQuestionAnswering", {}),
    "MultipleChoice": ("AutoModelForMultipleChoice", {}),
    "SequenceClassification": ("AutoModelForSequenceClassification", {"num_labels": 3}),
}
LOGITS = {"QuestionAnswering": ("start_logits", "end_logits")}


def make_model(head, seed=0, **settings):
    torch.manual_seed(seed)
    config = tiny_config(**{"prune_mode": None, **HEADS[head][1], **settings})
    return getattr(transformer_revised, f"LTPFor{head}")(config).eval()


def twin_of(model, head):
    return longformer_twin(model, getattr(transformers, f"LongformerFor{head}"))


def batch_for(head, with_labels=True):
    """Two pairs of texts, `<s> a </s> </s> b </s>`; for multiple choice three of them each."""
    lengths = {"MultipleChoice": [60, 47, 50, 33, 60, 41], "QuestionAnswering": [60, 60]}
    # No padding for a span loss: the library's includes the columns of padding, which LTP does not compute.
    batch = random_batch(lengths.get(head, [60, 47]))
    ids, mask = batch["input_ids"], batch["attention_mask"]
    ids[:, 11:13] = SEPARATOR
    last = mask.sum(1, keepdim=True) - 1
    ids.scatter_(1, last, SEPARATOR)
    if head == "MultipleChoice":
        batch = {name: x.view(2, 3, 60) for name, x in batch.items()}
    real = torch.where(mask > 0, ids, -100)
    labels = {
        "MaskedLM": {"labels": real},
        "TokenClassification": {"labels": torch.where(mask > 0, ids % 3, -100)},
        "QuestionAnswering": {"start_positions": torch.tensor([20, 30]), "end_positions": torch.tensor([22, 99])},
        "MultipleChoice": {"labels": torch.tensor([2, 0])},
        "SequenceClassification": {"labels": torch.tensor([2, 0])},
    }
    return {**batch, **(labels[head] if with_labels else {})}


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)


@pytest.fixture(params=HEADS)
def head(request):
    return request.param


def test_unpruned_head_is_longformers(head):
    """Logits and loss, with the global tokens that each head chooses by itself."""
    model, batch = make_model(head), batch_for(head)
    ours, theirs = model(**batch), twin_of(model, head)(**batch)
    close(ours.loss, theirs.loss)
    real = batch["attention_mask"] > 0
    for name in LOGITS.get(head, ("logits",)):
        per_token = ours[name].shape[:2] == real.shape
        close(ours[name][real] if per_token else ours[name], theirs[name][real] if per_token else theirs[name])


def test_gradients_are_longformers(head):
    model, batch = make_model(head), batch_for(head)
    twin = twin_of(model, head)
    model(**batch).loss.backward()
    twin(**batch).loss.backward()
    theirs = dict(twin.named_parameters())
    compared = 0
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            scale = theirs[name].grad.abs().max().clamp(min=1e-3)
            assert (parameter.grad - theirs[name].grad).abs().max() < 1e-3 * scale, name
            compared += 1
    assert compared > 60


@pytest.mark.parametrize("sharded", [False, True])
def test_auto_class_and_round_trip(head, sharded, tmp_path):
    model = make_model(head, prune_mode="absolute_threshold")
    for offset in model.learned_thresholds():
        nn.init.uniform_(offset, 0, 0.1)
    model.save_pretrained(tmp_path, **({"max_shard_size": "20KB"} if sharded else {}))
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == sharded
    loaded = getattr(transformers, HEADS[head][0]).from_pretrained(tmp_path).eval()
    assert type(loaded) is type(model)
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_longformer_head_loads_as_it_is(head, tmp_path):
    """Thresholds start at their fixed part, which is 0 here."""
    model = make_model(head)
    twin_of(model, head).save_pretrained(tmp_path)
    loaded, info = type(model).from_pretrained(tmp_path, final_token_threshold=0.0, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert loaded.config.model_type == "ltp" and loaded.thresholds().tolist() == [0] * 4
    batch = batch_for(head, with_labels=False)
    name = LOGITS.get(head, ("logits",))[0]
    close(loaded.eval()(**batch)[name], model(**batch)[name])


def test_soft_masking_trains_thresholds_under_every_head(head):
    model = make_model(head, prune_mode="absolute_threshold", temperature=0.1).train()
    model.set_hard_masking(False)
    output = model(**batch_for(head))
    (output.loss + output.pruning_regularizer).backward()
    gradients = [offset.grad for offset in model.learned_thresholds()]
    assert gradients[0] is None and all(g is not None and g != 0 for g in gradients[1:])


def test_regression_and_multi_label_losses():
    batch = batch_for("SequenceClassification", with_labels=False)
    regression = make_model("SequenceClassification", num_labels=1)
    output = regression(**batch, labels=torch.tensor([0.5, -1.0]))
    close(output.loss, nn.functional.mse_loss(output.logits[:, 0], torch.tensor([0.5, -1.0])))
    targets = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    output = make_model("SequenceClassification")(**batch, labels=targets)
    close(output.loss, nn.functional.binary_cross_entropy_with_logits(output.logits, targets))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_loss_is_computed_in_float32(head, dtype):
    """As from the same logits in float32; a loss in bfloat16 differs in the third digit."""
    model, batch = make_model(head).to(dtype), batch_for(head)
    output = model(**batch)
    logits = [output[name].float() for name in LOGITS.get(head, ("logits",))]
    if head == "QuestionAnswering":
        columns = [batch["start_positions"], batch["end_positions"].masked_fill(batch["end_positions"] >= 60, -100)]
        expected = sum(nn.functional.cross_entropy(x, column) for x, column in zip(logits, columns)) / 2
    else:
        expected = nn.functional.cross_entropy(logits[0].flatten(0, -2), batch["labels"].flatten())
    assert output.loss.dtype == torch.float32
    torch.testing.assert_close(output.loss, expected, rtol=1e-6, atol=1e-6)
    output.loss.backward()
    assert model.longformer.encoder.layer[0].intermediate.dense.weight.grad.dtype == dtype


def test_missing_separators_are_named():
    batch = random_batch([20])
    for head, inputs in (("QuestionAnswering", batch), ("MultipleChoice", {k: v[:, None] for k, v in batch.items()})):
        with pytest.raises(ValueError, match="no separator"):
            make_model(head)(**inputs)
        with pytest.raises(ValueError, match="no `sep_token_id`"):
            make_model(head, sep_token_id=None)(**inputs)


def test_resized_embeddings_stay_tied():
    model = make_model("MaskedLM")
    model.resize_token_embeddings(70)
    assert model.lm_head.decoder.weight is model.longformer.embeddings.word_embeddings.weight
    batch = batch_for("MaskedLM", with_labels=False)
    assert model(**batch).logits.shape == (2, 60, 70)


@pytest.mark.parametrize(
    "task, head, inputs, key, results",
    [
        ("text-classification", "SequenceClassification", "int add", "label", 1),
        ("fill-mask", "MaskedLM", "int <mask>", "token_str", 5),
        ("token-classification", "TokenClassification", "int a", "entity", 2),
    ],
)
def test_pipelines(task, head, inputs, key, results):
    model = make_model(head, prune_mode="absolute_threshold", vocab_size=300)
    found = pipeline(task, model=model, tokenizer=make_tokenizer())(inputs)
    assert len(found) == results and all(key in each and 0 <= float(each["score"]) <= 1 for each in found)


def test_the_tokens_of_a_question_are_global():
    batch = make_tokenizer()("int a", "int b;", return_tensors="pt")
    output = make_model("QuestionAnswering", vocab_size=300)(batch["input_ids"], batch["attention_mask"])
    assert output.global_lengths[0].tolist() == [batch["input_ids"][0].tolist().index(SEPARATOR)]
    assert output.start_logits.shape == batch["input_ids"].shape
