"""The teachers "relevance" and "magnitude": against finite differences, and against the library's Longformer."""

import math

import pytest
import torch

from transformer_revised.models.ltp.pruning_ranks import Teacher, unpruned
from transformer_revised.models.ltp.rank_teacher_relevance import (
    FLOOR,
    TARGETS,
    default_target,
    gradient_x_input,
    relevance,
)

from .tiny import longformer_twin, random_batch, tiny_config, tiny_model

LENGTHS = 40, 11, 3
LABELS = torch.tensor([2, 0, -100])  # the last has none: its predicted class counts


def value(logits, label, target) -> torch.Tensor:
    """`t` of one sequence, as docs/model.md defines it, from its logits `[C]`."""
    if target == "class_1":
        return logits[1] - logits[0]
    if target != "label":
        return logits.sum()
    label = logits.argmax() if label < 0 else label
    others = [z.exp() for c, z in enumerate(logits) if c != label]
    return logits[label] - torch.stack(others).sum().log()


def naive(model, ids, label, target) -> list[float]:
    """The integrated gradients of one sequence without padding, from the library's Longformer."""
    global_mask = torch.zeros_like(ids)
    global_mask[0] = 1
    scores = [0.0] * len(ids)
    for share in (0.25, 0.75):  # the midpoints of the two halves of the line from zero to the embeddings
        embeddings = model.get_input_embeddings()(ids).detach()
        point = (share * embeddings).requires_grad_()
        logits = model(inputs_embeds=point[None], global_attention_mask=global_mask[None]).logits[0]
        value(logits, label, target).backward()
        for j, (e, gradient) in enumerate(zip(embeddings.tolist(), point.grad.tolist())):
            scores[j] += sum(a * b for a, b in zip(e, gradient)) / 2
    return scores


def shares_of(scores, target) -> list[float]:
    """The relevance of the tokens of a sequence from their integrated gradients."""
    scores = [abs(score) if target == "absolute" else score for score in scores]
    found = []
    for j in range(len(scores)):
        around = scores[max(0, j - 4) : j + 5]
        found.append(max(0.0, sum(around) / len(around)))
    return [score / (sum(found) or 1) + FLOOR for score in found]


def magnitudes_of(scores, target) -> list[float]:
    """The magnitude of the tokens of a sequence from their integrated gradients."""
    return [abs(score) / (sum(map(abs, scores)) or 1) + FLOOR for score in scores]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("teacher, shares", [("relevance", shares_of), ("magnitude", magnitudes_of)])
def test_it_is_that_of_its_definition(teacher, shares, target):
    model = tiny_model(num_labels=3)
    twin, batch = longformer_twin(model), random_batch(LENGTHS)
    found = Teacher(model, teacher, target).importance({**batch, "labels": LABELS})
    for row, (n, label) in enumerate(zip(LENGTHS, LABELS)):
        expected = shares(naive(twin, batch["input_ids"][row, :n], label, target), target)
        assert found[row, :n].tolist() == pytest.approx(expected, abs=1e-5)
        assert not found[row, n:].any()
    assert found.dtype == torch.float32 and found[0].std() > 0.2 * found[0].mean()


@pytest.mark.parametrize("target", TARGETS)
def test_it_agrees_with_finite_differences(target):
    model, batch = tiny_model(num_labels=3).double(), random_batch(LENGTHS[1:])
    step, ids, mask = 1e-6, batch["input_ids"], batch["attention_mask"]

    def values(factors, share):
        embeddings = model.get_input_embeddings()(ids) * (share * factors)[..., None]
        logits = model(inputs_embeds=embeddings, attention_mask=mask).logits
        return torch.stack([value(z, label, target) for z, label in zip(logits, LABELS)])

    with unpruned(model):
        found = relevance(model, {**batch, "labels": LABELS[:2]}, target)
        scores = torch.zeros(ids.shape, dtype=torch.float64)
        with torch.no_grad():
            for column in range(ids.shape[1]):
                change = torch.zeros(ids.shape, dtype=torch.float64)
                change[:, column] = step
                for share in (0.25, 0.75):  # the derivative by a factor of e_j at share * e is share * e_j * gradient
                    difference = values(1 + change, share) - values(1 - change, share)
                    scores[:, column] += difference / (2 * step) / share / 2
    for row, n in enumerate(LENGTHS[1:]):
        expected = torch.tensor(shares_of(scores[row, :n].tolist(), target))
        torch.testing.assert_close(found[row, :n], expected, rtol=1e-3, atol=1e-6)
        assert not found[row, n:].any()


def test_padding_on_the_left_and_pruning_settings_change_nothing():
    batch, labels = random_batch(LENGTHS), LABELS.clamp(min=0) % 2
    found = Teacher(tiny_model(), "relevance").importance({**batch, "labels": labels})
    left = {name: torch.stack([row.roll(40 - n) for row, n in zip(v, LENGTHS)]) for name, v in batch.items()}
    other = tiny_model(prune_mode="topk", token_keep_rate=0.2)
    rolled = Teacher(other, "relevance").importance(left)
    for row, n in enumerate(LENGTHS):
        torch.testing.assert_close(rolled[row, 40 - n :], found[row, :n], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_bfloat16_agrees_with_float32(implementation):
    teacher, batch = Teacher(tiny_model(initializer_range=0.15), "relevance"), random_batch([200, 150, 90])
    teacher.model.config._attn_implementation = implementation
    exact = teacher.importance(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = teacher.importance(batch)
    real = batch["attention_mask"] > 0
    assert rough.dtype == torch.float32
    assert torch.corrcoef(torch.stack([exact[real], rough[real]]))[0, 1] > 0.98


def test_the_model_is_as_before_and_has_no_gradient():
    model, batch, calls = tiny_model().train(), random_batch(LENGTHS), []
    model.longformer.encoder.register_forward_hook(lambda *_: calls.append("hook"))
    model.longformer.embeddings.word_embeddings.weight.requires_grad_(False)
    before = [parameter.requires_grad for parameter in model.parameters()]
    expected = Teacher(model, "relevance").importance(batch)
    with torch.no_grad(), unpruned(model):
        assert model.pruners() == [None] * 4
        assert torch.equal(relevance(model, batch), expected)
    assert not calls and model.training and all(model.pruners())
    assert [parameter.requires_grad for parameter in model.parameters()] == before
    assert all(parameter.grad is None for parameter in model.parameters())
    model(**batch)
    assert calls == ["hook"]


def test_a_sequence_that_speaks_against_class_1_alone_has_the_floor():
    model, batch = tiny_model(), random_batch([12])
    scores = gradient_x_input(model, batch)
    with torch.no_grad():
        model.classifier.out_proj.weight.zero_()
    found = relevance(model, batch)
    assert scores.any() and found[0].tolist() == pytest.approx([FLOOR] * 12, rel=1e-6)
    assert not math.isnan(found.sum())


@pytest.mark.parametrize(
    "settings, labels, expected",
    [
        ({}, None, "class_1"),
        ({"num_labels": 2, "problem_type": "single_label_classification"}, [1], "class_1"),
        ({"num_labels": 3}, [2], "label"),
        ({"num_labels": 1}, [0.5], "absolute"),
        ({"num_labels": 3, "problem_type": "regression"}, [[0.5] * 3], "absolute"),
        ({"num_labels": 5}, [[1.0] * 5], "sum"),
        ({"num_labels": 2, "problem_type": "multi_label_classification"}, None, "sum"),
    ],
)
def test_the_target_without_a_name(settings, labels, expected):
    labels = None if labels is None else torch.tensor(labels)
    assert default_target(tiny_config(**settings), labels) == expected
    model, batch = tiny_model(**settings), random_batch([9])
    inputs = batch if labels is None else {**batch, "labels": labels}
    assert torch.equal(relevance(model, inputs), relevance(model, inputs, expected))
    with pytest.raises(ValueError, match="one of class_1, label, sum, absolute, not 'class1'"):
        Teacher(model, "relevance", "class1")
