"""Decides from the importance of tokens which tokens a layer keeps: a class for each pruning mode, see `PRUNERS`."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from .device_policy import reading_back_stalls, run_uncompiled
from .packed_sequence import PackedSequence

# The threshold of a layer that removes nothing. Without `prune_first_layer` it is layer 0's: 0 / num_layers = 0.
INACTIVE_THRESHOLD = 0.0
# Lower bound of learned thresholds in hard pruning, as in the published code.
MIN_THRESHOLD = 1e-5
# The first layers, in which `topk` removes nothing; more of them in a model of more than 20 layers.
UNPRUNED_LAYERS = 3


class TokenPruner(nn.Module):
    """Decides which tokens a layer keeps.

    A subclass sets `normalization` and defines `is_active` and `hard_mask`. Its constructor takes an [`LTPConfig`] and
    `layer_id`, which counts from 0.
    """

    normalization = "max"  # or "mean" (LTP, Kim et al. 2022, equation 2) or "rel", see `LTPConfig`

    @property
    def threshold(self) -> torch.Tensor | None:
        """The score below which a token is removed, `[]`; `None` for a pruner without a threshold."""
        return None

    @property
    def is_active(self) -> bool:
        """Whether the layer can remove tokens."""
        raise NotImplementedError

    def scores(self, importance: torch.Tensor, packed: PackedSequence, num_heads: int) -> torch.Tensor:
        """Normalises importance, so that sequences can be compared.

        Args:
            importance: `[N]` float32, the attention that each token receives, summed over heads and over the queries
                of its sequence.

        Returns scores, `[N]` float32.
        """
        if self.normalization == "max":
            largest = packed.amax(importance)  # [B]
            return importance / (largest if len(largest) == 1 else largest[packed.sequence_of])
        if self.normalization == "mean":
            return importance / (num_heads * packed.length_tensor)[packed.sequence_of]
        return importance / num_heads

    def hard_mask(self, scores: torch.Tensor, packed: PackedSequence) -> torch.Tensor:
        """`[N]` scores to `[N]` bool: True for the tokens to keep. Global tokens are always kept."""
        raise NotImplementedError

    def soft_mask(self, scores: torch.Tensor, temperature: float) -> torch.Tensor:
        """`[N]` scores to the factor of each token's output, `[N]` between 0 and 1."""
        raise ValueError(f"{type(self).__name__} has no threshold and so no soft mask: use hard masking")


class PrunerWithThreshold(TokenPruner):
    """Removes the tokens whose score is below the layer's threshold. A subclass decides what the threshold is.

    `base_threshold`: the threshold, or the part of it that is not learned.
    """

    def __init__(self, base_threshold: float):
        super().__init__()
        self.base_threshold = base_threshold

    @property
    def cut(self) -> float | torch.Tensor:
        """The threshold that is compared with scores: a number if it is fixed, a tensor `[]` if it is learned."""
        return self.base_threshold

    @property
    def threshold(self) -> torch.Tensor:
        return torch.as_tensor(self.cut)

    @property
    def is_active(self) -> bool:
        return self.base_threshold != INACTIVE_THRESHOLD

    def hard_mask(self, scores: torch.Tensor, packed: PackedSequence) -> torch.Tensor:
        return (scores >= self.cut) | packed.is_global

    def soft_mask(self, scores: torch.Tensor, temperature: float) -> torch.Tensor:
        """`sigmoid((score - threshold) / temperature)` (Kim et al. 2022, equation 4)."""
        return torch.sigmoid((scores - self.cut) / temperature)


class ThresholdPruner(PrunerWithThreshold):
    """The threshold is the same in every layer: a fixed fraction of the largest importance in the sequence."""

    def __init__(self, config, layer_id: int):
        super().__init__(float(config.token_threshold))


class RisingThresholdPruner(PrunerWithThreshold):
    """The threshold, again a fraction, rises with the layer, see `_rising_threshold`."""

    def __init__(self, config, layer_id: int):
        super().__init__(_rising_threshold(config, layer_id))


class AbsoluteThresholdPruner(PrunerWithThreshold):
    """Learned Token Pruning (Kim et al., KDD 2022, section 3): the threshold rises with the layer, see
    `_rising_threshold`, and has a learned offset.
    """

    def __init__(self, config, layer_id: int):
        super().__init__(_rising_threshold(config, layer_id))
        self.normalization = config.score_normalization
        # The learned offset. Its name is that of the published checkpoints.
        self.keep_threshold = nn.Parameter(torch.zeros(()))

    @property
    def learned_offset(self) -> nn.Parameter:
        """What training adds to the fixed part of the threshold, `[]`: the parameter `keep_threshold`."""
        return self.keep_threshold

    @property
    def cut(self) -> torch.Tensor:
        """The threshold, `[]` (float32; float64 if `keep_threshold` is), differentiable in `keep_threshold`."""
        offset = self.keep_threshold
        return self.base_threshold + (offset if offset.dtype == torch.float64 else offset.float())

    @property
    def is_active(self) -> bool:
        return self.cut.item() != INACTIVE_THRESHOLD

    def hard_mask(self, scores: torch.Tensor, packed: PackedSequence) -> torch.Tensor:
        return (scores >= self.cut.detach().clamp(min=MIN_THRESHOLD)) | packed.is_global

    @property
    def has_host_mask(self) -> bool:
        """Whether [`host_mask`] decides as [`scores`] and [`hard_mask`] do: a subclass may replace these two."""
        own = type(self)
        return own.scores is TokenPruner.scores and own.hard_mask is AbsoluteThresholdPruner.hard_mask

    def host_mask(self, importance: np.ndarray, packed: PackedSequence, num_heads: int, cut: float) -> np.ndarray:
        """[`scores`] and [`hard_mask`] on the host: the same operations on the same numbers, without launches.

        Args:
            importance: `[N]` float32, read from a GPU.
            cut: from [`read_cuts`].

        Returns `[N]` bool: True for the tokens to keep.
        """
        divisor = num_heads
        if self.normalization != "rel":
            lengths = packed.lengths[packed.lengths > 0]
            divisor = num_heads * lengths
            if self.normalization == "max":
                divisor = np.maximum.reduceat(importance, np.cumsum(lengths) - lengths)
            divisor = np.repeat(divisor.astype(importance.dtype), lengths)
        return (importance / divisor >= cut) | packed.host_is_global


def _rising_threshold(config, layer_id: int) -> float:
    """`final_token_threshold * layer / num_layers`. Layers count from 0; with `prune_first_layer` from 1."""
    step = layer_id + 1 if config.prune_first_layer else layer_id
    return config.final_token_threshold * step / config.num_hidden_layers


class TopKPruner(TokenPruner):
    """SpAtten's cascade (Wang et al., HPCA 2021, section III-A): a sequence keeps its most important tokens, as many
    as a share of those it started with. The share is 1 in the first max(3, 15 %) layers and then falls linearly to
    `token_keep_rate` after the last.
    """

    def __init__(self, config, layer_id: int):
        super().__init__()
        num_layers = config.num_hidden_layers
        unpruned_layers = max(UNPRUNED_LAYERS, math.ceil(0.15 * num_layers))
        steps, all_steps = layer_id - unpruned_layers + 1, max(num_layers - unpruned_layers, 1)
        falling = 1 + (config.token_keep_rate - 1) * steps / all_steps
        self.keep_rate = 1.0 if layer_id < unpruned_layers else max(0.01, falling)

    @property
    def is_active(self) -> bool:
        return self.keep_rate < 1

    def hard_mask(self, scores: torch.Tensor, packed: PackedSequence) -> torch.Tensor:
        """Of equal scores the earlier token is kept."""
        ranked = scores.masked_fill(packed.is_global, math.inf)
        order = torch.argsort(ranked, descending=True, stable=True)
        order = order[torch.argsort(packed.sequence_of[order], stable=True)]  # by sequence, then from the best on
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(packed), device=order.device)
        rank -= packed.first_index[packed.sequence_of]
        num_kept = (packed.before_removal.length_tensor.double() * self.keep_rate).round()  # half to even, as Python
        return (rank < num_kept[packed.sequence_of]) | packed.is_global


PRUNERS: dict[str, type[TokenPruner]] = {
    "absolute_threshold": AbsoluteThresholdPruner,
    "rising_threshold": RisingThresholdPruner,
    "threshold": ThresholdPruner,
    "topk": TopKPruner,
}


@run_uncompiled
def read_cuts(pruners: list[TokenPruner | None]) -> dict[int, float]:
    """Reads learned thresholds from a GPU, all with one transfer.

    Returns:
        Index of each layer whose threshold was read -> the threshold for [`AbsoluteThresholdPruner.host_mask`], or 0
        if the layer can remove no tokens. Other layers use `is_active` and `hard_mask` when they run: their threshold
        is not a tensor, is on the CPU, or is on this device only while the layer runs (sharded parameters).
    """
    learned = {
        i: pruner
        for i, pruner in enumerate(pruners)
        if isinstance(pruner, AbsoluteThresholdPruner)
        and reading_back_stalls(pruner.keep_threshold.device)
        and pruner.keep_threshold.numel() == 1
    }
    if not learned:
        return {}
    device = next(iter(learned.values())).keep_threshold.device
    offsets = torch.stack([pruner.keep_threshold.detach().to(device) for pruner in learned.values()])
    offsets = (offsets if offsets.dtype == torch.float64 else offsets.float()).cpu().numpy()
    cuts = np.array([pruner.base_threshold for pruner in learned.values()], dtype=offsets.dtype) + offsets
    cuts = np.where(cuts == INACTIVE_THRESHOLD, cuts, np.maximum(cuts, cuts.dtype.type(MIN_THRESHOLD)))
    return dict(zip(learned, cuts.tolist()))
