"""Batches by tokens, early stopping and dtypes, through the scripts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.training.trainer import ClassifierTrainer
from tests.ltp_pipeline.training.conftest import fine_tune, log_history, prune, results

FLAGS = (
    "--model_name_or_path longformer --do_train --do_eval --train_file train.csv --validation_file test.csv --seed 5 "
    "--max_seq_length 96 --learning_rate 1e-3 --num_train_epochs 2 --dtype float32"
)
STAGE = "--train_file train.csv --validation_file test.csv --max_seq_len 96 --restore longformer --no_load"
EVALUATE = "--model_name_or_path longformer --do_eval --validation_file test.csv --max_seq_length 96 --dtype float32"


@pytest.fixture
def place(workplace):
    """The working directory, with functions of different lengths in test.csv."""
    test = pd.read_csv("test.csv")
    test["functionSource"] = [text[: 60 + 20 * (i * 7 % 10)] for i, text in enumerate(test["functionSource"])]
    test.to_csv("test.csv", index=False)
    return workplace


@pytest.fixture
def recorded(monkeypatch):
    """Makes a method of the trainer append what `what(trainer, inputs, output)` returns to a list."""

    def record(name, what):
        calls, method = [], getattr(ClassifierTrainer, name)

        def wrapped(self, *args, **kwargs):
            # Read before the call, as the library may change the inputs.
            inputs = dict(args[1]) if len(args) > 1 else {}
            output = method(self, *args, **kwargs)
            calls.append(what(self, inputs, output))
            return output

        monkeypatch.setattr(ClassifierTrainer, name, wrapped)
        return calls

    return record


def size_and_tokens(trainer, inputs, output):
    return len(inputs["labels"]), int(inputs["attention_mask"].sum())


def loss_of(folder):
    """Mean cross entropy of the predictions that a run has written."""
    predictions = pd.read_csv(Path(folder, "predictions.csv"))
    return -np.log(np.where(predictions["label"] == 1, predictions["score"], 1 - predictions["score"])).mean()


def test_batches_by_tokens_train_and_evaluate(place, recorded):
    sizes = recorded("training_step", size_and_tokens)
    fine_tune(f"{FLAGS} --max_tokens_per_batch 300 --output_dir out")
    assert sum(functions for functions, _ in sizes) == 2 * 24
    assert 200 < max(tokens for _, tokens in sizes) <= 300
    assert results("out")["epoch"] == 2
    assert log_history("out")[-1]["step"] == len(sizes)
    assert results("out")["eval_loss"] == pytest.approx(loss_of("out"), abs=1e-6)
    fine_tune(f"{EVALUATE.replace('longformer', 'out')} --per_device_eval_batch_size 3 --output_dir plain")
    plain, dynamic = (pd.read_csv(f"{folder}/predictions.csv") for folder in ("plain", "out"))
    np.testing.assert_allclose(dynamic["score"], plain["score"], atol=1e-6)
    assert dynamic["score"].nunique() == 10
    for name in ("eval_f1", "eval_auc", "eval_relative_flops", "eval_tokens", "eval_functions"):
        assert results("plain")[name] == results("out")[name]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", [10]),  # 8192 tokens
        ("--per_device_eval_batch_size 4", [4, 4, 2]),
        ("--max_tokens_per_batch 120", None),
    ],
)
def test_evaluation_is_by_tokens_unless_a_number_of_functions_is_given(place, recorded, flags, expected):
    calls = recorded("prediction_step", size_and_tokens)
    fine_tune(f"{EVALUATE} {flags} --output_dir out")
    sizes = [size for size, _ in calls]
    if expected is None:
        assert sum(sizes) == 10 and 90 < max(tokens for _, tokens in calls) <= 120
    else:
        assert sizes == expected
    assert results("out")["eval_loss"] == pytest.approx(loss_of("out"), abs=1e-6)
    assert pd.read_csv("out/predictions.csv")["label"].tolist() == pd.read_csv("test.csv")["label"].tolist()


@pytest.mark.parametrize(("flags", "most"), [("--max_tokens_per_batch 150", 150), ("--bs 3", 8192)])
def test_the_budget_is_calibrated_in_batches_by_tokens(place, recorded, flags, most):
    calls = recorded("_calibration_batches", lambda trainer, inputs, batches: batches)
    prune(f"{STAGE} --max_steps 1 --masking_mode soft --target_flops 0.85 --output_dir soft {flags}")
    tokens = [int(batch["attention_mask"].sum()) for batch in calls[0]]
    assert max(tokens) <= most and sum(len(batch["input_ids"]) for batch in calls[0]) == 10
    assert len(tokens) == 1 if most == 8192 else len(tokens) > 2


def test_the_rate_of_the_thresholds_is_that_of_the_steps_taken(place, recorded):
    """The rate falls with the number of optimizer steps: rate times steps is the same, with batches by tokens, too."""
    runs = recorded("train", lambda trainer, *_: (trainer.args.lr_threshold, trainer.state.global_step))
    for i, accumulated in enumerate((1, 3, 7)):
        flags = f"--max_tokens_per_batch 150 --gradient_accumulation_steps {accumulated} --epoch 2"
        prune(f"{STAGE} {flags} --masking_mode soft --target_flops 0.85 --output_dir soft_{i} --save_step 1000")
    assert len({steps for _, steps in runs}) == 3
    assert [rate * steps for rate, steps in runs] == pytest.approx([runs[0][0] * runs[0][1]] * 3)


def test_bfloat16_weights_where_nothing_is_trained_and_autocast_where_something_is(place, recorded):
    seen = recorded(
        "prediction_step",
        lambda trainer, inputs, output: (
            trainer.model.classifier.dense.weight.dtype,
            trainer.accelerator.mixed_precision,
            output[0].dtype,
        ),
    )
    steps = "--max_steps 2 --save_step 1 --eval_steps 1 --dtype bfloat16 --final_token_threshold 0.3"
    prune(f"{STAGE} {steps} --masking_mode soft --output_dir soft")
    assert len(seen) == 3 and set(seen) == {(torch.float32, "bf16", torch.float32)}
    assert (results("soft")["train_dtype"], results("soft")["eval_dtype"]) == ("bfloat16", "bfloat16")
    seen.clear()
    scores = {}
    for dtype in ("bfloat16", "float32"):
        prune(f"--restore soft --validation_file test.csv --eval --dtype {dtype} --output_dir {dtype}")
        assert results(dtype)["eval_dtype"] == dtype
        scores[dtype] = pd.read_csv(f"{dtype}/predictions.csv")["score"]
    assert seen == [(torch.bfloat16, "no", torch.float32), (torch.float32, "no", torch.float32)]
    np.testing.assert_allclose(scores["bfloat16"], scores["float32"], atol=5e-3)
    assert results("bfloat16")["eval_thresholds_per_layer"] == results("float32")["eval_thresholds_per_layer"]


def test_a_function_to_evaluate_that_is_longer_than_a_batch_is_an_error_before_training(place):
    pd.read_csv("train.csv").assign(functionSource="int a;").to_csv("train.csv", index=False)
    with pytest.raises(UserError, match="--max_tokens_per_batch 50: the longest function"):
        fine_tune(f"{FLAGS} --max_tokens_per_batch 50 --output_dir out")
    assert not Path("out").exists() and not Path("out.unfinished").exists()


def test_early_stopping_ends_with_the_best(place):
    flags = f"{FLAGS} --num_train_epochs 9 --early_stopping_patience 2 --metric_for_best_model loss"
    fine_tune(f"{flags} --learning_rate 1e-6 --early_stopping_threshold 0.5 --output_dir out")
    losses = [entry["eval_loss"] for entry in log_history("out") if "eval_loss" in entry]
    assert len(losses) == 3  # none is better by 0.5 than the first
    assert results("out")["eval_loss"] == pytest.approx(min(losses))


@pytest.mark.parametrize("metric, better", [("auc", max), ("false_alarm_rate", min), ("vd_s_5", min)])
def test_the_best_step_is_the_right_one(place, metric, better):
    fine_tune(f"{FLAGS} --load_best_model_at_end --metric_for_best_model {metric} --output_dir out")
    values = [entry[f"eval_{metric}"] for entry in log_history("out") if f"eval_{metric}" in entry]
    assert len(values) == 2
    assert results("out")[f"eval_{metric}"] == better(values)
