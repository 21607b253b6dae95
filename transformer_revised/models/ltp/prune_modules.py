"""The pruners: token importance in, kept tokens or a soft mask out."""

import torch
from torch import nn

from .packed_sequence import PackedSequence

# A score this small is dropped at any threshold but 0, as the published code does.
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


class AbsoluteThresholdPruner(nn.Module):
    """
    Learned Token Pruning (Kim et al., KDD 2022, section 3): a token leaves if its score is below the layer's
    threshold, `final_token_threshold * layer / num_layers + keep_threshold`.
    """

    def __init__(self, config, layer_id: int):
        super().__init__()
        self.base_threshold = config.final_token_threshold * layer_id / config.num_hidden_layers
        self.keep_threshold = nn.Parameter(torch.zeros(()))

    @property
    def threshold(self) -> torch.Tensor:
        """The layer's threshold, `[]` float32, differentiable in `keep_threshold`."""
        return self.base_threshold + self.keep_threshold.float()

    @property
    def is_active(self) -> bool:
        """Whether any token can leave: at a threshold of exactly 0 nothing does."""
        return self.base_threshold != 0 or self.keep_threshold.item() != 0

    def hard_mask(self, scores: torch.Tensor, packed: PackedSequence) -> torch.Tensor:
        """`[N]` scores to `[N]` bool, True for the tokens that stay. Global tokens always do."""
        threshold = self.threshold.detach()
        return (scores >= threshold.clamp(min=MIN_THRESHOLD)) | packed.is_global

    def soft_mask(self, scores: torch.Tensor, temperature: float) -> torch.Tensor:
        """`sigmoid((score - threshold) / temperature)`, `[N]` (Kim et al. 2022, equation 4)."""
        return torch.sigmoid((scores - self.threshold) / temperature)


PRUNERS = {"absolute_threshold": AbsoluteThresholdPruner}
