"""Ranking distillation: the teacher and the loss."""

import math

import pytest
import torch

from transformer_revised import LTPTrainer
from transformer_revised.models.ltp.pruning_ranks import DISTANCES, TEACHERS, Teacher, rank_loss

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
            for scores in layers:
                if math.isnan(scores[j + distance]) or math.isnan(scores[j]):
                    continue
                margin = math.log(scores[j + distance]) - math.log(scores[j])
                total += abs(gap) * math.log1p(math.exp(-margin * (1 if gap > 0 else -1)))
                weights += abs(gap)
    return total / weights


@pytest.mark.parametrize("removed", [0.0, 0.4], ids=["soft", "hard"])
def test_the_loss_is_that_of_its_definition(removed):
    torch.manual_seed(0)
    mask = random_batch([30, 9, 2])["attention_mask"]
    scores, alive = [], mask > 0
    for _ in range(3):
        scores.append(torch.where(alive, torch.rand(3, 30) + 0.1, torch.nan).requires_grad_())
        alive = alive & (torch.rand(3, 30) >= removed)
    importance = torch.rand(3, 30) + 0.1
    loss = rank_loss((None, *scores), importance, mask)
    expected = [naive([s[i].tolist() for s in scores[:2]], importance[i].tolist(), n) for i, n in enumerate((30, 9))]
    assert loss[:2].tolist() == pytest.approx(expected, rel=1e-5)
    assert loss[2] == 0  # <s> and one more: no pair
    loss.sum().backward()
    assert all(score.grad.isfinite().all() for score in scores[:2])


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
    trained = {}
    for teacher, mode in ((None, "soft"), *((teacher, "soft") for teacher in TEACHERS), ("relevance", "hard")):
        model = removes_nothing()
        settings = {"rank_distillation": 5.0, "rank_teacher": teacher} if teacher else {}
        settings |= {**SOFT, "masking_mode": mode}
        args = arguments(tmp_path, max_steps=12, learning_rate=2e-3, remove_unused_columns=False, **settings)
        LTPTrainer(model, args, train_dataset=examples, data_collator=pad).train()
        assert model.config.rank_teacher == teacher
        trained[teacher, mode] = model
    start, untaught = removes_nothing(), trained.pop((None, "soft"))
    for (teacher, mode), model in trained.items():
        importance = Teacher(start, teacher).importance(batch)
        before, without, after = (order(m, batch, importance) for m in (start, untaught, model))
        assert after < without - 0.02 and after < before - 0.02, (teacher, mode)


def padded_on(side, rows, width, fill=0.0):
    """Rows of different lengths, `[B, width]`, with `fill` on the given side or (`both`) on both."""
    padded = torch.full((len(rows), width), fill)
    for target, row in zip(padded, rows):
        start = {"right": 0, "left": width - len(row), "both": (width - len(row)) // 2}[side]
        target[start : start + len(row)] = row
    return padded


@pytest.mark.parametrize("side", ["left", "both"])
def test_the_loss_does_not_depend_on_the_side_of_the_padding(side):
    torch.manual_seed(0)
    lengths = (30, 9, 3, 17)
    importance, *scores = ([torch.rand(n) + 0.1 for n in lengths] for _ in range(4))
    losses = []
    for padding in ("right", side):
        mask = padded_on(padding, [torch.ones(n) for n in lengths], 40).long()
        layers = [padded_on(padding, layer, 40, math.nan) for layer in scores]
        losses.append(rank_loss(tuple(layers), padded_on(padding, importance, 40), mask))
        first = mask.argmax(dim=1)
        assert torch.equal(first > 0, torch.tensor([padding != "right"] * 4))
    torch.testing.assert_close(losses[0], losses[1])
    given = torch.zeros_like(mask).scatter(1, first[:, None], 1)
    torch.testing.assert_close(rank_loss(tuple(layers), padded_on(side, importance, 40), mask, given), losses[0])


def test_no_pair_has_a_given_global_token():
    torch.manual_seed(0)
    mask, importance = torch.ones(1, 12, dtype=torch.long), torch.rand(1, 12) + 0.1
    scores, is_global = torch.rand(1, 12) + 0.1, torch.zeros(1, 12, dtype=torch.long)
    is_global[0, [0, 5]] = 1
    expected = rank_loss((scores, None), importance, mask, is_global)
    other = importance.clone()
    other[0, [0, 5]] = 7.0
    assert torch.equal(rank_loss((scores, None), other, mask, is_global), expected)
    assert not torch.equal(rank_loss((scores, None), other, mask), expected)


@pytest.mark.parametrize("teacher", TEACHERS)
def test_a_sequence_without_a_global_token_changes_no_other_and_teaches_nothing_by_attention(teacher):
    model, batch = tiny_model(), random_batch([20, 11])
    expected, mask = Teacher(model, teacher).importance(batch), torch.zeros(2, 20, dtype=torch.long)
    none = Teacher(model, teacher).importance({**batch, "global_attention_mask": mask})
    mask[0, 0] = 1
    first = Teacher(model, teacher).importance({**batch, "global_attention_mask": mask})
    torch.testing.assert_close(first[0], expected[0])
    assert none.isfinite().all() and torch.equal(none[1], first[1]) and none.any() == (teacher != "attention")


def test_the_teacher_does_not_call_the_hooks_of_the_model():
    model, batch, calls = tiny_model(), random_batch([20, 11]), []
    model.longformer.encoder.register_forward_hook(lambda *_: calls.append("after"))
    model.longformer.encoder.layer[0].register_forward_pre_hook(lambda *_: calls.append("before"))
    Teacher(model).importance(batch)
    assert not calls
    model(**batch)
    assert calls == ["before", "after"]
