"""Batches by tokens and early stopping, through the scripts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import skip_first_batches
from accelerate.data_loader import BatchSamplerShard, SeedableRandomSampler
from torch.utils.data import BatchSampler, DataLoader

import run_code_metrics
import run_glue_code_metrics
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.training.callbacks import set_epoch
from ltp_pipeline.training.reports import mean_loss
from ltp_pipeline.training.trainer import ClassifierTrainer

FLAGS = (
    "--model_name_or_path longformer --do_train --do_eval --train_file train.csv --validation_file test.csv --seed 5 "
    "--max_seq_length 96 --learning_rate 1e-3 --num_train_epochs 2"
)


@pytest.fixture
def place(files, longformer_dir, tmp_path, monkeypatch):
    """The working directory; the functions of test.csv differ in length."""
    shutil.copy(files["train"], tmp_path / "train.csv")
    test = pd.read_csv(files["test"])
    test["functionSource"] = [text[: 60 + 20 * (i * 7 % 10)] for i, text in enumerate(test["functionSource"])]
    test.to_csv(tmp_path / "test.csv", index=False)
    shutil.copytree(longformer_dir, tmp_path / "longformer")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def results(folder):
    return json.loads(Path(folder, "all_results.json").read_text())


def loss_of(folder):
    """Mean cross entropy of the predictions that a run has written."""
    predictions = pd.read_csv(Path(folder, "predictions.csv"))
    return -np.log(np.where(predictions["label"] == 1, predictions["score"], 1 - predictions["score"])).mean()


def test_batches_by_tokens_train_and_evaluate(place, monkeypatch):
    sizes = []
    step = ClassifierTrainer.training_step

    def recorded(self, model, inputs, *args, **kwargs):
        sizes.append((len(inputs["labels"]), int(inputs["attention_mask"].sum())))
        return step(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(ClassifierTrainer, "training_step", recorded)
    run_glue_code_metrics.main(f"{FLAGS} --max_tokens_per_batch 300 --output_dir out".split())
    assert sum(functions for functions, _ in sizes) == 2 * 24
    assert 200 < max(tokens for _, tokens in sizes) <= 300
    assert results("out")["epoch"] == 2
    state = json.loads(Path("out/trainer_state.json").read_text())
    assert state["max_steps"] == len(sizes)
    assert results("out")["eval_loss"] == pytest.approx(loss_of("out"), abs=1e-6)
    evaluate = "--model_name_or_path out --do_eval --validation_file test.csv"
    run_glue_code_metrics.main(f"{evaluate} --max_tokens_per_batch 90 --output_dir small".split())
    assert results("small")["eval_loss"] == pytest.approx(loss_of("small"), abs=1e-7)
    run_glue_code_metrics.main(f"{evaluate} --per_device_eval_batch_size 3 --output_dir plain".split())
    plain, dynamic = (pd.read_csv(f"{folder}/predictions.csv") for folder in ("plain", "out"))
    np.testing.assert_allclose(dynamic["score"], plain["score"], atol=1e-6)
    assert dynamic["score"].nunique() == 10
    for name in ("eval_f1", "eval_auc", "eval_relative_flops", "eval_tokens", "eval_functions"):
        assert results("plain")[name] == results("out")[name]


def test_a_stage_takes_them_too(place):
    flags = "--train_file train.csv --validation_file test.csv --max_seq_len 96 --epoch 1 --no_load"
    soft = "--masking_mode soft --temperature 0.1 --lambda 0.1 --lr_threshold 0.01"
    run_code_metrics.main(f"{flags} {soft} --restore longformer --max_tokens_per_batch 200 --output_dir soft".split())
    assert results("soft")["eval_loss"] == pytest.approx(loss_of("soft"), abs=1e-6)
    assert results("soft")["train_samples"] == 24


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", [10]),  # 8192 tokens
        ("--per_device_eval_batch_size 4", [4, 4, 2]),
        ("--max_tokens_per_batch 120", None),
    ],
)
def test_evaluation_is_by_tokens_unless_a_number_of_functions_is_given(place, monkeypatch, flags, expected):
    sizes, tokens = [], []
    step = ClassifierTrainer.prediction_step

    def recorded(self, model, inputs, *args, **kwargs):
        sizes.append(len(inputs["labels"]))
        tokens.append(int(inputs["attention_mask"].sum()))
        return step(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(ClassifierTrainer, "prediction_step", recorded)
    evaluate = "--model_name_or_path longformer --do_eval --validation_file test.csv --max_seq_length 96"
    run_glue_code_metrics.main(f"{evaluate} {flags} --output_dir out".split())
    if expected is None:
        assert sum(sizes) == 10 and 90 < max(tokens) <= 120
    else:
        assert sizes == expected
    assert results("out")["eval_loss"] == pytest.approx(loss_of("out"), abs=1e-6)
    assert pd.read_csv("out/predictions.csv")["label"].tolist() == pd.read_csv("test.csv")["label"].tolist()


@pytest.mark.parametrize(("flags", "most"), [("--max_tokens_per_batch 150", 150), ("--bs 3", 8192)])
def test_the_budget_is_calibrated_in_batches_by_tokens(place, monkeypatch, flags, most):
    seen = []
    made = ClassifierTrainer._calibration_batches

    def recorded(self):
        seen.append(made(self))
        return seen[-1]

    monkeypatch.setattr(ClassifierTrainer, "_calibration_batches", recorded)
    stage = "--train_file train.csv --validation_file test.csv --max_seq_len 96 --max_steps 1 --no_load"
    soft = "--masking_mode soft --target_flops 0.85 --restore longformer --output_dir soft"
    run_code_metrics.main(f"{stage} {soft} {flags}".split())
    tokens = [int(batch["attention_mask"].sum()) for batch in seen[0]]
    assert max(tokens) <= most and sum(len(batch["input_ids"]) for batch in seen[0]) == 10
    assert len(tokens) == 1 if most == 8192 else len(tokens) > 2


def test_bfloat16_is_held_where_nothing_is_trained_and_autocast_where_something_is(place, monkeypatch):
    seen = []
    step = ClassifierTrainer.prediction_step

    def recorded(self, model, inputs, *args, **kwargs):
        loss, logits, labels = step(self, model, inputs, *args, **kwargs)
        seen.append((model.classifier.dense.weight.dtype, self.accelerator.mixed_precision, loss.dtype))
        return loss, logits, labels

    monkeypatch.setattr(ClassifierTrainer, "prediction_step", recorded)
    stage = "--train_file train.csv --validation_file test.csv --max_seq_len 96 --max_steps 2 --no_load --save_step 1"
    flags = f"{stage} --eval_steps 1 --dtype bfloat16 --restore longformer --final_token_threshold 0.3"
    run_code_metrics.main(f"{flags} --masking_mode soft --output_dir soft".split())
    assert len(seen) == 3 and set(seen) == {(torch.float32, "bf16", torch.float32)}
    assert (results("soft")["train_dtype"], results("soft")["eval_dtype"]) == ("bfloat16", "bfloat16")
    seen.clear()
    evaluate = "--restore soft --validation_file test.csv --eval"
    scores = {}
    for dtype in ("bfloat16", "float32"):
        run_code_metrics.main(f"{evaluate} --dtype {dtype} --output_dir {dtype}".split())
        assert results(dtype)["eval_dtype"] == dtype
        scores[dtype] = pd.read_csv(f"{dtype}/predictions.csv")["score"]
    assert seen == [(torch.bfloat16, "no", torch.float32), (torch.float32, "no", torch.float32)]
    np.testing.assert_allclose(scores["bfloat16"], scores["float32"], atol=5e-3)
    assert results("bfloat16")["eval_thresholds_per_layer"] == results("float32")["eval_thresholds_per_layer"]
    with pytest.raises(UserError, match="--dtype float32 and --bf16 contradict each other"):
        run_code_metrics.main(f"{evaluate} --dtype float32 --bf16 --output_dir out".split())


def test_a_function_longer_than_a_batch_is_an_error_before_training(place):
    with pytest.raises(UserError, match="--max_tokens_per_batch 50: the longest function has .* a --max_seq_length"):
        run_glue_code_metrics.main(f"{FLAGS} --max_tokens_per_batch 50 --output_dir out".split())
    assert not Path("out").exists() and not Path("out.unfinished").exists()
    short = pd.read_csv("train.csv").assign(functionSource="int a;")
    short.to_csv("train.csv", index=False)
    with pytest.raises(UserError, match="--max_tokens_per_batch 50: the longest function"):  # in test.csv
        run_glue_code_metrics.main(f"{FLAGS} --max_tokens_per_batch 50 --output_dir out".split())
    with pytest.raises(UserError, match="--max_tokens_per_batch 0: expected a number above 0"):
        run_glue_code_metrics.main(f"{FLAGS} --max_tokens_per_batch 0 --output_dir out".split())


@pytest.mark.slow
def test_two_processes_share_batches_by_tokens(place):
    program = Path(run_code_metrics.__file__).with_name("run_glue_code_metrics.py")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    pd.read_csv("test.csv").head(9).to_csv("test.csv", index=False)
    flags = f"{FLAGS} --use_cpu --dtype float32 --max_tokens_per_batch 300 --output_dir two"
    done = subprocess.run(
        [*launch, str(program), *flags.split()], capture_output=True, text=True, timeout=300, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    evaluate = "--model_name_or_path two --do_eval --validation_file test.csv --output_dir plain"
    run_glue_code_metrics.main(evaluate.split())
    two, plain = (pd.read_csv(f"{folder}/predictions.csv") for folder in ("two", "plain"))
    np.testing.assert_allclose(two["score"], plain["score"], atol=1e-6)
    assert two["label"].tolist() == plain["label"].tolist()
    assert results("two")["eval_loss"] == pytest.approx(loss_of("two"), abs=1e-6)
    assert results("two")["train_samples"] == 24


def test_early_stopping_ends_with_the_best(place):
    flags = f"{FLAGS} --num_train_epochs 9 --early_stopping_patience 2 --metric_for_best_model loss"
    run_glue_code_metrics.main(f"{flags} --learning_rate 1e-6 --early_stopping_threshold 0.5 --output_dir out".split())
    state = json.loads(Path("out/trainer_state.json").read_text())
    losses = [entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry]
    assert len(losses) == 3  # none is better by 0.5 than the first
    assert results("out")["eval_loss"] == pytest.approx(min(losses))
    assert state["best_metric"] == min(losses)


@pytest.mark.parametrize("metric, larger", [("f1", True), ("auc", True), ("false_alarm_rate", False), ("loss", False)])
def test_the_best_step_is_the_right_one(place, metric, larger):
    run_glue_code_metrics.main(
        f"{FLAGS} --load_best_model_at_end --metric_for_best_model {metric} --output_dir out".split()
    )
    state = json.loads(Path("out/trainer_state.json").read_text())
    values = [entry[f"eval_{metric}"] for entry in state["log_history"] if f"eval_{metric}" in entry]
    assert len(values) == 2
    assert state["best_metric"] == (max if larger else min)(values) == results("out")[f"eval_{metric}"]


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--metric_for_best_model speed", "--metric_for_best_model speed: the metrics of CODE are f1, accuracy"),
        ("--early_stopping_patience 0", "--early_stopping_patience 0: expected a number above 0"),
        ("--early_stopping_threshold -1", "--early_stopping_threshold -1.0: expected 0 or more"),
    ],
)
def test_bad_flags(place, flags, message):
    with pytest.raises(UserError, match=message):
        run_glue_code_metrics.main(f"{FLAGS} {flags} --output_dir out".split())


def test_early_stopping_and_the_last_step_do_not_go_together(place):
    with pytest.raises(UserError, match="--early_stopping_patience: the result is the best step"):
        run_code_metrics.main("--restore x --early_stopping_patience 2 --no_load".split())


def test_the_epoch_reaches_a_sampler_behind_skipped_batches_and_a_share():
    sampler = SeedableRandomSampler(range(8), data_seed=1)
    shared = DataLoader(range(8), batch_sampler=BatchSamplerShard(BatchSampler(sampler, 2, False), 2, 0))
    set_epoch(skip_first_batches(shared, 1), 3)
    assert sampler.epoch == 3


def test_mean_loss_weighs_entries_by_their_steps():
    log = [{"loss": 1.0, "step": 3}, {"eval_loss": 9.0, "step": 3}, {"loss": 4.0, "step": 4}]
    assert mean_loss(log) == pytest.approx((3 * 1 + 4) / 4)
    assert mean_loss([]) is None
