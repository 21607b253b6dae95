"""Window + global attention over a packed batch: context and importance, computed tile by tile.

A query sees the tokens of its sequence whose original position is at most `w` away, and every global token once.
[`attention_plan`] lays out the tiles.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from .attention_tiles import AttentionPlan, Tile, padded, powers_of_two
from .packed_sequence import PackedSequence


def _probabilities(tile: Tile, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Attention of a tile, `[P, m, c]`, in the dtype of `queries`."""
    return torch.softmax(tile.scores(queries, keys), dim=-1)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: AttentionPlan,
    dropout: float,
    seed: int | None,
    with_importance: bool,
    context: torch.Tensor,
) -> torch.Tensor:
    """Writes the context and returns the importance, `[0]` if it is not wanted."""
    generator = _seeded(seed, query.device)
    importance = query.new_zeros(query.shape[1] if with_importance else 0, dtype=_accumulation_dtype(query.dtype))
    for tile in plan.tiles:
        probabilities = _probabilities(tile, tile.queries(query), tile.keys(key))
        if with_importance:
            tile.add_received(importance, probabilities)
        if dropout:
            probabilities = probabilities * _dropout_mask(probabilities, dropout, generator)
        tile.put_product(context, probabilities, tile.keys(value))
    return importance


def _draw_seed(dropout: float) -> int | None:
    return int(torch.randint(2**62, ())) if dropout else None


def _empty_context(query: torch.Tensor, plan: AttentionPlan) -> torch.Tensor:
    return torch.empty_like(query) if plan.is_complete else torch.zeros_like(query)


class _TiledAttention(torch.autograd.Function):
    """
    `(query, key, value) -> (context, importance)`. Probabilities are not kept: the backward pass computes each tile's
    again, so memory grows with the tokens, not with the pairs.
    """

    @staticmethod
    def forward(ctx, query, key, value, plan, dropout, with_importance, importance_gradient):
        ctx.save_for_backward(query, key, value)
        ctx.importance_gradient = importance_gradient
        ctx.plan, ctx.dropout, ctx.seed = plan, dropout, _draw_seed(dropout)
        context = _empty_context(query, plan)
        with torch.autocast(query.device.type, enabled=False):
            importance = _attend(query, key, value, plan, dropout, ctx.seed, with_importance, context)
        if not importance_gradient:
            ctx.mark_non_differentiable(importance)
        return context, importance

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_context, grad_importance):
        with torch.autocast(grad_context.device.type, enabled=False):
            return (*_TiledAttention._backward(ctx, grad_context, grad_importance), None, None, None, None)

    @staticmethod
    def _backward(ctx, grad_context, grad_importance):
        query, key, value = ctx.saved_tensors
        grad_context = grad_context.contiguous()
        generator = _seeded(ctx.seed, query.device)
        grad_query, grad_key, grad_value = (torch.zeros_like(x) for x in (query, key, value))
        for tile in ctx.plan.tiles:
            queries, keys = tile.queries(query), tile.keys(key)
            probabilities = _probabilities(tile, queries, keys)
            grad_out = tile.query_gradients(grad_context)
            grad_probabilities = grad_out @ tile.keys(value).transpose(1, 2)
            dropped = probabilities
            if ctx.dropout:
                mask = _dropout_mask(probabilities, ctx.dropout, generator)
                dropped = probabilities * mask
                grad_probabilities *= mask
            if ctx.importance_gradient:  # each probability counts once in what its key receives
                tile.add_received_gradient(grad_probabilities, grad_importance)
            tile.add_keys(grad_value, dropped.transpose(1, 2) @ grad_out)
            grad_scores = torch._softmax_backward_data(grad_probabilities, probabilities, -1, probabilities.dtype)
            tile.put_product(grad_query, grad_scores, keys)
            tile.add_keys(grad_key, grad_scores.transpose(1, 2) @ queries)
        return grad_query, grad_key, grad_value


def _accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _seeded(seed: int | None, device: torch.device) -> torch.Generator | None:
    return None if seed is None else torch.Generator(device).manual_seed(seed)


def _dropout_mask(x: torch.Tensor, dropout: float, generator: torch.Generator) -> torch.Tensor:
    # 16 bits decide about a weight: four to a draw, as drawing numbers is what dropout costs on a CPU.
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    words.random_(-(2**63), None, generator=generator)
    drawn = words.view(torch.int16)[: x.numel()].view(x.shape)
    return (drawn >= round(dropout * 2**16) - 2**15).to(x.dtype).div_(1 - dropout)


def local_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: AttentionPlan,
    *,
    dropout: float = 0.0,
    with_importance: bool = False,
    importance_gradient: bool = False,
    overwrite_query: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """
    Attention of every token to its window and to the global tokens (Longformer, Beltagy et al. 2020, section 3.1).

    Args:
        query: `[H, N, d]`, already divided by `sqrt(d)`; `key` and `value` alike. One dtype.
        plan: the tiles to compute; rows of queries that no tile holds get a context of zeros.
        dropout: probability of dropping an attention weight.
        with_importance: whether to sum what each token receives (before dropout).
        importance_gradient: whether that is differentiable in `query` and `key`.
        overwrite_query: whether the context may be written over `query`; not where gradients are enabled.

    Returns:
        The context `[H, N, d]`, and the importance `[N]` (float32; float64 for float64 input) summed over heads and
        queries, or `None`.
    """
    if torch.is_grad_enabled():
        context, importance = _TiledAttention.apply(
            query, key, value, plan, dropout, with_importance, importance_gradient
        )
        return context, importance if with_importance else None
    # Each query is in one tile, which reads it before it writes its context.
    context = query if overwrite_query and plan.is_complete else _empty_context(query, plan)
    with torch.autocast(query.device.type, enabled=False):
        importance = _attend(query, key, value, plan, dropout, _draw_seed(dropout), with_importance, context)
    return context, importance if with_importance else None


def folds(num_tokens: np.ndarray, num_queries: np.ndarray, num_heads: int, hidden_size: int) -> bool:
    """
    Whether global attention over a batch (`num_tokens` and `num_queries` `[B]`) takes fewer multiply-adds with
    `key_global` and `value_global` applied on the side of the queries ([`global_attention`]).
    """
    pairs, n, g = (num_tokens * num_queries).sum(), num_tokens.sum(), num_queries.sum()
    folded = 2 * pairs * num_heads * hidden_size + 2 * g * hidden_size**2
    plain = 2 * pairs * hidden_size + 2 * n * hidden_size**2
    return bool(folded < plain)


def folded_keys(num_tokens: np.ndarray) -> np.ndarray:
    """How many keys of sequences of these lengths (`[B]`) the folded way of [`global_attention`] computes, `[B]`."""
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
    """
    Attention of the global tokens to all alive tokens of their sequence.

    For few queries the projections are folded: `q . (W_k x + b_k) = (W_k^T q) . x + q . b_k`, whose second term is the
    same for every `x` and so leaves the softmax as it is, and `sum_j a_j (W_v x_j + b_v) = W_v (sum_j a_j x_j) +
    b_v sum_j a_j`; they are then applied to one vector a query and head instead of to every token.

    Args:
        query: `[G, H, d]`, already divided by `sqrt(d)`, sequence after sequence.
        hidden_states: `[N, D]`, the packed tokens, `D = H * d`, in the dtype of `query`.
        num_queries, num_tokens: of each sequence, `B` numbers that add up to `G` and `N`.
        key, value: the layers `key_global` and `value_global`, `D -> D`.
        dropout: probability of dropping an attention weight.

    Returns:
        The context `[G, D]`, and the attention weights (before dropout) of each sequence, `[g, H, n]`.
    """
    (G, H, d), D = query.shape, hidden_states.shape[1]
    if folds(np.array(num_tokens), np.array(num_queries), H, D):  # a head of a query is a query as wide as the states
        folded = query.transpose(0, 1) @ key.weight.view(H, d, D)  # [H, G, D]
        context, totals, weights = _folded_attention(
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


def _folded_attention(
    queries: torch.Tensor, states: torch.Tensor, num_queries: list[int], num_tokens: list[int], dropout: float
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """
    Attention of `queries` (`[G, H, D]`) to the `states` (`[N, D]`) of their sequences, as keys and as values.

    Sequences of like size ([`folded_keys`]) are multiplied together, as many as a power of two.

    Returns:
        The context `[G, H, D]`, how much each query attends in all `[G, H]`, and the weights of each sequence,
        `[g, H, n]`.
    """
    H, D = queries.shape[1:]
    n, g = np.array(num_tokens), np.array(num_queries)
    first_token, first_query = np.cumsum(n) - n, np.cumsum(g) - g
    contexts, totals, order, weights = [], [], [], [queries.new_zeros(0, H, length) for length in num_tokens]
    for (num, width), members in _alike(np.stack([g, folded_keys(n)], axis=1)):
        size, length = len(members), n[members, None]
        # A sequence's last token stands in for padding.
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


def _alike(sizes: np.ndarray) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Sizes of sequences (`[B, 2]`: queries, padded keys), and which have them: as many as a power of two."""
    for size in np.unique(sizes[sizes[:, 0] > 0], axis=0):
        members = (sizes == size).all(axis=1).nonzero()[0]
        for begin, end in powers_of_two(len(members)):
            yield tuple(size.tolist()), members[begin:end]


def _index(index: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(index.ravel(), device=like.device)


@torch.no_grad()
def local_attention_weights(
    query: torch.Tensor, key: torch.Tensor, packed: PackedSequence, plan: AttentionPlan, half_window: int
) -> torch.Tensor:
    """
    The weights of `local_attention` in Longformer's layout, for `output_attentions`: `[B, H, L, G + 2 * w + 1]`, `G`
    the most global tokens any sequence has. Column `c < G` is the sequence's `c`-th global token, column `G + w + t`
    the token `t` positions on. Zeros in the rows of global tokens, whose weights are those of global attention.
    """
    num_global = max(len(indices) for indices in packed.global_indices)
    heads, n, _ = query.shape
    rows = query.new_zeros(n, heads, num_global + 2 * half_window + 1)
    rank = torch.zeros_like(packed.positions)  # of a global token among those of its sequence
    for indices in packed.global_indices:
        rank[torch.as_tensor(indices, device=rank.device)] = torch.arange(len(indices), device=rank.device)
    for tile in plan.tiles:
        g, m, c = tile.shape
        queries, keys = tile.query_index.view(g, m, 1).expand(g, m, c), tile.key_index.view(g, 1, c).expand(g, m, c)
        seen = ~tile.blocked & tile.real_queries[:, :, None]
        queries, keys = queries[seen], keys[seen]
        offset = packed.positions[keys] - packed.positions[queries] + half_window
        column = torch.where(packed.is_global[keys], rank[keys], offset + num_global)
        weights = _probabilities(tile, tile.queries(query), tile.keys(key)).view(heads, g, m, c)
        rows[queries, :, column] = weights[:, seen].T
    rows[packed.is_global] = 0
    return packed.unpack(rows).transpose(1, 2)


def global_attention_weights(
    weights: list[torch.Tensor], packed: PackedSequence, dtype: torch.dtype
) -> torch.Tensor:
    """The weights of `global_attention` (a `[g, H, n]` a sequence) in Longformer's layout, `[B, H, L, G]`."""
    num_global = max(len(w) for w in weights)
    rows = [nn.functional.pad(w.detach().permute(2, 1, 0).to(dtype), (0, num_global - len(w))) for w in weights]
    return packed.unpack(torch.cat(rows)).transpose(1, 2)
