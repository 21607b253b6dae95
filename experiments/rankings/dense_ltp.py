"""LTP's forward pass on a padded batch with dense masked attention, for experiments on short functions.

The parameters are those of a `LTPForSequenceClassification`; so are the results, hard and soft (a test compares them),
but that the last layer, of which only the first token is read, prunes nothing.
Attention probabilities exist as one tensor here, so that what the packed model leaves out for speed can be tried:
importance with a gradient, and soft masks on keys.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformer_revised import LTPForSequenceClassification


@dataclass
class Masking:
    """
    How tokens leave.

    Args:
        mode (`str`): `"none"`; `"hard"`, as in evaluation; `"random"`, hard with random scores; `"output"`, the
            published soft mask, which multiplies a layer's output; `"keys"`, whose logarithm is added to the attention
            scores of the key in all later layers, while the token's queries count as much as it is alive in the
            importance of others.
        temperature (`float`): width of the soft masks in units of the score.
    """

    mode: str = "none"
    temperature: float = 0.03

    @property
    def soft(self) -> bool:
        return self.mode in ("output", "keys")


@dataclass
class DenseOutput:
    """Each list has one entry a layer but the last, which prunes nothing, of shape `[B, L]`; padding is not alive."""

    logits: torch.Tensor  # [B, num_labels]
    scores: list[torch.Tensor] = field(default_factory=list)
    alive: list[torch.Tensor] = field(default_factory=list)  # before the layer's own pruning: bool, or [0, 1] if soft
    masks: list[torch.Tensor] = field(default_factory=list)  # the layer's own, bool or soft
    importance: torch.Tensor | None = None  # of the tokens for the first one in the last layer


def dense_forward(
    model: LTPForSequenceClassification, input_ids: torch.Tensor, real: torch.Tensor, masking: Masking
) -> DenseOutput:
    """
    Args:
        input_ids: `[B, L]`, padded on the right; the first token is the global one.
        real: `[B, L]` bool, False for padding.
    """
    encoder = model.longformer
    states = encoder.embeddings(input_ids=input_ids)
    output = DenseOutput(logits=states)
    alive = real.float() if masking.soft else real
    position = torch.arange(input_ids.shape[1])
    distance = (position[:, None] - position[None]).abs()
    for i, layer in enumerate(encoder.encoder.layer):
        attention = layer.attention.self
        last = i == len(encoder.encoder.layer) - 1
        near = (distance <= attention.one_sided_attn_window_size) | (position == 0)
        keys = real if masking.soft else alive
        bias = torch.zeros(real.shape).masked_fill(~keys, float("-inf"))
        if masking.mode == "keys":
            bias = bias + alive.clamp(min=1e-6).log().where(real, bias)
        if last:  # only the first token's context is read
            global_context, weights = _global_context(attention, states, bias)
            output.importance = weights
            context, states = global_context, states[:, :1]
        else:
            context, probabilities = _local_context(attention, states, bias, near)
            global_context, _ = _global_context(attention, states, bias)
            context = torch.cat([global_context, context[:, 1:]], dim=1)
            scores = _scores(attention, probabilities, alive if masking.mode != "output" else real, masking)
            output.scores.append(scores)
            output.alive.append(alive)
        states = layer.attention.output(context, states)
        states = layer.output(layer.intermediate(states), states)
        if not last:
            mask = _mask(attention.pruner, scores, masking, real)
            output.masks.append(mask)
            if masking.mode == "output":
                states = states * mask.to(states.dtype)[..., None]
            alive = alive * mask if masking.soft else alive & mask
    output.logits = model.classifier(states)
    return output


def _heads(attention, x: torch.Tensor) -> torch.Tensor:
    return x.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)


def _local_context(attention, states, bias, near) -> tuple[torch.Tensor, torch.Tensor]:
    """Context `[B, L, D]` and probabilities `[B, H, L, L]`."""
    query, key, value = (
        _heads(attention, project(states)) for project in (attention.query, attention.key, attention.value)
    )
    scores = (query / math.sqrt(attention.head_dim)) @ key.transpose(-1, -2)
    mask = bias[:, None, None].expand(-1, 1, near.shape[0], -1).masked_fill(~near, float("-inf"))
    probabilities = torch.softmax(scores + mask.to(scores.dtype), dim=-1)
    return (probabilities @ value).transpose(1, 2).flatten(2), probabilities


def _global_context(attention, states, bias) -> tuple[torch.Tensor, torch.Tensor]:
    """The first token's context `[B, 1, D]`, and its attention summed over heads, `[B, L]`."""
    query = _heads(attention, attention.query_global(states[:, :1])) / math.sqrt(attention.head_dim)
    key, value = (_heads(attention, project(states)) for project in (attention.key_global, attention.value_global))
    scores = query @ key.transpose(-1, -2) + bias[:, None, None].to(query.dtype)
    weights = torch.softmax(scores, dim=-1)
    return (weights @ value).transpose(1, 2).flatten(2), weights.float().sum(1)[:, 0]


def _scores(attention, probabilities: torch.Tensor, alive: torch.Tensor, masking: Masking) -> torch.Tensor | None:
    """Scores `[B, L]` as [`prune_modules.normalize_importance`] defines them, of the queries that are `alive`."""
    if masking.mode == "none":
        return None
    if masking.mode == "random":
        return torch.rand(alive.shape)
    alive = alive.float()
    received = (probabilities.sum(1, dtype=torch.float32) * alive[:, :, None]).sum(1)
    normalization = attention.pruner.normalization
    if normalization == "max":
        return received / received.amax(1, keepdim=True)
    if normalization == "mean":
        return received / (attention.num_heads * alive.sum(1, keepdim=True))
    return received / attention.num_heads


def _mask(pruner: nn.Module, scores: torch.Tensor, masking: Masking, real: torch.Tensor) -> torch.Tensor:
    first = F.one_hot(torch.zeros(len(real), dtype=torch.long), real.shape[1]).bool()
    if masking.mode == "none":
        return real
    scores = scores.detach()
    if masking.mode in ("hard", "random"):
        return ((scores >= pruner.threshold.detach().clamp(min=1e-5)) | first) & real
    soft = torch.sigmoid((scores - pruner.threshold) / masking.temperature) * real
    return soft.where(~first, torch.ones(())) if masking.mode == "keys" else soft
