"""LTPTrainer with a compute budget."""

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from transformer_revised import LTPForSequenceClassification, LTPTrainer, trainer_ltp
from transformer_revised.models.ltp.pruning_budget import active_offsets, measure_relative_flops

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


TAKEN = [
    {"gradient_accumulation_steps": 4},
    {"gradient_accumulation_steps": 3, "num_train_epochs": 1.5},
    {"gradient_accumulation_steps": 100},
    {"dataloader_drop_last": True, "per_device_train_batch_size": 5, "gradient_accumulation_steps": 4},
    {"train_sampling_strategy": "group_by_length", "per_device_train_batch_size": 7},
    {"num_train_epochs": 0.3, "per_device_train_batch_size": 2},
    {"max_steps": 3, "num_train_epochs": 9},
]


@pytest.mark.parametrize("settings", TAKEN, ids=str)
def test_the_rate_of_the_thresholds_is_that_of_the_steps_taken(tmp_path, examples, settings, monkeypatch):
    """`lr_threshold` is 4 times the distance to the budget, divided by the optimizer steps that are really taken."""
    defaults = {"max_steps": -1, "num_train_epochs": 2, "per_device_train_batch_size": 3, "learning_rate": 1e-5}
    defaults |= {"target_flops": 0.8, "calibration_samples": 4, "logging_strategy": "no"}
    trainer = trainer_for(tmp_path, shortened(examples[:20], 30), **{**defaults, **settings})
    shifted, meet_target = [], trainer_ltp.meet_target

    def meet(model, *args, **kwargs):
        reached = meet_target(model, *args, **kwargs)
        shifted.append(active_offsets(model)[0].item())
        return reached

    monkeypatch.setattr(trainer_ltp, "meet_target", meet)
    steps = CountSteps()
    trainer.add_callback(steps)
    trainer.train()
    distance = max(shifted[1] - shifted[0], 1e-3)
    assert trainer.args.lr_threshold == pytest.approx(4 * distance / steps.taken, rel=1e-5)
    assert steps.taken == trainer.state.global_step


class CountSteps(TrainerCallback):
    taken = 0

    def on_optimizer_step(self, *args, **kwargs):
        self.taken += 1


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, torch.OutOfMemoryError, SystemExit])
@pytest.mark.parametrize("passes", [0, 1, 4])
def test_an_interrupted_calibration_leaves_the_model_as_it_was(tmp_path, examples, interruption, passes, monkeypatch):
    """Interrupted in its first forward pass, while the thresholds are infinite, or later."""
    model = model_to_prune().train()
    model.longformer.embeddings.eval()  # frozen by its user
    trainer = trainer_for(tmp_path, examples[:8], model, target_flops=TARGET, calibration_samples=8)
    state, forward, calls = StateOf(model), model.longformer.encode, []

    def encode(*args, **kwargs):
        calls.append(1)
        if len(calls) > passes:
            raise interruption
        return forward(*args, **kwargs)

    monkeypatch.setattr(model.longformer, "encode", encode)
    with pytest.raises(interruption):
        trainer.train()
    state.check(model)
    assert trainer.args.lr_threshold is None and trainer._budget is None


class StateOf:
    """Thresholds, modes, hooks and random state."""

    def __init__(self, model):
        self.state = self._read(model)

    def check(self, model):
        assert self._read(model) == self.state

    def _read(self, model):
        modes = [module.training for module in model.modules()]
        hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
        weights = [parameter.detach().clone().numpy().tobytes() for parameter in model.parameters()]
        gradients = [parameter.requires_grad for parameter in model.parameters()]
        return modes, hooks, weights, gradients, torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()


def test_no_function_to_calibrate_on_is_an_error(tmp_path, examples):
    trainer = trainer_for(tmp_path, examples[:4], target_flops=TARGET)
    trainer.eval_dataset = []
    with pytest.raises(ValueError, match="no batches.*at least one function"):
        trainer.train()


def shortened(examples, length):
    return [{name: x if name == "labels" else x[:length] for name, x in row.items()} for row in examples]


def test_a_model_that_each_training_makes_anew_is_refused(tmp_path, examples):
    args = arguments(tmp_path, masking_mode="soft")
    with pytest.raises(ValueError, match="model_init.*give `model`"):
        LTPTrainer(args=args, train_dataset=examples, model_init=model_to_prune)


def test_batches_without_an_attention_mask_train(tmp_path, examples):
    """The budget's penalty and the rank loss of a full batch are the same with a mask of ones and without one."""
    rows = shortened(examples, 40)
    settings = {"target_flops": TARGET, "max_steps": 2, "rank_distillation": 0.5, "per_device_train_batch_size": 8}
    thresholds = []
    for names in (("input_ids", "attention_mask", "labels"), ("input_ids", "labels")):
        trainer = trainer_for(tmp_path, rows[:8], **settings)
        trainer.data_collator = lambda batch, names=names: {name: pad(batch)[name] for name in names}
        trainer.train()
        thresholds.append([offset.item() for offset in trainer.model.learned_thresholds()])
    assert thresholds[0] == thresholds[1] and any(thresholds[0])


def test_all_processes_start_with_the_budget_of_the_first(tmp_path, examples, monkeypatch):
    """As the second of two processes. The first sends another start, another distance and other thresholds."""
    trainer = trainer_for(tmp_path, examples[:8], target_flops=TARGET, calibration_samples=4)
    batches = trainer._calibration_batches()
    monkeypatch.setattr(trainer, "_calibration_batches", lambda: batches)
    monkeypatch.setattr(type(trainer.args), "world_size", 2)
    monkeypatch.setattr(torch.distributed, "broadcast", lambda tensor, src: tensor.fill_(0.125))
    trainer._start_budget()
    assert trainer._budget.start == trainer._budget.measured == 0.125
    assert [offset.item() for offset in trainer.model.learned_thresholds()] == [0.125] * 6
    monkeypatch.undo()
    trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())
    assert trainer.args.lr_threshold == 4 * 0.125 / trainer.args.max_steps
