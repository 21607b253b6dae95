"""LTPTrainer with a compute budget."""

import numpy as np
import pytest
import torch

from transformer_revised import LTPForSequenceClassification, LTPTrainer
from transformer_revised.models.ltp.pruning_budget import measure_relative_flops

from .models.ltp.tiny import random_batch, tiny_model
from .test_trainer_ltp import arguments, pad

TARGET = 0.6


@pytest.fixture(scope="module")
def examples():
    """32 examples of 40 to 119 tokens. Token 7 marks class 1."""
    rng, rows = np.random.default_rng(0), []
    for i in range(32):
        ids = random_batch([int(rng.integers(40, 120))], seed=i)["input_ids"][0]
        ids[5] = 7 if i % 2 else 8
        rows.append({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": i % 2})
    return rows


def model_to_prune():
    return tiny_model(num_hidden_layers=6, final_token_threshold=0.6, score_normalization="rel")


def trainer_for(tmp_path, examples, model=None, **settings):
    defaults = {
        "masking_mode": "soft", "temperature": 0.1, "max_steps": 24, "per_device_train_batch_size": 16,
        "learning_rate": 2e-4, "remove_unused_columns": False, "lr_scheduler_type": "linear",
    }  # fmt: skip
    args = arguments(tmp_path, **{**defaults, **settings})
    return LTPTrainer(model or model_to_prune(), args, train_dataset=examples, data_collator=pad)


def executed(trainer, examples) -> float:
    return measure_relative_flops(trainer.model, [{k: v for k, v in pad(examples).items() if k != "labels"}])


@pytest.mark.parametrize("mode", ["soft", "mixed"])
def test_learned_thresholds_end_at_the_budget(tmp_path, examples, mode):
    trainer = trainer_for(tmp_path, examples, masking_mode=mode, target_flops=TARGET)
    trainer.train()
    assert executed(trainer, examples) == pytest.approx(TARGET, abs=0.01)
    learned = [offset.item() for offset in trainer.model.learned_thresholds()]
    assert learned[0] == 0 and len({round(value, 4) for value in learned[1:]}) > 1, "only shifted, not learned"
    trainer.save_model(str(tmp_path / "saved"))
    assert LTPForSequenceClassification.from_pretrained(tmp_path / "saved").config.target_flops == TARGET


def test_the_controller_brings_what_is_above_the_thresholds_to_the_target(tmp_path, examples, monkeypatch):
    """Without the last shift."""
    monkeypatch.setattr(LTPTrainer, "_meet_target", lambda self: None)
    settings = {"max_steps": 40, "lr_threshold": 0.06, "lr_scheduler_type": "constant"}
    trainer = trainer_for(tmp_path, examples, target_flops=TARGET, **settings)
    trainer.train()
    assert trainer._budget.start > 0.85
    assert trainer._budget.measured == pytest.approx(TARGET, abs=0.05)


def test_hard_training_keeps_the_budget_of_its_checkpoint(tmp_path, examples):
    soft = trainer_for(tmp_path, examples, target_flops=TARGET, max_steps=4)
    soft.train()
    hard = trainer_for(tmp_path, examples, soft.model, masking_mode="hard", learning_rate=3e-3, max_steps=12)
    assert hard.args.target_flops is None
    hard.train()
    assert executed(hard, examples) == pytest.approx(TARGET, abs=0.01)


def test_accumulated_batches_learn_the_budget_as_one_large_batch(tmp_path, examples):
    thresholds = []
    for batch_size, steps in ((16, 1), (6, 3)):  # 6 + 6 + 4
        trainer = trainer_for(
            tmp_path, examples[:16], target_flops=TARGET, max_steps=3, per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=steps, train_sampling_strategy="sequential",
        )  # fmt: skip
        trainer._meet_target = lambda: None
        trainer.train()
        thresholds.append([offset.item() for offset in trainer.model.learned_thresholds()])
    assert np.ptp(thresholds[0]) > 1e-3
    assert thresholds[1] == pytest.approx(thresholds[0], abs=1e-5)


@pytest.mark.parametrize("mode", ["soft", "mixed", "hard"])
def test_resumed_training_ends_as_uninterrupted(tmp_path, examples, mode):
    settings = {
        "masking_mode": mode, "max_steps": 6, "save_strategy": "steps", "save_steps": 2, "target_flops": TARGET,
        "per_device_train_batch_size": 8,
    }  # fmt: skip
    whole = trainer_for(tmp_path / "whole", examples[:16], **settings)
    whole.train()
    for step in (2, 4):  # before and after the middle of "mixed"
        resumed = trainer_for(tmp_path / "resumed", examples[:16], **settings)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        for (name, a), b in zip(whole.model.named_parameters(), resumed.model.parameters()):
            assert torch.equal(a, b), (step, name)


def test_what_cannot_keep_a_budget_is_refused(tmp_path, examples):
    with pytest.raises(ValueError, match="target_flops is for LTPForSequenceClassification, not Linear"):
        trainer_for(tmp_path, examples, torch.nn.Linear(1, 1), target_flops=0.5)
    with pytest.raises(ValueError, match=r"0\.05 cannot be reached"):
        trainer_for(tmp_path, examples[:16], target_flops=0.05).train()


@pytest.mark.parametrize("settings, message", [({}, "no learned thresholds"), ({"target_flops": 0.05}, "0.05 cannot")])
def test_hard_training_refuses_what_cannot_be_met_before_its_first_step(tmp_path, examples, settings, message):
    model = tiny_model(prune_mode=None) if not settings else model_to_prune()
    trainer = trainer_for(tmp_path, examples[:16], model, masking_mode="hard", **{"target_flops": TARGET, **settings})
    with pytest.raises(ValueError, match=message):
        trainer.train()
    assert trainer.state.global_step == 0
