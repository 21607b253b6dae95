"""Thresholds and kept shares in the log, the model card, and how they look."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from huggingface_hub import ModelCard

import run_code_metrics
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.training.callbacks import KeptShares, LayersOnTensorBoard, layers_line
from tests.pruned_checkpoint import save_checkpoint
from transformer_revised import LTPForSequenceClassification

STAGE = (
    "--restore longformer --train_file train.csv --validation_file test.csv --max_seq_len 96 --bs 4 --lr 1e-4 "
    "--temperature 0.1 --lambda 0.1 --final_token_threshold 0.9 --lr_threshold 0.01 --max_steps 4 --logging_steps 2 "
    "--no_load --output_dir out"
)


@pytest.fixture
def model(tmp_path):
    folder = save_checkpoint(tmp_path / "model", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return LTPForSequenceClassification.from_pretrained(folder).train()


@pytest.fixture
def batch():
    ids = torch.randint(5, 200, (3, 40), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(40) < torch.tensor([[40], [25], [11]])).long()
    return {"input_ids": ids.where(mask > 0, torch.tensor(1)), "attention_mask": mask}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_hard_shares_are_those_of_the_tokens_left(model, batch, checkpointing):
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    kept = KeptShares(model)
    lengths = [output.ffn_sentence_lengths for output in (model(**batch), model(**batch))]
    model(**batch).logits.sum().backward()
    model.eval()(**batch)  # does not count
    shares = kept.pop()
    assert shares[0] == pytest.approx(lengths[0][0].sum().item() / 76)
    assert shares[0] < 1
    assert sorted(shares, reverse=True) == shares
    assert shares[3] == shares[2]  # of the last layer only the first token is computed
    assert kept.pop() is None


def test_soft_shares_are_what_hard_masking_would_leave_by_the_same_scores(model, batch):
    model.set_hard_masking(False)
    model.set_temperature(0.1)
    kept = KeptShares(model)
    output = model(**batch, output_pruning=True)
    alive, expected = batch["attention_mask"] > 0, []
    for mask in output.soft_masks:
        survives = mask.nan_to_num() >= 0.5
        survives[:, 0] = True
        alive = alive & survives
        expected.append(alive.sum().item() / 76)
    assert kept.pop() == pytest.approx(expected)
    assert 0 < expected[-1] < expected[0] < 1


@pytest.fixture
def place(files, longformer_dir, tmp_path, monkeypatch):
    for name in ("train", "test"):
        shutil.copy(files[name], tmp_path / f"{name}.csv")
    shutil.copytree(longformer_dir, tmp_path / "longformer")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("mode", ["soft", "hard", "mixed"])
def test_each_log_has_the_layers_and_the_checkpoint_a_card(place, capsys, mode):
    run_code_metrics.main([*f"{STAGE} --masking_mode {mode}".split(), "--train_file", str(place / "train.csv")])
    state = json.loads(Path("out/trainer_state.json").read_text())
    entries = [entry for entry in state["log_history"] if "loss" in entry]
    assert [entry["step"] for entry in entries] == [2, 4]
    assert all(len(entry["thresholds"]) == len(entry["kept_shares"]) == 3 for entry in entries)
    everything = json.loads(Path("out/all_results.json").read_text())
    assert entries[-1]["thresholds"] == everything["eval_thresholds_per_layer"]
    assert (entries[0]["thresholds"] == pytest.approx([0, 0.3, 0.6])) == (mode == "hard")
    log = pd.read_csv("out/pruning_log.csv")
    assert log.columns.tolist() == ["step", "layer", "threshold", "kept_share"]
    assert log["step"].tolist() == [2, 2, 2, 4, 4, 4] and log["layer"].tolist() == [1, 2, 3] * 2
    np.testing.assert_allclose(log["kept_share"], [share for entry in entries for share in entry["kept_shares"]])
    assert f"  {layers_line(entries[0])}\n" in capsys.readouterr().out

    card = ModelCard.load("out/README.md")
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "text-classification")
    assert card.data.tags == ["ltp", "code", "token-pruning"]
    values = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert values["f1"] == everything["eval_f1"] and values["roc_auc"] == everything["eval_auc"]
    assert "| train | train.csv | 24 | 0 | 0: 12, 1: 12 |" in card.content
    assert "| eval | test.csv | 10 | 0 | 0: 5, 1: 5 |" in card.content
    assert f"| relative_flops | {everything['eval_relative_flops']:.4g} |" in card.content
    for layer in range(3):
        row = f"| {layer + 1} | {everything['eval_thresholds_per_layer'][layer]:.4g} | "
        assert row + f"{everything['eval_tokens_kept_per_layer'][layer]:.4g} |" in card.content
    assert f"--masking_mode {mode} --train_file train.csv" in card.content
    assert str(place) not in card.content
    assert f"torch {torch.__version__}" in card.content


def test_tensorboard_gets_a_scalar_a_layer(monkeypatch):
    monkeypatch.setattr("transformers.integrations.integration_utils.is_tensorboard_available", lambda: True)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=None))

    class Writer:
        def __init__(self):
            self.scalars = {}

        def add_scalar(self, name, value, step):
            self.scalars[name] = (value, step)

        def flush(self):
            pass

    class State:
        is_world_process_zero, global_step = True, 7

    writer = Writer()
    callback = LayersOnTensorBoard(tb_writer=writer)
    logs = {"loss": 0.5, "thresholds": [0.0, 0.25], "kept_shares": [1.0, 0.5], "eval_tokens_kept_per_layer": [3.0]}
    callback.on_log(None, State, None, logs=logs)
    assert writer.scalars == {
        "train/loss": (0.5, 7),
        "train/threshold/layer_01": (0.0, 7),
        "train/threshold/layer_02": (0.25, 7),
        "train/kept_share/layer_01": (1.0, 7),
        "train/kept_share/layer_02": (0.5, 7),
    }
    assert logs["thresholds"] == [0.0, 0.25]


def test_tensorboard_that_is_not_installed_is_an_error_before_training(place, monkeypatch):
    monkeypatch.setattr("ltp_pipeline.training.checks.find_spec", lambda name: None)
    with pytest.raises(UserError, match="--report_to tensorboard: the package is not installed; run `pip"):
        run_code_metrics.main(f"{STAGE} --report_to tensorboard".split())
    assert not Path("out.unfinished").exists()


def test_layers_in_a_line():
    assert layers_line({"thresholds": [0.0, 0.0123], "kept_shares": [1, 0.5]}) == "thresholds 0 0.0123 | kept 1 0.5"
    assert layers_line({"loss": 1.0}) == ""
