import json

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
from ltp_pipeline.model.weights import load_weights
from transformer_revised import LTPForSequenceClassification


def edit_config(checkpoint, **values):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, **values}))


def test_a_longformer_checkpoint_becomes_ltp_with_its_weights(longformer_dir, capfd):
    verbosity = logging.get_verbosity()
    model = load_pruning_model(longformer_dir, flag="--restore", prune_mode="absolute_threshold", temperature=0.5)
    assert (model.config.model_type, model.config.temperature) == ("ltp", 0.5)
    assert [offset.item() for offset in model.learned_thresholds()] == [0] * 3
    original = LongformerForSequenceClassification.from_pretrained(longformer_dir).state_dict()
    state = model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in original.items())
    assert len(original) == len(state) - 3
    assert logging.get_verbosity() == verbosity
    assert "You are using a model of type" not in capfd.readouterr().err


def test_missing_files_of_a_checkpoint(checkpoint, tmp_path):
    check_checkpoint("allenai/longformer-base-4096")
    check_checkpoint(checkpoint)
    with pytest.raises(UserError, match=f"no config.json in this folder; did you mean {checkpoint}"):
        check_checkpoint(tmp_path)
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(UserError, match=f"--model_name_or_path {checkpoint}: no weights in this folder"):
        check_checkpoint(checkpoint, "--model_name_or_path")


@pytest.mark.parametrize(
    "config, message",
    [
        ("{", "config.json is not well-formed JSON"),
        ("{}", "config.json has no model_type"),
        ('{"model_type": "ltp", "prune_mode": "best"}', "has to be None or one of absolute_threshold.*, not 'best'"),
        ('{"model_type": "ltp", "vocab_size": "many"}', "vocab_size 'many'; expected a whole number"),
    ],
)
def test_wrong_configurations(checkpoint, config, message):
    (checkpoint / "config.json").write_text(config)
    with pytest.raises(UserError, match=f"--restore {checkpoint}: .*{message}"):
        load_pruning_model(checkpoint, flag="--restore")


@pytest.mark.parametrize("new_head", [False, True])
def test_weights_of_other_shapes(checkpoint, new_head):
    edit_config(checkpoint, hidden_size=16, model_type="ltp")
    config = load_config(checkpoint, flag="--restore")
    with pytest.raises(UserError, match=r"--restore .*: the weights cannot be loaded: .* is \[.*32.*\]; expected \["):
        load_weights(LTPForSequenceClassification, checkpoint, config, flag="--restore", new_head=new_head)


def test_a_file_that_holds_no_weights(checkpoint):
    (checkpoint / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(UserError, match="--restore .*: the weights cannot be loaded"):
        load_pruning_model(checkpoint, flag="--restore")


def test_a_model_without_classification_head_is_for_fine_tuning_only(longformer_dir, tmp_path):
    LongformerForSequenceClassification.from_pretrained(longformer_dir).longformer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"weights are missing \(classifier.*run run_glue_code_metrics.py first"):
        load_pruning_model(tmp_path, flag="--restore")
    config = load_config(tmp_path, flag="--restore")
    model = load_weights(LongformerForSequenceClassification, tmp_path, config, flag="--restore", new_head=True)
    assert model.classifier.out_proj.weight.shape == (2, 32)


def test_a_configuration_of_a_folder_that_has_none(tmp_path):
    with pytest.raises(UserError, match=f"--config_name {tmp_path}: no config.json in this folder"):
        load_config(tmp_path, flag="--config_name")


def test_a_name_that_is_neither_folder_nor_on_the_hub(monkeypatch):
    monkeypatch.setattr(hub, "is_offline", lambda: True)
    with pytest.raises(UserError, match="--restore code_test: no such folder, and no model of that name on the hub"):
        load_config("code_test", flag="--restore")


def test_tokenizers_that_do_not_fit(longformer_dir, checkpoint):
    config, tokenizer = load_config(longformer_dir, flag=""), load_tokenizer(longformer_dir, flag="--restore")
    assert position_limit(config) == 128  # the first two position ids belong to padding
    check_tokenizer_fits(tokenizer, config, flag="--restore")
    for name, value, message in (
        ("pad_token_id", 3, "padding token has id 1, the model's 3"),
        ("vocab_size", 300, r"--restore: the tokenizer has 3\d\d tokens and the model only 300"),
    ):
        setattr(config, name, value)
        with pytest.raises(UserError, match=message):
            check_tokenizer_fits(tokenizer, config, flag="--restore")
    tokenizer.pad_token = None
    tokenizer.save_pretrained(checkpoint)
    with pytest.raises(UserError, match="has no padding token"):
        load_tokenizer(checkpoint, flag="--tokenizer_name")
    for file in checkpoint.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(UserError, match="--tokenizer_name .*: no tokenizer in this folder"):
        load_tokenizer(checkpoint, flag="--tokenizer_name")
