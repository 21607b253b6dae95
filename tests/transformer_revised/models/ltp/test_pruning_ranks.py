"""Ranking distillation: the teacher and the loss."""

import math

import pytest
import torch

from transformer_revised import LTPTrainer
from transformer_revised.models.ltp.pruning_ranks import DISTANCES, Teacher, rank_loss

from ...test_trainer_ltp import SOFT, arguments, different_lengths, pad
from .tiny import random_batch, tiny_model


def test_masks_pass_no_gradient_to_scores():
    gradients = []
    for differentiable in (False, True):
        model, batch = tiny_model(temperature=0.1).train(), random_batch([30, 12])
        model.set_hard_masking(False)
        model.longformer.importance_gradient = differentiable
        model(**batch, labels=torch.tensor([0, 1])).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_the_teacher_is_the_unpruned_model_and_stays_as_it_was():
    model, batch = tiny_model(), random_batch([40, 11])
    unpruned = tiny_model(prune_mode=None)
    expected = unpruned(**batch, output_attentions=True).global_attentions[-1].sum(dim=(1, 3))
    teacher = Teacher(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    importance = teacher.importance(batch)
    torch.testing.assert_close(importance, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(importance.sum(dim=1), torch.full((2,), 4.0))  # a distribution a head
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())


def naive(layers, importance, length) -> float:
    total = weights = 0.0
    for distance in DISTANCES:
        for j in range(1, length - distance):
            gap = math.log(importance[j + distance]) - math.log(importance[j])
            weights += abs(gap)
            for scores in layers:
                margin = math.log(scores[j + distance]) - math.log(scores[j])
                total += abs(gap) * math.log1p(math.exp(-margin * (1 if gap > 0 else -1))) / len(layers)
    return total / weights


def test_the_loss_is_that_of_its_definition():
    torch.manual_seed(0)
    mask = random_batch([30, 9, 2])["attention_mask"]
    scores = [torch.where(mask > 0, torch.rand(3, 30) + 0.1, torch.nan) for _ in range(3)]
    importance = torch.rand(3, 30) + 0.1
    loss = rank_loss((None, *scores), importance, mask)
    expected = [naive([s[i].tolist() for s in scores[:2]], importance[i].tolist(), n) for i, n in enumerate((30, 9))]
    assert loss[:2].tolist() == pytest.approx(expected, rel=1e-5)
    assert loss[2] == 0  # <s> and one more: no pair


def order(model, batch, importance) -> float:
    """The loss of the model's own scores."""
    with torch.no_grad():
        scores = model.eval()(**batch, output_pruning=True).pruning_scores
    return rank_loss(scores, importance, batch["attention_mask"]).mean().item()


def removes_nothing():
    """A model whose layers, except layer 0, score all tokens and remove none."""
    model = tiny_model(final_token_threshold=0.1)
    with torch.no_grad():
        for offset in model.learned_thresholds()[1:]:
            offset.fill_(-9.0)
    return model


def test_training_brings_early_layers_nearer_to_the_teachers_order(tmp_path):
    examples = different_lengths()
    batch = {name: values for name, values in pad(examples).items() if name != "labels"}
    start = removes_nothing()
    importance = Teacher(start).importance(batch)
    before, after = order(start, batch, importance), []
    for weight in (0.0, 5.0):
        model = removes_nothing()
        args = arguments(
            tmp_path, max_steps=12, rank_distillation=weight, learning_rate=2e-3, remove_unused_columns=False, **SOFT
        )
        LTPTrainer(model, args, train_dataset=examples, data_collator=pad).train()
        after.append(order(model, batch, importance))
    assert after[1] < after[0] - 0.02 and after[1] < before - 0.02
