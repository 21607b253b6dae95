"""The pruners: token importance in, kept tokens or a soft mask out. A fifth is one more class in `PRUNERS`."""

from __future__ import annotations

import math

import torch
from torch import nn

from .packed_sequence import PackedSequence, waits

# A score this small is dropped at any learned threshold but 0, as the published code does.
MIN_THRESHOLD = 1e-5


def normalize_importance(
    importance: torch.Tensor, packed: PackedSequence, num_heads: int, normalization: str
) -> torch.Tensor:
    """
    Makes the attention that tokens receive comparable across sequences.

    Args:
        importance: `[N]` float32, attention received, summed over heads and over the queries of the sequence.
        normalization: `"max"`, `"mean"` (LTP, Kim et al. 2022, equation 2) or `"rel"`; see [`LTPConfig`].

    Returns:
        Scores, `[N]` float32.
    """
    if normalization == "max":
        return importance / packed.amax(importance)[packed.rows]
    if normalization == "mean":
        return importance / (num_heads * packed.length_tensor)[packed.rows]
    return importance / num_heads


class TokenPruner(nn.Module):
    """
    What a layer asks of its pruner. `config` is an [`LTPConfig`], `layer_id` counts from 0.

    A subclass sets `normalization` (of the scores it is given) and defines `is_active` and `hard_mask`; one with a
    threshold also `soft_mask`.
    """

    normalization = "max"

    @property
    def threshold(self) -> torch.Tensor | None:
        """The layer's threshold, `[]`, if it has one."""
        return None

    @property
    def is_active(self) -> bool:
        """Whether any token can leave in this layer."""
        raise NotImplementedError

    def hard_mask(self, scores: torch.Tensor, packed: PackedSequence) -> torch.Tensor:
        """`[N]` scores to `[N]` bool, True for the tokens that stay. Global tokens always do."""
        raise NotImplementedError

    def soft_mask(self, scores: torch.Tensor, temperature: float) -> torch.Tensor:
        """`[N]` scores to what each token's output is multiplied by, `[N]`, between 0 and 1."""
        raise ValueError(f"{type(self).__name__} has no threshold, and so no soft mask: use hard masking")


class ThresholdPruner(TokenPruner):
    """A token leaves if its importance is below a fixed fraction of the largest in its sequence."""

    def __init__(self, config, layer_id: int):
        super().__init__()
        self.base_threshold = float(config.token_threshold)

    @property
    def threshold(self) -> torch.Tensor:
        """The layer's threshold, `[]` float32."""
        return torch.tensor(self.base_threshold)

    @property
    def is_active(self) -> bool:
        """At a threshold of exactly 0 nothing leaves."""
        return self.base_threshold != 0

    def hard_mask(self, scores: torch.Tensor, packed: PackedSequence) -> torch.Tensor:
        return (scores >= self.base_threshold) | packed.is_global

    def soft_mask(self, scores: torch.Tensor, temperature: float) -> torch.Tensor:
        """`sigmoid((score - threshold) / temperature)` (Kim et al. 2022, equation 4)."""
        return torch.sigmoid((scores - self.base_threshold) / temperature)


class RisingThresholdPruner(ThresholdPruner):
    """The same with the threshold `final_token_threshold * layer / num_layers`."""

    def __init__(self, config, layer_id: int):
        super().__init__(config, layer_id)
        self.base_threshold = config.final_token_threshold * layer_id / config.num_hidden_layers


class AbsoluteThresholdPruner(RisingThresholdPruner):
    """
    Learned Token Pruning (Kim et al., KDD 2022, section 3): a token leaves if its score is below the layer's
    threshold, `final_token_threshold * layer / num_layers + keep_threshold`.
    """

    def __init__(self, config, layer_id: int):
        super().__init__(config, layer_id)
        self.normalization = config.score_normalization
        # The learned offset. The published checkpoints call it `keep_threshold`, so its state-dict key has that name.
        self.keep_threshold = nn.Parameter(torch.zeros(()))

    @property
    def learned_offset(self) -> nn.Parameter:
        """What training adds to the layer's fixed threshold, `[]`: the parameter `keep_threshold`."""
        return self.keep_threshold

    @property
    def threshold(self) -> torch.Tensor:
        """The layer's threshold, `[]` (float32; float64 if `keep_threshold` is), differentiable in it."""
        learned = self.keep_threshold
        return self.base_threshold + (learned if learned.dtype == torch.float64 else learned.float())

    @property
    def is_active(self) -> bool:
        return self.threshold.item() != 0

    def hard_mask(self, scores: torch.Tensor, packed: PackedSequence) -> torch.Tensor:
        threshold = self.threshold.detach()
        return (scores >= threshold.clamp(min=MIN_THRESHOLD)) | packed.is_global

    def soft_mask(self, scores: torch.Tensor, temperature: float) -> torch.Tensor:
        return torch.sigmoid((scores - self.threshold) / temperature)


class TopKPruner(TokenPruner):
    """
    SpAtten's cascade (Wang et al., HPCA 2021, section III-A): the most important tokens of a sequence stay, as many as
    a share of those it started with. The share is 1 in the first max(3, 15 %) layers and then falls linearly to
    `token_keep_rate` after the last.
    """

    def __init__(self, config, layer_id: int):
        super().__init__()
        L = config.num_hidden_layers
        before = max(3, math.ceil(0.15 * L))
        falling = 1 + (config.token_keep_rate - 1) * (layer_id - before + 1) / max(L - before, 1)
        self.keep_rate = 1.0 if layer_id < before else max(0.01, falling)

    @property
    def is_active(self) -> bool:
        return self.keep_rate < 1

    def hard_mask(self, scores: torch.Tensor, packed: PackedSequence) -> torch.Tensor:
        """Of equal scores the earlier token stays."""
        ranked = scores.masked_fill(packed.is_global, math.inf)
        order = torch.argsort(ranked, descending=True, stable=True)
        order = order[torch.argsort(packed.rows[order], stable=True)]  # sequence by sequence, the best first
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(packed), device=order.device)
        rank -= packed.first_index[packed.rows]
        started = (packed.start or packed).length_tensor
        kept = (started.double() * self.keep_rate).round()  # halves to even, as Python rounds
        return (rank < kept[packed.rows]) | packed.is_global


PRUNERS: dict[str, type[TokenPruner]] = {
    "absolute_threshold": AbsoluteThresholdPruner,
    "rising_threshold": RisingThresholdPruner,
    "threshold": ThresholdPruner,
    "topk": TopKPruner,
}


def which_prune(pruners: list[TokenPruner | None]) -> list[bool | None]:
    """
    Whether any token can leave in each layer whose threshold lies on a GPU, all read back at one go; `None` for the
    others, which tell when they are asked (and for those that are elsewhere between the calls of their layer).
    """
    learned = [i for i, pruner in enumerate(pruners) if isinstance(pruner, AbsoluteThresholdPruner)]
    at = {i: pruners[i].keep_threshold for i in learned}
    learned = [i for i in learned if waits(at[i].device) and at[i].numel() == 1]
    answers: list[bool | None] = [None] * len(pruners)
    if learned:
        device = at[learned[0]].device
        thresholds = torch.stack([pruners[i].threshold.detach().to(device) for i in learned])
        for i, active in zip(learned, (thresholds != 0).tolist()):
            answers[i] = active
    return answers
