"""The heads against the library's Longformer heads; loading, saving and pipelines.

`test_against_dense_reference.py` compares their logits with pruning, also of tokens that were removed.
"""

import json

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import LongformerConfig, PreTrainedTokenizerFast, pipeline

import transformer_revised

from .tiny import TINY, random_batch, tiny_config

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


def longformer_twin(model, head):
    settings = {k: v for k, v in model.config.to_dict().items() if k in TINY and k != "final_token_threshold"}
    twin = getattr(transformers, f"LongformerFor{head}")(LongformerConfig(**settings, **HEADS[head][1])).eval()
    twin.load_state_dict({k: v for k, v in model.state_dict().items() if "pruner" not in k})
    return twin


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
    ours, theirs = model(**batch), longformer_twin(model, head)(**batch)
    close(ours.loss, theirs.loss)
    real = batch["attention_mask"] > 0
    for name in LOGITS.get(head, ("logits",)):
        per_token = ours[name].shape[:2] == real.shape
        close(ours[name][real] if per_token else ours[name], theirs[name][real] if per_token else theirs[name])


def test_gradients_are_longformers(head):
    model, batch = make_model(head), batch_for(head)
    twin = longformer_twin(model, head)
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
    model = make_model(head)
    longformer_twin(model, head).save_pretrained(tmp_path)
    loaded, info = type(model).from_pretrained(tmp_path, prune_mode=None, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert loaded.config.model_type == "ltp"
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


def test_missing_separators_are_named():
    batch = random_batch([20])
    for head, inputs in (("QuestionAnswering", batch), ("MultipleChoice", {k: v[:, None] for k, v in batch.items()})):
        with pytest.raises(ValueError, match="no separator"):
            make_model(head)(**inputs)


def test_resized_embeddings_stay_tied():
    model = make_model("MaskedLM")
    model.resize_token_embeddings(70)
    assert model.lm_head.decoder.weight is model.longformer.embeddings.word_embeddings.weight
    batch = batch_for("MaskedLM", with_labels=False)
    assert model(**batch).logits.shape == (2, 60, 70)


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    """A word-level tokenizer of 64 words with RoBERTa's special tokens."""
    folder = tmp_path_factory.mktemp("tokenizer")
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "int", "buf", "strcpy", "where", "is", "the", "bug", "="]
    vocabulary = {word: i for i, word in enumerate(words + [f"w{i}" for i in range(64 - len(words))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", pad_token="<pad>", eos_token="</s>",
        sep_token="</s>", unk_token="<unk>", mask_token="<mask>", model_max_length=200,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.mark.parametrize(
    "task, head, inputs, key",
    [
        ("text-classification", "SequenceClassification", "int buf = w3", "label"),
        ("fill-mask", "MaskedLM", "int <mask> = w3", "token_str"),
        ("token-classification", "TokenClassification", "int buf = w3", "entity"),
    ],
)
def test_pipelines(task, head, inputs, key, tokenizer_folder, tmp_path):
    model = make_model(head, prune_mode="absolute_threshold")
    model.save_pretrained(tmp_path)
    result = pipeline(task, model=str(tmp_path), tokenizer=str(tokenizer_folder))(inputs)
    assert json.dumps([str(r[key]) for r in result])
    assert all(0 <= float(r["score"]) <= 1 for r in result)
    assert len(result) == {"text-classification": 1, "fill-mask": 5, "token-classification": 4}[task]


def test_fast_tokenizer_encodes_pairs_for_question_answering(tokenizer_folder):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_folder)
    batch = tokenizer("where is the bug", "int buf = w3", return_tensors="pt")
    output = make_model("QuestionAnswering")(**{k: v for k, v in batch.items() if k != "token_type_ids"})
    assert output.global_lengths[0].tolist() == [5]  # <s> and the four words of the question
    assert output.start_logits.shape == batch["input_ids"].shape
