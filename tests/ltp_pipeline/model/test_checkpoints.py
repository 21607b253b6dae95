import json
import shutil

import pytest
import torch
from transformers import LongformerForSequenceClassification, logging

from ltp_pipeline.base import hub
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model.checkpoints import (
    check_checkpoint,
    check_tokenizer_fits,
    load_config,
    load_pruning_model,
    load_tokenizer,
    position_limit,
)


@pytest.fixture
def checkpoint(longformer_dir, tmp_path):
    return shutil.copytree(longformer_dir, tmp_path / "checkpoint")


def _edit(checkpoint, **values):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, **values}))


def test_a_longformer_checkpoint_becomes_ltp_with_its_weights(longformer_dir, capfd):
    verbosity = logging.get_verbosity()
    model = load_pruning_model(longformer_dir, flag="--restore", prune_mode="absolute_threshold", temperature=0.5)
    assert model.config.model_type == "ltp"
    assert model.config.temperature == 0.5
    thresholds = {name: p for name, p in model.named_parameters() if name.endswith("pruner.keep_threshold")}
    assert len(thresholds) == 3
    assert all(p == 0 for p in thresholds.values())
    original = LongformerForSequenceClassification.from_pretrained(longformer_dir).state_dict()
    assert all(torch.equal(value, original[name]) for name, value in model.state_dict().items() if name in original)
    assert len(original) == len(model.state_dict()) - 3
    assert logging.get_verbosity() == verbosity
    assert "You are using a model of type" not in capfd.readouterr().err


def test_a_config_edited_as_the_original_page_says_is_taken(checkpoint):
    _edit(
        checkpoint,
        architectures=["LTPForSequenceClassification"],
        model_type="ltp",
        prune_mode="absolute_threshold",
        final_token_threshold=0.03,
    )
    model = load_pruning_model(checkpoint, flag="--restore")
    assert (model.config.prune_mode, model.config.final_token_threshold) == ("absolute_threshold", 0.03)


def test_missing_pieces_are_named(checkpoint, tmp_path):
    with pytest.raises(UserError, match=r"--restore /nowhere/at/all: no such folder"):
        check_checkpoint("/nowhere/at/all")
    check_checkpoint("allenai/longformer-base-4096")
    check_checkpoint(checkpoint)
    with pytest.raises(UserError, match="--model_name_or_path .*this is a file"):
        check_checkpoint(checkpoint / "config.json", "--model_name_or_path")
    with pytest.raises(UserError, match=f"no config.json in this folder; did you mean {checkpoint}"):
        check_checkpoint(tmp_path)
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no weights in this folder"):
        check_checkpoint(checkpoint)
    (checkpoint / "config.json").unlink()
    with pytest.raises(UserError, match="no config.json in this folder; expected the output folder of a stage"):
        check_checkpoint(checkpoint)


@pytest.mark.parametrize(
    "config, message",
    [
        ("{", "not a valid JSON file"),
        ("{}", "Should have a `model_type` key"),
        ('{"model_type": "bert"}', "model type 'bert'; expected one of longformer, ltp"),
        ('{"model_type": "ltp", "prune_mode": "best"}', "has to be None or one of absolute_threshold.*, not 'best'"),
        ('{"model_type": "ltp", "vocab_size": "many"}', "Field 'vocab_size' expected int"),
    ],
)
def test_bad_configurations_are_named(checkpoint, config, message):
    (checkpoint / "config.json").write_text(config)
    with pytest.raises(UserError, match=f"--restore {checkpoint}: .*{message}"):
        load_pruning_model(checkpoint, flag="--restore")


def test_weights_that_do_not_fit_are_named(checkpoint):
    _edit(checkpoint, hidden_size=16)
    for new_head in (False, True):
        with pytest.raises(
            UserError, match=r"--restore .*: the weights cannot be loaded: .* is \[.*32.*\]; expected \["
        ):
            load_pruning_model(checkpoint, flag="--restore", new_head=new_head)
    (checkpoint / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(UserError, match="--restore .*: the weights cannot be loaded"):
        load_pruning_model(checkpoint, flag="--restore")


def test_a_model_without_classification_head_is_for_fine_tuning_only(longformer_dir, tmp_path, capsys):
    LongformerForSequenceClassification.from_pretrained(longformer_dir).longformer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"weights are missing \(classifier.*run run_glue_code_metrics.py first"):
        load_pruning_model(tmp_path, flag="--restore")
    model = load_pruning_model(tmp_path, flag="--restore", new_head=True)
    assert model.classifier.out_proj.weight.shape == (2, 32)


def test_a_name_that_is_neither_folder_nor_on_the_hub(monkeypatch):
    monkeypatch.setattr(hub, "is_offline", lambda: True)
    with pytest.raises(UserError, match="--restore code_test: no such folder, and no model of that name on the hub"):
        load_config("code_test", flag="--restore")


def test_tokenizers_are_checked(longformer_dir, checkpoint):
    config, tokenizer = load_config(longformer_dir, flag=""), load_tokenizer(longformer_dir, flag="--restore")
    check_tokenizer_fits(tokenizer, config, flag="--restore")
    config.pad_token_id = 3
    with pytest.raises(UserError, match="padding token has id 1, the model's 3"):
        check_tokenizer_fits(tokenizer, config, flag="--restore")
    config.vocab_size = 300
    with pytest.raises(UserError, match=r"--restore: the tokenizer has 3\d\d tokens and the model 300"):
        check_tokenizer_fits(tokenizer, config, flag="--restore")
    tokenizer.pad_token = None
    tokenizer.save_pretrained(checkpoint)
    with pytest.raises(UserError, match="has no padding token"):
        load_tokenizer(checkpoint, flag="--tokenizer_name")
    for file in checkpoint.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(UserError, match="--tokenizer_name .*: no tokenizer in this folder"):
        load_tokenizer(checkpoint, flag="--tokenizer_name")


def test_positions_after_the_padding_token_are_not_usable(longformer_dir):
    assert position_limit(load_config(longformer_dir, flag="")) == 128
