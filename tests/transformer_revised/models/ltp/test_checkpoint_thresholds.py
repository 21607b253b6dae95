"""Checkpoints whose learned thresholds are missing, renamed, partly there, or of another mode."""

import json
import re
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from transformer_revised import LTPConfig, LTPForSequenceClassification, LTPModel
from transformer_revised.models.ltp.prune_modules import PRUNERS

from .tiny import longformer_twin, tiny_model

KEY = "longformer.encoder.layer.{}.attention.self.pruner.keep_threshold"
EVERY_KEY = re.compile("keep_threshold")


@pytest.fixture
def checkpoint(tmp_path):
    """A folder with a trained LTP checkpoint."""
    model = tiny_model()
    with torch.no_grad():
        for i, offset in enumerate(model.learned_thresholds()):
            offset.fill_(0.1 * i)
    model.save_pretrained(tmp_path)
    return tmp_path


def edit_weights(folder, change) -> None:
    """`change`: from the name of a weight to its new name, or to `None` to leave the weight out."""
    weights = load_file(folder / "model.safetensors")
    changed = {change(name): weight for name, weight in weights.items() if change(name) is not None}
    save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})


def edit_config(folder, **values) -> None:
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**stored, **values}))


@pytest.mark.parametrize("model_class", [LTPForSequenceClassification, LTPModel, AutoModelForSequenceClassification])
@pytest.mark.parametrize(
    "change, count, first",
    [
        (lambda name: None if EVERY_KEY.search(name) else name, 4, 0),
        (lambda name: EVERY_KEY.sub("threshold", name), 4, 0),
        (lambda name: name.replace("pruner.", "token_pruner."), 4, 0),
        (lambda name: None if name == KEY.format(2) else name, 1, 2),
        (lambda name: name.replace("pruner", "Pruner") if "layer.3" in name else name, 1, 3),
    ],
    ids=["none", "renamed", "other module", "all but one", "one renamed"],
)
def test_missing_thresholds_are_an_error(checkpoint, model_class, change, count, first):
    edit_weights(checkpoint, change)
    message = rf"{count} of 4 learned thresholds are missing .*layer\.{first}\.attention.* absolute_threshold"
    with pytest.raises(ValueError, match=message):
        model_class.from_pretrained(checkpoint)


def test_some_of_the_thresholds_are_an_error_whatever_the_configuration_says(checkpoint):
    edit_weights(checkpoint, lambda name: None if name == KEY.format(1) else name)
    edit_config(checkpoint, prune_mode=None)
    with pytest.raises(ValueError, match="1 of 4 learned thresholds are missing"):
        LTPForSequenceClassification.from_pretrained(checkpoint, prune_mode="absolute_threshold")


@pytest.mark.parametrize("start", ["a Longformer", "an LTP model that has never pruned", "fixed thresholds", "topk"])
def test_soft_training_may_start_from_a_model_without_thresholds(tmp_path, start):
    modes = {"an LTP model that has never pruned": None, "fixed thresholds": "rising_threshold", "topk": "topk"}
    model = longformer_twin(tiny_model()) if start == "a Longformer" else tiny_model(prune_mode=modes[start])
    model.save_pretrained(tmp_path)
    config = LTPConfig.from_pretrained(tmp_path, prune_mode="absolute_threshold")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = LTPForSequenceClassification.from_pretrained(tmp_path, config=config)
    assert [offset.item() for offset in loaded.learned_thresholds()] == [0] * 4


@pytest.mark.parametrize("mode", [None, *sorted(set(PRUNERS) - {"absolute_threshold"})])
def test_thresholds_that_the_mode_does_not_use(checkpoint, mode):
    with pytest.warns(UserWarning, match=f"4 learned thresholds, but prune mode {mode} does not use them"):
        LTPForSequenceClassification.from_pretrained(checkpoint, prune_mode=mode)
    edit_config(checkpoint, prune_mode=mode)
    with pytest.raises(ValueError, match=f"prune mode {mode} does not use them; expected .* in its config.json"):
        LTPForSequenceClassification.from_pretrained(checkpoint)


def test_a_right_checkpoint_loads_as_it_is(checkpoint):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        head = LTPForSequenceClassification
        for model_class, depth in ((head, 4), (LTPModel, 4), (head, 2)):
            changes = {} if depth == 4 else {"num_hidden_layers": 2, "attention_window": 16}
            loaded = model_class.from_pretrained(checkpoint, **changes)
            offsets = [offset.item() for offset in loaded.learned_thresholds()]
            assert offsets == pytest.approx([0.1 * i for i in range(depth)])


def test_weights_of_something_else_are_left_to_the_library(checkpoint):
    edit_weights(checkpoint, lambda name: f"module.{name}")
    _, info = LTPForSequenceClassification.from_pretrained(checkpoint, output_loading_info=True)
    assert len(info["missing_keys"]) > 60


def test_a_longformer_whose_configuration_was_edited_starts_at_0(tmp_path):
    longformer_twin(tiny_model()).save_pretrained(tmp_path)
    edit_config(tmp_path, model_type="ltp", prune_mode="absolute_threshold", final_token_threshold=0.03)
    model = LTPForSequenceClassification.from_pretrained(tmp_path)
    assert [offset.item() for offset in model.learned_thresholds()] == [0] * 4
