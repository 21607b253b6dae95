"""A training stops at a loss, gradients or weights that are NaN or infinite, and names the step and the rows."""

import re
from pathlib import Path

import pandas as pd
import pytest
import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.training.trainer import ClassifierTrainer
from tests.ltp_pipeline.training.conftest import fine_tune, prune

TUNE = (
    "--model_name_or_path longformer --do_train --do_eval --train_file train.csv --validation_file test.csv --seed 5 "
    "--max_seq_length 96 --learning_rate 1e-3 --num_train_epochs 2 --dtype float32 --per_device_train_batch_size 4 "
    "--save_strategy steps --save_steps 4 --output_dir out"
)
STAGE = (
    "--restore longformer --train_file train.csv --validation_file test.csv --max_seq_len 96 --lr 1e-3 --bs 4 "
    "--epoch 2 --save_step 4 --dtype float32 --temperature 0.1 --final_token_threshold 0.9 --output_dir out"
)


def rows_of(inputs, dataset):
    """The rows in the file, from 1, of a batch's functions, which all differ."""
    functions = {tuple(ids): row + 1 for ids, row in zip(dataset["input_ids"], dataset["row"])}
    items = zip(inputs["input_ids"], inputs["attention_mask"])
    return sorted(functions[tuple(ids[mask > 0].tolist())] for ids, mask in items)


def spoil(monkeypatch, row, value, where="loss"):
    """From step 7 on, a batch with this row of train.csv has the loss, or multiplies the gradients by, `value`.

    Returns the rows of each batch so far.
    """
    original, seen = ClassifierTrainer.compute_loss, []

    def compute_loss(self, model, inputs, *args, **kwargs):
        loss = original(self, model, inputs, *args, **kwargs)
        if not self.model.training:
            return loss
        seen.append(rows_of(inputs, self.train_dataset))
        if self.state.global_step < 6 or row not in seen[-1]:
            return loss
        if where == "loss":
            return loss * value
        loss.register_hook(lambda gradient: gradient * value)
        return loss

    monkeypatch.setattr(ClassifierTrainer, "compute_loss", compute_loss)
    return seen


def stopped(main, flags):
    """Runs a training that stops. Returns the step and the rows that its error names, and the error."""
    with pytest.raises(UserError) as error:
        main(flags)
    text = str(error.value)
    step, rows = re.search(
        r"stopped at step (\d+).*rows of the training data in this batch: ([\d, ]+);", text
    ).groups()
    return int(step), [int(row) for row in rows.split(", ")], text


@pytest.mark.parametrize(
    "where, value", [(where, value) for where in ("loss", "gradients") for value in (torch.nan, torch.inf)]
)
def test_it_names_the_step_and_the_rows_of_the_batch(workplace, monkeypatch, where, value):
    seen = spoil(monkeypatch, row=17, value=value, where=where)
    step, rows, text = stopped(fine_tune, TUNE)
    assert 7 <= step <= 12
    assert rows == seen[-1] and 17 in rows and len(rows) == 4 and len(seen) == step
    assert ("gradients" if where == "gradients" else f"the loss is {value}") in text
    assert list(Path("out.unfinished").glob("checkpoint-*/model.safetensors")) and not Path("out").exists()


@pytest.mark.parametrize("flags", ["", "--gradient_accumulation_steps 2", "--max_tokens_per_batch 300"])
def test_in_soft_pruning_with_accumulation_and_batches_by_tokens(workplace, monkeypatch, flags):
    seen = spoil(monkeypatch, row=3, value=torch.nan)
    _, rows, _ = stopped(prune, f"{STAGE} --masking_mode soft --no_load --lambda 0.1 --epoch 4 {flags}")
    assert 3 in rows and rows in seen


def test_a_learning_rate_that_is_too_large(workplace):
    with pytest.raises(UserError, match=r"stopped at step \d: .*--learning_rate"):
        fine_tune(TUNE.replace("--learning_rate 1e-3", "--learning_rate 1e30"))
    assert not list(workplace.glob("out*/**/*.safetensors"))


def test_weights_that_are_not_finite_are_never_saved(workplace, monkeypatch):
    class Infinite(torch.optim.SGD):
        def step(self, *args, **kwargs):
            self.param_groups[0]["params"][0].data[0] = torch.inf

    monkeypatch.setattr(ClassifierTrainer, "create_optimizer", _optimizer(Infinite))
    with pytest.raises(UserError, match=r"step 1\b.*weights are NaN or infinite.*classifier|word_embeddings"):
        fine_tune(f"{TUNE} --save_steps 1")
    assert not list(workplace.glob("out*/**/*.safetensors"))


def test_a_threshold_that_is_nan_stops_the_training(workplace, monkeypatch):
    class Spoilt(torch.optim.SGD):
        def step(self, *args, **kwargs):
            trainer.model.learned_thresholds()[1].data.fill_(torch.nan)

    def create_optimizer(self, *args, **kwargs):
        nonlocal trainer
        trainer, self.optimizer = self, Spoilt(self.model.parameters(), lr=1e-3)
        return self.optimizer

    trainer = None
    monkeypatch.setattr(ClassifierTrainer, "create_optimizer", create_optimizer)
    with pytest.raises(UserError, match=r"step 2\b.*step 1 made NaN or infinite weights \(.*layer\.1.*keep_threshold"):
        prune(f"{STAGE} --masking_mode soft --no_load --lambda 0.1 --save_step 4")
    assert not list(workplace.glob("out*/**/*.safetensors"))


def _optimizer(kind):
    def create_optimizer(self, *args, **kwargs):
        self.optimizer = kind(self.model.parameters(), lr=1e-3)
        return self.optimizer

    return create_optimizer


def test_an_evaluation_names_the_rows(workplace, monkeypatch):
    original = ClassifierTrainer.prediction_step

    def prediction_step(self, model, inputs, *args, **kwargs):
        loss, logits, labels = original(self, model, inputs, *args, **kwargs)
        lengths = inputs["attention_mask"].sum(dim=1)
        logits[lengths == len(["<s>", "int", "</s>"]), 1] = torch.nan
        return loss, logits, labels

    frame = pd.read_csv("test.csv")
    frame.loc[6, "functionSource"] = "int"
    frame.to_csv("test.csv", index=False)
    monkeypatch.setattr(ClassifierTrainer, "prediction_step", prediction_step)
    with pytest.raises(UserError, match="no finite numbers for rows 7 of the evaluation"):
        fine_tune(f"{TUNE} --eval_strategy steps --eval_steps 2")


def test_rows_of_equal_functions_are_all_named(workplace, monkeypatch):
    frame = pd.read_csv("train.csv")
    frame.loc[20] = frame.loc[4]
    frame.to_csv("train.csv", index=False)
    spoil(monkeypatch, row=21, value=torch.nan)
    _, rows, _ = stopped(fine_tune, TUNE)
    assert {5, 21} <= set(rows)
