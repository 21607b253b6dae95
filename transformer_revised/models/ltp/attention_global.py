"""Global attention of a batch whose sequences have one global token each, their first, in a few steps of a GPU.

[`global_attention`] goes through the sequences one by one, which is what a CPU likes. Here all of them are padded to
the batch's width, folded as described there; a batch of one needs no padding.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .attention_local import folds
from .packed_sequence import PackedSequence


def suits_padding(packed: PackedSequence, num_heads: int, hidden_size: int, first: bool) -> bool:
    """
    Whether `padded_global_attention` is exact and cheaper: a batch on a GPU, its first tokens global and no others
    (with `first`, others that do not matter), and not so short that folding would not pay.
    """
    known = packed.known
    if known is None or not known.global_first or not (first or (known.num_global == 1).all()):
        return False
    return folds(known.lengths, np.ones_like(known.lengths), num_heads, hidden_size)


def padded_global_attention(
    query: torch.Tensor,
    hidden_states: torch.Tensor,
    packed: PackedSequence,
    key: nn.Linear,
    value: nn.Linear,
    dropout: float = 0.0,
) -> torch.Tensor:
    """
    Args:
        query: `[B, H, d]`, of each sequence's global token, already divided by `sqrt(d)`.
        hidden_states: `[N, D]`, the packed tokens, `D = H * d`.
        key, value: the layers `key_global` and `value_global`, `D -> D`.
        dropout: probability of dropping an attention weight.

    Returns:
        The context `[B, D]`.
    """
    (B, H, d), D = query.shape, hidden_states.shape[1]
    query = torch.einsum("bhd,hde->bhe", query, key.weight.view(H, d, D))
    padded = hidden_states[None] if B == 1 else packed.unpack(hidden_states)
    scores = query @ padded.transpose(1, 2)
    if B > 1:
        scores = scores.masked_fill(~packed.is_alive[:, None], float("-inf"))
    weights = nn.functional.dropout(torch.softmax(scores, dim=-1), dropout)
    context = torch.einsum("bhe,hde->bhd", weights @ padded, value.weight.view(H, d, D))
    return (context + weights.sum(-1, keepdim=True) * value.bias.view(H, d)).flatten(1)
