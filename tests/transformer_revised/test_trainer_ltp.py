"""LTPTrainer without a budget: losses, parameter groups, masking modes, arguments."""

import contextlib
import math

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, TaskType, get_peft_model
from transformers import Trainer, TrainingArguments

from transformer_revised import (
    LTPForMultipleChoice,
    LTPForQuestionAnswering,
    LTPForTokenClassification,
    LTPTrainer,
    LTPTrainingArguments,
)
from transformer_revised.models.ltp.pruning_ranks import RANK_IMPORTANCE, Teacher

from .models.ltp.tiny import random_batch, tiny_config, tiny_model


@pytest.fixture(scope="module")
def examples():
    batch = random_batch([40] * 32)
    labels = np.arange(32) % 2
    batch["input_ids"][labels == 1, 5] = 7
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": int(label)}
        for ids, mask, label in zip(batch["input_ids"], batch["attention_mask"], labels)
    ]


def arguments(tmp_path, cls=LTPTrainingArguments, **settings):
    defaults = {
        "output_dir": str(tmp_path), "per_device_train_batch_size": 8, "max_steps": 4, "learning_rate": 1e-3,
        "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "use_cpu": True, "seed": 3,
        "lr_scheduler_type": "constant", "max_grad_norm": 0.0,
    }  # fmt: skip
    return cls(**{**defaults, **settings})


def train(tmp_path, examples, **settings):
    model = tiny_model(final_token_threshold=0.3)
    trainer = LTPTrainer(model=model, args=arguments(tmp_path, **settings), train_dataset=examples)
    trainer.train()
    return trainer, [offset.item() for offset in model.learned_thresholds()]


SOFT = {"masking_mode": "soft", "temperature": 0.05, "lr_threshold": 0.01}


def test_a_larger_lambda_raises_them_more(tmp_path, examples):
    low, high = (sum(train(tmp_path, examples, lambda_threshold=x, max_steps=6, **SOFT)[1]) for x in (0.0, 10.0))
    assert high > low + 0.05


def test_hard_training_keeps_them(tmp_path, examples):
    before = tiny_model(final_token_threshold=0.3).longformer.encoder.layer[1].intermediate.dense.weight.clone()
    trainer, thresholds = train(tmp_path, examples, masking_mode="hard", lambda_threshold=1.0, lr_threshold=0.1)
    assert thresholds == [0.0] * 4
    assert not torch.equal(trainer.model.longformer.encoder.layer[1].intermediate.dense.weight, before)


def test_mixed_training_is_soft_first_then_hard(tmp_path, examples):
    _, soft = train(tmp_path, examples, lambda_threshold=1.0, max_steps=2, **SOFT)
    trainer, mixed = train(tmp_path, examples, lambda_threshold=1.0, max_steps=4, **{**SOFT, "masking_mode": "mixed"})
    assert mixed == soft and any(mixed)
    assert trainer.model.longformer.hard_masking
    assert trainer.model.config.temperature == SOFT["temperature"]


def test_thresholds_have_a_parameter_group_of_their_own(tmp_path, examples):
    model = tiny_model()
    args = arguments(tmp_path, weight_decay=0.1, weight_decay_threshold=0.02, **SOFT)
    trainer = LTPTrainer(model=model, args=args, train_dataset=examples)
    groups = trainer.create_optimizer().param_groups
    assert len(groups) == 3
    assert len(groups[2]["params"]) == 3  # layer 0 removes nothing
    assert (groups[2]["lr"], groups[2]["weight_decay"]) == (0.01, 0.02)
    everything = [id(p) for g in groups for p in g["params"]]
    assert len(everything) == len(set(everything)) == sum(p.requires_grad for p in model.parameters())
    default = LTPTrainer(tiny_model(), arguments(tmp_path, masking_mode="soft"), train_dataset=examples)
    assert default.create_optimizer().param_groups[-1]["lr"] == 1e-3  # that of the other parameters


def test_loss_is_the_task_loss_plus_lambda_times_the_regularizer(tmp_path, examples):
    args = arguments(tmp_path, lambda_threshold=0.7, **SOFT)
    trainer = LTPTrainer(model=tiny_model().train(), args=args, train_dataset=examples)
    batch = next(iter(trainer.get_train_dataloader()))
    loss, outputs = trainer.compute_loss(trainer.model, batch, return_outputs=True)
    task = torch.nn.functional.cross_entropy(outputs.logits, batch["labels"])
    torch.testing.assert_close(loss, task + 0.7 * outputs.pruning_regularizer)
    assert outputs.pruning_regularizer > 0


def test_an_unpruned_model_trains_as_with_the_library_trainer(tmp_path, examples):
    results = []
    for trainer_class, args_class in ((LTPTrainer, LTPTrainingArguments), (Trainer, TrainingArguments)):
        model = tiny_model(prune_mode=None)
        trainer_class(model=model, args=arguments(tmp_path, args_class), train_dataset=examples).train()
        results.append(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(results[0].values(), results[1].values()))


def test_evaluation_predicts_logits_alone(tmp_path, examples):
    trainer = LTPTrainer(model=tiny_model(), args=arguments(tmp_path), eval_dataset=examples)
    assert trainer.predict(examples).predictions.shape == (32, 2)


FINITE = ("lambda_threshold", "lr_threshold", "weight_decay_threshold", "temperature", "rank_distillation")


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"masking_mode": "warm"}, "masking_mode has to be one of soft, hard, mixed"),
        ({"target_flops": 1.5}, "target_flops .*at most 1, not 1.5"),
        ({"rank_distillation": -1.0}, "rank_distillation has to be at least 0, not -1.0"),
        ({"calibration_samples": 0}, "calibration_samples has to be at least 1"),
        ({"masking_mode": "soft", "gradient_checkpointing_kwargs": {"use_reentrant": True}}, "use_reentrant: .*false"),
        *(({name: math.nan}, f"{name} has to be a finite number.*nan") for name in FINITE),
        *(({name: math.inf}, f"{name} has to be a finite number.*inf") for name in FINITE),
        *(({name: -0.1}, f"{name} has to be .*0, not -0.1") for name in FINITE),
    ],
)
def test_arguments_refuse(tmp_path, setting, message):
    with pytest.raises(ValueError, match=message):
        arguments(tmp_path, **setting)


@pytest.mark.parametrize("weight", [None, 0.0, 1.0])
def test_reentrant_checkpoints_are_refused_only_where_something_is_learned(tmp_path, weight):
    """None: the scripts have not chosen a weight yet."""
    args = arguments(tmp_path, gradient_checkpointing_kwargs={"use_reentrant": True})
    args.rank_distillation = weight
    with pytest.raises(ValueError, match="use_reentrant") if weight else contextlib.nullcontext():
        args.check_checkpoints()


def different_lengths():
    """Seven examples of 5 to 35 tokens."""
    return [
        {"input_ids": row, "attention_mask": torch.ones(n, dtype=torch.long), "labels": i % 2}
        for i, n in enumerate(range(5, 40, 5))
        for row in random_batch([n], seed=i)["input_ids"]
    ]


def pad(examples):
    width = max(len(e["input_ids"]) for e in examples)
    padded = {
        name: torch.stack([torch.nn.functional.pad(e[name], (0, width - len(e[name]))) for e in examples])
        for name in ("input_ids", "attention_mask")
    }
    return padded | {"labels": torch.tensor([e["labels"] for e in examples])}


RANKS = {"rank_distillation": 1.0}


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"label_smoothing_factor": 0.1},
        {"class_weights": [0.5, 3.0]},
        {"bf16": True},
        {**RANKS, "rank_teacher": "attention", "gradient_checkpointing": True},
        {**RANKS, "masking_mode": "hard", "gradient_checkpointing": True},
    ],
    ids=str,
)
def test_accumulated_batches_update_as_one_large_batch(tmp_path, setting):
    """Seven examples at once, and in batches of 3, 3 and 1 with different numbers of tokens."""
    setting = dict(setting)
    weights, checkpointing = setting.pop("class_weights", None), setting.pop("gradient_checkpointing", False)
    updates = []
    for batch_size, steps in ((7, 1), (3, 3)):
        model = tiny_model(final_token_threshold=0.3)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        args = arguments(
            tmp_path, max_steps=1, per_device_train_batch_size=batch_size, gradient_accumulation_steps=steps,
            lambda_threshold=0.7, learning_rate=1.0, optim="sgd", train_sampling_strategy="sequential",
            remove_unused_columns=False, gradient_checkpointing=checkpointing and batch_size == 3,
            **{**SOFT, "lr_threshold": 1.0, **setting},
        )  # fmt: skip
        LTPTrainer(model, args, train_dataset=different_lengths(), data_collator=pad, class_weights=weights).train()
        updates.append({name: p.detach() - before[name] for name, p in model.named_parameters()})
    once, parts = updates
    learned = "query" if setting.get("masking_mode") == "hard" else "keep_threshold"
    assert any(update.abs().max() > 1e-3 for name, update in once.items() if learned in name)
    tolerance = 1e-5 if not setting.get("bf16") else 2e-2
    for name, update in once.items():
        torch.testing.assert_close(parts[name], update, rtol=tolerance, atol=tolerance)


def test_a_loss_after_training_is_not_a_share_of_the_last_update(tmp_path, examples):
    args = arguments(tmp_path, per_device_train_batch_size=4, max_steps=1, gradient_accumulation_steps=3)
    trainer = LTPTrainer(tiny_model(), args, train_dataset=examples[:10])
    trainer.train()
    batch = next(iter(trainer.get_train_dataloader()))
    loss, outputs = trainer.compute_loss(trainer.model.train(), dict(batch), return_outputs=True)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(outputs.logits, batch["labels"]))


def test_class_weights_weigh_the_items(tmp_path, examples):
    weights = [0.5, 3.0]
    args = arguments(tmp_path, label_smoothing_factor=0.1)
    trainer = LTPTrainer(tiny_model().eval(), args, train_dataset=examples, class_weights=weights)
    batch = next(iter(trainer.get_train_dataloader()))
    loss, outputs = trainer.compute_loss(trainer.model, dict(batch), return_outputs=True)
    logs = outputs.logits.log_softmax(dim=-1)
    smoothed = 0.9 * torch.nn.functional.one_hot(batch["labels"], 2) + 0.1 / 2
    expected = -(torch.tensor(weights) * smoothed * logs).sum(dim=-1).mean()
    torch.testing.assert_close(loss, expected)


def test_the_callers_arguments_are_not_changed(tmp_path, examples):
    args = arguments(tmp_path, masking_mode="soft", target_flops=0.9)
    before = dict(vars(args))
    trainer = LTPTrainer(model=tiny_model(), args=args, train_dataset=examples)
    trainer.train()
    assert trainer.args.lr_threshold > 0 and trainer.args.ddp_find_unused_parameters
    assert vars(args) == before


def test_the_configuration_says_how_the_ranking_was_taught(tmp_path, examples):
    args = {"max_steps": 1, "per_device_train_batch_size": 2}
    model = tiny_model(rank_teacher="attention")
    for mode, weight, teacher in (
        ("hard", 0.0, "attention"),
        ("hard", 1.0, "attention"),
        ("mixed", 1.0, "relevance"),
        ("soft", 0.0, None),
        ("hard", 0.0, None),
        ("hard", 1.0, "relevance"),
    ):
        settings = {**SOFT, "masking_mode": mode, "rank_distillation": weight, **args}
        trainer = LTPTrainer(model, arguments(tmp_path, **settings), train_dataset=examples)
        trainer.train()
        assert (model.config.rank_teacher, trainer._teacher is not None) == (teacher, weight > 0)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_batches_have_what_a_teacher_has_computed_only_if_it_teaches(tmp_path, weight):
    rows = Dataset.from_dict({"input_ids": [[0, 5, 2]], "labels": [1], RANK_IMPORTANCE: [[0.1, 0.7, 0.2]]})
    trainer = LTPTrainer(tiny_model(), arguments(tmp_path, rank_distillation=weight), train_dataset=rows)
    names = trainer._remove_unused_columns(rows).column_names
    assert trainer._teacher is None and (RANK_IMPORTANCE in names) == (weight > 0)


@pytest.mark.parametrize("teacher, expected", [(None, "attention"), ("attention", "attention")])
def test_only_sequence_classifiers_have_a_relevance(tmp_path, examples, teacher, expected):
    torch.manual_seed(0)
    model = LTPForTokenClassification(tiny_config())
    settings = {**SOFT, "rank_distillation": 1.0}
    trainer = LTPTrainer(model, arguments(tmp_path, rank_teacher=teacher, **settings), train_dataset=examples)
    assert trainer._teacher.name == expected
    for other in ("relevance", "magnitude"):
        with pytest.raises(ValueError, match=f"{other} .* not LTPForTokenClassification.*attention"):
            LTPTrainer(model, arguments(tmp_path, rank_teacher=other, **settings), train_dataset=examples)


@pytest.mark.parametrize("head", [LTPForQuestionAnswering, LTPForMultipleChoice])
def test_heads_with_other_global_tokens_are_not_taught(tmp_path, examples, head):
    with pytest.raises(ValueError, match=f"rank_distillation is not for {head.__name__}.*expected 0"):
        LTPTrainer(head(tiny_config()), arguments(tmp_path, rank_distillation=1.0, **SOFT), train_dataset=examples)


def test_adapters_learn_with_a_teacher(tmp_path, examples):
    """The teacher is the whole model with its adapters, which do nothing at the start."""
    plain = Teacher(tiny_model(), "relevance")
    adapted = get_peft_model(tiny_model(), LoraConfig(task_type=TaskType.SEQ_CLS, r=2, target_modules=["query"]))
    before = {name: p.detach().clone() for name, p in adapted.named_parameters()}
    args = arguments(tmp_path, max_steps=1, rank_distillation=1.0, label_names=["labels"], **SOFT)
    trainer = LTPTrainer(adapted, args, train_dataset=examples)
    trainer.train()
    batch = random_batch([30, 12])
    torch.testing.assert_close(trainer._teacher.importance(batch), plain.importance(batch))
    changed = {name for name, p in adapted.named_parameters() if not torch.equal(p, before[name])}
    assert changed and all("lora_" in name or "classifier" in name or "keep_threshold" in name for name in changed)
