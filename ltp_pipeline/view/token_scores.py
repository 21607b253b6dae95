"""Scores the tokens of functions by how much each speaks for class 1, or by what the model attended to or kept.

docs/line_scores.md defines the methods and compares them. The default is the best of them there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from transformer_revised.models.ltp import rank_teacher_relevance as teacher
from transformer_revised.models.ltp.rank_teacher_relevance import gradient_x_input, integrated_gradients

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    Batch = dict[str, torch.Tensor]

DEFAULT = "gradient_x_input"
TINY = 1e-30  # of a sum that is 0, so that 0 is not divided by 0
STEPS = 20  # points on the path of integrated gradients


def token_scores(model: PreTrainedModel, batch: Batch, method: str = DEFAULT) -> torch.Tensor:
    """The score of each token, higher for tokens that speak for class 1; `[B, L]` float32, 0 at padding.

    Scores are divided by the sum of their absolute values in the sequence. So those of several functions can be
    compared: the gradients of a function that the model is sure of are small.

    Args:
        model: a classifier of two classes in evaluation mode; an LTP model for attention and what was pruned.
        batch: `input_ids` and `attention_mask`, `[B, L]` each, maybe `token_type_ids`.
        method: a name in `METHODS`.
    """
    return shares(METHODS[method](model, batch), batch)


def shares(scores: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Scores `[B, L]` divided by the sum of their absolute values in the sequence, float32; 0 at padding."""
    scores = scores.float().masked_fill(batch["attention_mask"] == 0, 0.0)
    return scores / scores.abs().sum(1, keepdim=True).clamp(min=TINY)


def averaged(scores: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The mean of the scores `[B, L]` of a token and its neighbours, as the teacher "relevance" averages them."""
    return teacher.neighbourhood_means(scores, batch["attention_mask"] > 0)


def relevance(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """The relevance of the teacher of that name, `[B, L]`; also the part below 0, which speaks for class 0."""
    return averaged(integrated_gradients(model, batch, teacher.STEPS), batch)


@torch.no_grad()
def layers_survived(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """The number of layers that keep each token, `[B, L]`."""
    return torch.stack(model(**batch, output_pruning=True).kept_tokens).sum(0)


@torch.no_grad()
def importance_by_layer(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """The score by which each layer decides, `[layers, B, L]`; 0 in layers that a token does not reach, or that do not
    prune.
    """
    scores = model(**batch, output_pruning=True).pruning_scores
    none = torch.zeros(batch["input_ids"].shape, device=batch["input_ids"].device)
    return torch.stack([none if layer is None else layer.float().nan_to_num(0.0) for layer in scores])


@torch.no_grad()
def attention_by_layer(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """The attention that each token receives from the global tokens (default: `<s>`) in each layer, summed over heads;
    `[layers, B, L]`, 0 in layers that a token does not reach.
    """
    received = []

    def note(attention: nn.Module, inputs: tuple) -> None:
        states, packed = inputs[:2]
        _, _, weights = attention.attend_globally(states, packed, packed.global_indices)
        received.append(packed.unpack(torch.cat([w.float().sum((0, 1)) for w in weights])))

    hooks = [layer.attention.self.register_forward_pre_hook(note) for layer in model.longformer.encoder.layer]
    try:
        model(**batch)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(received)


METHODS: dict[str, Callable[[PreTrainedModel, Batch], torch.Tensor]] = {
    "gradient_x_input": gradient_x_input,
    "absolute_gradient_x_input": lambda model, batch: gradient_x_input(model, batch).abs(),
    "relevance": relevance,
    "integrated_gradients": lambda model, batch: integrated_gradients(model, batch, STEPS),
    "attention": lambda model, batch: attention_by_layer(model, batch)[-1],
    "attention_sum": lambda model, batch: attention_by_layer(model, batch).sum(0),
    "importance": lambda model, batch: importance_by_layer(model, batch).sum(0),
    "layers_survived": layers_survived,
}
# Methods that read what only an LTP model has, and those of them that need layers that prune
NEED_PRUNING = ("importance", "layers_survived")
NEED_LTP = ("attention", "attention_sum", *NEED_PRUNING)
