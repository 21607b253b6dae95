"""Global attention: the global tokens of a sequence attend to all its alive tokens.

It has projections of its own: `query_global`, `key_global`, `value_global` (Longformer, Beltagy et al. 2020, section
3.1). With few global tokens `key_global` and `value_global` are folded into the query and the context, so that they
are applied to a few vectors instead of to every token. `global_attention` computes sequences of similar length
together, which suits a CPU. `padded_global_attention` computes the whole batch in a few kernels, which suits a GPU.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from .attention_banded import scaled_product
from .attention_tile_plan import groups_of_few_sizes, padded
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
    with_weights: bool = True,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Attention of the global tokens to all alive tokens of their sequence.

    Folding uses two identities. `q . (W_k x + b_k) = (W_k^T q) . x + q . b_k`: the second term is the same for every
    `x`, so that it does not change the softmax. `sum_j a_j (W_v x_j + b_v) = W_v (sum_j a_j x_j) + b_v sum_j a_j`.

    Args:
        query: `[G, H, d]`, already divided by `sqrt(d)`; the global tokens of the first sequence come first.
        hidden_states: `[N, D]`, the packed tokens, `D = H * d`, in the dtype of `query`.
        num_queries, num_tokens: global and alive tokens of each sequence, `B` numbers with the sums `G` and `N`.
        key, value: the layers `key_global` and `value_global`, `D -> D`. Only a plain `nn.Linear` is folded.
        with_weights: whether to return attention weights.

    Returns the context `[G, D]`, and for each sequence its attention weights (before dropout), `[g, H, n]`; an empty
    list without `with_weights`.
    """
    (G, H, d), D = query.shape, hidden_states.shape[1]
    if holds_plain_weights(key, value) and folding_is_cheaper(np.array(num_tokens), np.array(num_queries), H, D):
        folded = query.transpose(0, 1) @ key.weight.view(H, d, D)  # [H, G, D]
        context, totals, weights = _attention_to_states(
            folded.transpose(0, 1), hidden_states, num_queries, num_tokens, dropout, with_weights
        )
        context = context.transpose(0, 1) @ value.weight.view(H, d, D).transpose(1, 2)
        bias = value.bias.view(H, 1, d)
        context = context + (bias if totals is None else totals.T[:, :, None] * bias)  # [H, G, d]
        return context.transpose(0, 1).reshape(G, D), weights
    queries = query.transpose(0, 1).split(num_queries, dim=1)  # [H, g, d]
    keys, values = (
        project(hidden_states).view(-1, H, d).transpose(0, 1).split(num_tokens, dim=1) for project in (key, value)
    )
    weights, contexts = [], []
    for q, k, v in zip(queries, keys, values):
        attention = torch.softmax(q @ k.transpose(-1, -2), dim=-1)
        contexts.append((nn.functional.dropout(attention, dropout) if dropout else attention) @ v)
        if with_weights:
            weights.append(attention.transpose(0, 1))
    return torch.cat(contexts, dim=1).transpose(0, 1).reshape(G, D), weights


def _attention_to_states(
    queries: torch.Tensor,
    states: torch.Tensor,
    num_queries: list[int],
    num_tokens: list[int],
    dropout: float,
    with_weights: bool,
) -> tuple[torch.Tensor, torch.Tensor | None, list[torch.Tensor]]:
    """Attention of `queries` (`[G, H, D]`) with the `states` (`[N, D]`) of their sequences as keys and as values.

    Sequences with the same numbers of queries and of padded keys ([`folded_keys`]) are multiplied together, in groups
    of few sizes.

    Returns:
        The context `[G, H, D]`, the sum of each query's weights after dropout `[G, H]` (`None` without dropout: it is
        1), and for each sequence the weights before dropout, `[g, H, n]` (an empty list without `with_weights`).
    """
    H, D = queries.shape[1:]
    n, g = np.array(num_tokens), np.array(num_queries)
    first_token, first_query = np.cumsum(n) - n, np.cumsum(g) - g
    contexts, totals, order = [], [], []
    weights = [queries.new_zeros(0, H, length) for length in num_tokens] if with_weights else []
    for (num, width), members in _sequences_of_one_size(num_queries, folded_keys(n).tolist()):
        if len(members) == 1:
            keys, query, places = _one_sequence(states, queries, first_token, first_query, n, members[0], num, width)
        else:
            keys, query, places = _sequences(states, queries, first_token, first_query, n, members, num, width)
        scores = query @ keys.transpose(-1, -2)  # [S, g * H, width], or without S for one sequence
        length = n[members]
        if (length < width).any():
            is_padding = torch.as_tensor(np.arange(width) >= length[:, None], device=scores.device)
            scores = scores.masked_fill(is_padding if len(members) == 1 else is_padding[:, None], -torch.inf)
        attention = torch.softmax(scores, dim=-1)
        dropped = nn.functional.dropout(attention, dropout) if dropout else attention
        contexts.append((dropped @ keys).view(-1, H, D))
        order.append(places)
        if dropout:
            totals.append(dropped.sum(-1).view(-1, H))
        if with_weights:
            for member, weight in zip(members, attention.view(len(members), num * H, width)):
                weights[member] = weight[:, : num_tokens[member]].unflatten(0, (num, H))
    context, total = torch.cat(contexts), torch.cat(totals) if dropout else None
    back = np.argsort(np.concatenate(order))
    if (back[1:] < back[:-1]).any():
        back = _index(back, states)
        context, total = context.index_select(0, back), None if total is None else total.index_select(0, back)
    return context, total, weights


def _one_sequence(states, queries, first_token, first_query, n, member, num, width):
    """Keys `[width, D]`, queries `[num * H, D]` and the places of the queries of one sequence. These products have two
    dimensions: in bfloat16 a product of three dimensions would copy its transposed keys.
    """
    begin, length, first = first_token[member], n[member], first_query[member]
    keys = states[begin : begin + length]
    if length < width:
        keys = nn.functional.pad(keys, (0, 0, 0, width - length))
    return keys, queries[first : first + num].flatten(0, 1), np.arange(first, first + num)


def _sequences(states, queries, first_token, first_query, n, members, num, width):
    """As `_one_sequence` for several: keys `[S, width, D]`, queries `[S, num * H, D]`, and the queries' places."""
    # Padding repeats the last token of the sequence.
    tokens = first_token[members, None] + np.minimum(np.arange(width), n[members, None] - 1)
    rows = first_query[members, None] + np.arange(num)
    keys = states.index_select(0, _index(tokens, states)).view(len(members), width, -1)
    query = queries.index_select(0, _index(rows, states)).view(len(members), -1, states.shape[1])
    return keys, query, rows.ravel()


def _sequences_of_one_size(num_queries: list[int], widths: list[int]) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Each pair of a number of queries and a width, with the indices of sequences that have it."""
    members = defaultdict(list)
    for index, size in enumerate(zip(num_queries, widths)):
        if size[0]:
            members[size].append(index)
    for size in sorted(members):
        for begin, end in groups_of_few_sizes(len(members[size])):
            yield size, members[size][begin:end]


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


def padded_states(hidden_states: torch.Tensor, packed: PackedSequence) -> torch.Tensor:
    """`[N, D]` to `[B, W, D]`, `W` tokens of the longest sequence alive: the others repeat their last token."""
    if packed.shape[0] == 1:
        return hidden_states[None]
    index, is_padding = packed.padding
    if is_padding is None:  # all of one length
        return hidden_states.unflatten(0, index.shape)
    return hidden_states.index_select(0, index.flatten()).view(*index.shape, -1)


def padded_global_attention(
    query: torch.Tensor,
    hidden_states: torch.Tensor,
    packed: PackedSequence,
    key: nn.Linear,
    value: nn.Linear,
    dropout: float = 0.0,
    scale: float = 1.0,
) -> torch.Tensor:
    """Folded [`global_attention`] with one global token in each sequence, computed on the padded batch.

    Args:
        query: `[B, H, d]`, of each sequence's global token.
        hidden_states: `[N, D]`, the packed tokens, `D = H * d`, or their [`padded_states`] `[B, W, D]`.
        key, value: the layers `key_global` and `value_global`, `D -> D`.
        scale: multiplies the scores; 1 if `query` is already divided by `sqrt(d)`.

    Returns the context `[B, D]`.
    """
    (_, H, d), D = query.shape, hidden_states.shape[-1]
    states = hidden_states if hidden_states.dim() == 3 else padded_states(hidden_states, packed)
    folded = scaled_product(query.transpose(0, 1), key.weight.view(H, d, D), scale).transpose(0, 1)  # [B, H, D]
    scores = torch.bmm(folded, states.transpose(1, 2))
    if packed.shape[0] > 1 and packed.padding[1] is not None:
        scores = scores.masked_fill_(packed.padding[1][:, None], float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    weights = nn.functional.dropout(weights, dropout) if dropout else weights
    context = torch.bmm(weights, states).transpose(0, 1)  # [H, B, D]
    context = torch.bmm(context, value.weight.view(H, d, D).transpose(1, 2)).transpose(0, 1)  # [B, H, d]
    bias = value.bias.view(H, d)
    return (context + (weights.sum(-1, keepdim=True) * bias if dropout else bias)).flatten(1)


def global_attention_weights(weights: list[torch.Tensor], packed: PackedSequence, dtype: torch.dtype) -> torch.Tensor:
    """The weights of `global_attention` in Longformer's layout, for `output_attentions`: `[B, H, L, G]`."""
    num_global = max(len(w) for w in weights)
    rows = [nn.functional.pad(w.detach().permute(2, 1, 0).to(dtype), (0, num_global - len(w))) for w in weights]
    return packed.unpack(torch.cat(rows)).transpose(1, 2)
