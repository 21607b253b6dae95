"""Global attention: the global tokens of a sequence attend to all its alive tokens.

It has projections of its own: `query_global`, `key_global`, `value_global` (Longformer, Beltagy et al. 2020, section
3.1). With few global tokens `key_global` and `value_global` are folded into the query and the context, so that they
are applied to a few vectors instead of to every token. `global_attention` computes sequences of similar length
together, which suits a CPU. `padded_global_attention` computes the whole batch in a few kernels, which suits a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from .attention_tile_plan import padded, powers_of_two
from .device_policy import reading_back_stalls
from .packed_sequence import PackedSequence


def folding_is_cheaper(num_tokens: np.ndarray, num_queries: np.ndarray, num_heads: int, hidden_size: int) -> bool:
    """Whether global attention over a batch takes fewer multiply-adds with `key_global` and `value_global` folded
    ([`global_attention`]).

    `num_tokens` and `num_queries`: alive tokens and global tokens of each sequence, `[B]`.
    """
    pairs, n, g = (num_tokens * num_queries).sum(), num_tokens.sum(), num_queries.sum()
    folded = 2 * pairs * num_heads * hidden_size + 2 * g * hidden_size**2
    plain = 2 * pairs * hidden_size + 2 * n * hidden_size**2
    return bool(folded < plain)


def holds_plain_weights(*layers: nn.Module) -> bool:
    """Whether the weights of the layers are all that they compute. Those of an adapter or a quantised layer are not,
    so that they cannot be folded.
    """
    return all(type(layer) is nn.Linear for layer in layers)


def folded_keys(num_tokens: np.ndarray) -> np.ndarray:
    """Keys that folded [`global_attention`] computes for sequences of these lengths, padding included; `[B]` int64."""
    return np.array([padded(n, 64) for n in num_tokens.tolist()], dtype=np.int64)


def global_attention(
    query: torch.Tensor,
    hidden_states: torch.Tensor,
    num_queries: list[int],
    num_tokens: list[int],
    key: nn.Linear,
    value: nn.Linear,
    dropout: float = 0.0,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Attention of the global tokens to all alive tokens of their sequence.

    Folding uses two identities. `q . (W_k x + b_k) = (W_k^T q) . x + q . b_k`: the second term is the same for every
    `x`, so that it does not change the softmax. `sum_j a_j (W_v x_j + b_v) = W_v (sum_j a_j x_j) + b_v sum_j a_j`.

    Args:
        query: `[G, H, d]`, already divided by `sqrt(d)`; the global tokens of the first sequence come first.
        hidden_states: `[N, D]`, the packed tokens, `D = H * d`, in the dtype of `query`.
        num_queries, num_tokens: global and alive tokens of each sequence, `B` numbers with the sums `G` and `N`.
        key, value: the layers `key_global` and `value_global`, `D -> D`. Only a plain `nn.Linear` is folded.

    Returns the context `[G, D]`, and for each sequence its attention weights (before dropout), `[g, H, n]`.
    """
    (G, H, d), D = query.shape, hidden_states.shape[1]
    if holds_plain_weights(key, value) and folding_is_cheaper(np.array(num_tokens), np.array(num_queries), H, D):
        folded = query.transpose(0, 1) @ key.weight.view(H, d, D)  # [H, G, D]
        context, totals, weights = _attention_to_states(
            folded.transpose(0, 1), hidden_states, num_queries, num_tokens, dropout
        )
        context = context.transpose(0, 1) @ value.weight.view(H, d, D).transpose(1, 2)
        context = context + totals.T[:, :, None] * value.bias.view(H, 1, d)  # [H, G, d]
        return context.transpose(0, 1).reshape(G, D), weights
    queries = query.transpose(0, 1).split(num_queries, dim=1)  # [H, g, d]
    keys, values = (
        project(hidden_states).view(-1, H, d).transpose(0, 1).split(num_tokens, dim=1) for project in (key, value)
    )
    weights, contexts = [], []
    for q, k, v in zip(queries, keys, values):
        attention = torch.softmax(q @ k.transpose(-1, -2), dim=-1)
        contexts.append((nn.functional.dropout(attention, dropout) if dropout else attention) @ v)
        weights.append(attention.transpose(0, 1))
    return torch.cat(contexts, dim=1).transpose(0, 1).reshape(G, D), weights


def _attention_to_states(
    queries: torch.Tensor, states: torch.Tensor, num_queries: list[int], num_tokens: list[int], dropout: float
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Attention of `queries` (`[G, H, D]`) with the `states` (`[N, D]`) of their sequences as keys and as values.

    Sequences with the same numbers of queries and of padded keys ([`folded_keys`]) are multiplied together, in groups
    whose sizes are powers of two.

    Returns:
        The context `[G, H, D]`, the sum of each query's weights after dropout `[G, H]`, and for each sequence the
        weights before dropout, `[g, H, n]`.
    """
    H, D = queries.shape[1:]
    n, g = np.array(num_tokens), np.array(num_queries)
    first_token, first_query = np.cumsum(n) - n, np.cumsum(g) - g
    contexts, totals, order, weights = [], [], [], [queries.new_zeros(0, H, length) for length in num_tokens]
    for (num, width), members in _sequences_of_one_size(np.stack([g, folded_keys(n)], axis=1)):
        size, length = len(members), n[members, None]
        # Padding repeats the last token of the sequence.
        tokens = first_token[members, None] + np.minimum(np.arange(width), length - 1)
        rows = first_query[members, None] + np.arange(num)
        keys = states.index_select(0, _index(tokens, states)).view(size, width, D)
        query = queries.index_select(0, _index(rows, states)).view(size, num * H, D)
        scores, is_padding = query @ keys.transpose(1, 2), np.arange(width) >= length
        if is_padding.any():
            scores = scores.masked_fill(torch.as_tensor(is_padding, device=scores.device)[:, None], -torch.inf)
        attention = torch.softmax(scores, dim=-1)
        dropped = nn.functional.dropout(attention, dropout) if dropout else attention
        contexts.append((dropped @ keys).view(-1, H, D))
        totals.append(dropped.sum(-1).view(-1, H))
        order.append(rows.ravel())
        for member, weight in zip(members.tolist(), attention):
            weights[member] = weight[:, : num_tokens[member]].unflatten(0, (num, H))
    back = _index(np.argsort(np.concatenate(order)), states)
    return torch.cat(contexts).index_select(0, back), torch.cat(totals).index_select(0, back), weights


def _sequences_of_one_size(sizes: np.ndarray) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Each size (`[B, 2]`: queries, padded keys) with the indices of sequences that have it."""
    for size in np.unique(sizes[sizes[:, 0] > 0], axis=0):
        members = (sizes == size).all(axis=1).nonzero()[0]
        for begin, end in powers_of_two(len(members)):
            yield tuple(size.tolist()), members[begin:end]


def _index(index: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(index.ravel(), device=like.device)


def suits_padding(packed: PackedSequence, num_heads: int, hidden_size: int, only_first_token: bool) -> bool:
    """Whether `padded_global_attention` can be used and is cheaper: on a GPU, if the first token of each sequence is
    its only global token (`only_first_token` ignores others), and if sequences are long enough for folding.
    """
    if not reading_back_stalls(packed.positions.device) or not packed.host_lengths.first_is_global:
        return False
    if not only_first_token and (packed.num_global != 1).any():
        return False
    return folding_is_cheaper(packed.lengths, np.ones_like(packed.lengths), num_heads, hidden_size)


def padded_global_attention(
    query: torch.Tensor,
    hidden_states: torch.Tensor,
    packed: PackedSequence,
    key: nn.Linear,
    value: nn.Linear,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Folded [`global_attention`] with one global token in each sequence, computed on the padded batch `[B, L, D]`.

    Args:
        query: `[B, H, d]`, of each sequence's global token, already divided by `sqrt(d)`.
        hidden_states: `[N, D]`, the packed tokens, `D = H * d`.
        key, value: the layers `key_global` and `value_global`, `D -> D`.

    Returns the context `[B, D]`.
    """
    (B, H, d), D = query.shape, hidden_states.shape[1]
    query = torch.einsum("bhd,hde->bhe", query, key.weight.view(H, d, D))
    states = hidden_states[None] if B == 1 else packed.unpack(hidden_states)
    scores = query @ states.transpose(1, 2)
    if B > 1:
        scores = scores.masked_fill(~packed.is_alive[:, None], float("-inf"))
    weights = nn.functional.dropout(torch.softmax(scores, dim=-1), dropout)
    context = torch.einsum("bhe,hde->bhd", weights @ states, value.weight.view(H, d, D))
    return (context + weights.sum(-1, keepdim=True) * value.bias.view(H, d)).flatten(1)


def global_attention_weights(weights: list[torch.Tensor], packed: PackedSequence, dtype: torch.dtype) -> torch.Tensor:
    """The weights of `global_attention` in Longformer's layout, for `output_attentions`: `[B, H, L, G]`."""
    num_global = max(len(w) for w in weights)
    rows = [nn.functional.pad(w.detach().permute(2, 1, 0).to(dtype), (0, num_global - len(w))) for w in weights]
    return packed.unpack(torch.cat(rows)).transpose(1, 2)
