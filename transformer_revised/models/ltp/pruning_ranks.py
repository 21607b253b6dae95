"""Ranking distillation: trains early layers to order tokens as the unpruned model's last layer does.

After ToP (Li et al., KDD 2023): the last layer shows best how much a token matters for the classification, but early
layers must decide whether to remove it. The loss is logistic, on differences of log scores between pairs of tokens.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from .batch_tokens import global_tokens

# Distances, in tokens, between the two tokens of the pairs that are compared.
DISTANCES = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987)
MIN_SCORE = 1e-6
INPUTS = "input_ids", "inputs_embeds", "attention_mask", "global_attention_mask", "token_type_ids", "position_ids"


class Teacher:
    """A frozen, unpruned copy of a sequence classifier in its current state.

    `model`: an [`LTPForSequenceClassification`], or another model with an [`LTPModel`] as `longformer`.
    """

    def __init__(self, model: nn.Module):
        self.model = copy.deepcopy(model.longformer).eval().requires_grad_(False)
        for module in self.model.modules():  # hooks, such as those that count something, are for the model itself
            module._forward_hooks.clear(), module._forward_pre_hooks.clear()
        for layer in self.model.encoder.layer:
            layer.attention.self.pruner = None
        self.model.encoder.gradient_checkpointing = False
        self.model.encoder.layer[-1].attention.self.register_forward_pre_hook(self._note_input)

    def _note_input(self, module: nn.Module, args: tuple) -> None:
        self._last_input = args[0], args[1]

    @torch.no_grad()
    def importance(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """The attention that each token receives from the global tokens in the last layer, summed over heads.

        `inputs`: `input_ids` and so on, as for `LTPModel.forward`; others are ignored.
        Returns `[B, L]` float32, 0 at padding.
        """
        inputs = {name: inputs[name] for name in INPUTS if name in inputs}
        self.model.encode(**inputs, only_first_token=True)
        hidden_states, packed = self._last_input
        del self._last_input
        attention = self.model.encoder.layer[-1].attention.self
        _, _, weights = attention.attend_globally(hidden_states, packed, packed.global_indices)
        return packed.unpack(torch.cat([w.float().sum(dim=(0, 1)) for w in weights]))


def rank_loss(
    scores: tuple[torch.Tensor | None, ...],
    importance: torch.Tensor,
    attention_mask: torch.Tensor,
    global_attention_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean over layers of `sum_pairs |gap| * log(1 + exp(-sign(gap) * margin)) / sum_pairs |gap|`, `[B]` float32,
    where `gap` and `margin` are the differences of the logarithms of the teacher's importance and of the layer's
    scores.

    Args:
        scores: of each layer, `[B, L]` (`pruning_scores`), or `None` for a layer that removes nothing. The last
            layer's scores are not used: no layer follows that could save compute.
        importance: the teacher's, `[B, L]`.
        attention_mask: `[B, L]`, above 0 for real tokens.
        global_attention_mask: `[B, L]`, above 0 for global tokens (default: the first real token of each sequence). No
            pair includes one, because global tokens are never removed.

    Returns the loss of each sequence; 0 for a sequence without pairs.
    """
    real = (attention_mask > 0) & ~global_tokens(attention_mask, global_attention_mask)
    wanted = importance.clamp(min=MIN_SCORE).log()
    layers = [torch.where(real, s, 1.0).clamp(min=MIN_SCORE).log() for s in scores[:-1] if s is not None]
    losses, weights = wanted.new_zeros(len(wanted)), wanted.new_zeros(len(wanted))
    for distance in DISTANCES:
        if distance >= wanted.shape[1] or not layers:
            break
        pair = real[:, distance:] & real[:, :-distance]
        gap = torch.where(pair, wanted[:, distance:] - wanted[:, :-distance], 0.0)
        weights = weights + gap.abs().sum(dim=1)
        for given in layers:
            margin = given[:, distance:] - given[:, :-distance]
            wrong = nn.functional.softplus(-margin * gap.sign())
            losses = losses + (gap.abs() * wrong).sum(dim=1) / len(layers)
    return losses / weights.clamp(min=MIN_SCORE)
