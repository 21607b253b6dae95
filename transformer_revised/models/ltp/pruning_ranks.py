"""Ranking distillation: trains early layers to order tokens as a teacher does, the frozen, unpruned model.

After ToP (Li et al., KDD 2023): early layers must decide whether to remove a token before they know how much it
matters for the classification. The loss is logistic, on differences of log scores between pairs of tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from .batch_tokens import global_tokens
from .modeling_ltp import in_evaluation_mode
from .rank_teacher_attention import attention
from .rank_teacher_relevance import TARGETS, magnitude, relevance

# Distances, in tokens, between the two tokens of the pairs that are compared.
DISTANCES = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987)
MIN_SCORE = 1e-6
RANK_IMPORTANCE = "rank_importance"  # the column of a data set with what the teacher computes, one number for a token
# Name -> from the unpruned model, its inputs and a target to the importance of each token, `[B, L]`
TEACHERS = {"attention": attention, "relevance": relevance, "magnitude": magnitude}


class Teacher:
    """A frozen, unpruned copy of a model in its current state.

    Args:
        model: an [`LTPForSequenceClassification`]; for "attention" also another model with an [`LTPModel`] as
            `longformer`.
        name: in `TEACHERS`.
        target: of "relevance" and "magnitude", in `TARGETS` there; None: chosen from the configuration.

    Raises ValueError for another target.
    """

    def __init__(self, model: nn.Module, name: str = "attention", target: str | None = None):
        if target is not None and target not in TARGETS:
            raise ValueError(f"the target of a teacher has to be one of {', '.join(TARGETS)}, not {target!r}")
        model = base_model(model)
        with unpruned(model):
            self.model = copy.deepcopy(model).requires_grad_(False)
        self.name, self.target = name, target

    def importance(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """`[B, L]` float32, 0 at padding. `inputs`: those of the model's `forward`; the labels for some targets."""
        return TEACHERS[self.name](self.model, inputs, self.target)


def base_model(model: nn.Module) -> nn.Module:
    """The model itself, or the one that a model of the library PEFT wraps."""
    return getattr(model, "get_base_model", lambda: model)()


@contextmanager
def unpruned(model: nn.Module) -> Iterator[None]:
    """In the block the model removes no token, is in evaluation mode and calls no hook.

    Hooks, such as those that count something, are for the model itself and not for its teacher.
    """
    attentions = [layer.attention.self for layer in model.longformer.encoder.layer]
    pruners = [attention.pruner for attention in attentions]
    hooks = [(module, module._forward_hooks, module._forward_pre_hooks) for module in model.modules()]
    with in_evaluation_mode(model):
        try:
            for attention in attentions:
                attention.pruner = None
            for module, after, before in hooks:
                module._forward_hooks, module._forward_pre_hooks = type(after)(), type(before)()
            yield
        finally:
            for module, after, before in hooks:
                module._forward_hooks, module._forward_pre_hooks = after, before
            for attention, pruner in zip(attentions, pruners, strict=True):
                attention.pruner = pruner


def rank_loss(
    scores: tuple[torch.Tensor | None, ...],
    importance: torch.Tensor,
    attention_mask: torch.Tensor,
    global_attention_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """`sum |gap| * log(1 + exp(-sign(gap) * margin)) / sum |gap|`, over layers and pairs, `[B]` float32.

    `gap` and `margin` are the differences of the logarithms of the teacher's importance and of the layer's scores.

    Args:
        scores: of each layer, `[B, L]` (`pruning_scores`), or `None` for a layer that removes nothing. NaN marks the
            tokens that an earlier layer has removed; no pair includes one. The last layer's scores are not used: no
            layer follows that could save compute.
        importance: the teacher's, `[B, L]`.
        attention_mask: `[B, L]`, above 0 for real tokens.
        global_attention_mask: `[B, L]`, above 0 for global tokens (default: the first real token of each sequence). No
            pair includes one, because global tokens are never removed.

    Returns the loss of each sequence; 0 for a sequence without pairs.
    """
    real = (attention_mask > 0) & ~global_tokens(attention_mask, global_attention_mask)
    wanted = importance.clamp(min=MIN_SCORE).log()
    layers = []
    for score in scores[:-1]:
        if score is not None:
            alive = real & ~score.isnan()
            layers.append((alive, torch.where(alive, score, 1.0).clamp(min=MIN_SCORE).log()))
    losses, weights = wanted.new_zeros(len(wanted)), wanted.new_zeros(len(wanted))
    for distance in DISTANCES:
        if distance >= wanted.shape[1]:
            break
        gap = wanted[:, distance:] - wanted[:, :-distance]
        sign, size = gap.sign(), gap.abs()
        for alive, given in layers:
            weight = size * (alive[:, distance:] & alive[:, :-distance])
            margin = given[:, distance:] - given[:, :-distance]
            weights = weights + weight.sum(dim=1)
            losses = losses + (weight * nn.functional.softplus(-margin * sign)).sum(dim=1)
    return losses / weights.clamp(min=MIN_SCORE)
