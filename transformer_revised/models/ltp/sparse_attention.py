"""Window + global attention over a packed batch: context and importance, computed block by block.

A query sees the tokens of its sequence whose original position is at most `w` away, and every global token once. Since
removal only brings neighbours closer together in the packed row, the keys a block of consecutive queries may see are
one contiguous range of it (found by bisection on the positions), plus the global tokens outside that range. Positions
that are too far apart within such a block are masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from .packed_sequence import PackedSequence

QUERY_BLOCK = 128


@dataclass
class Block:
    """
    Queries `[q0, q1)` of the packed row against the keys `far_globals`, then `[k0, k1)`. `half_window` is set where
    some of these pairs are out of reach.
    """

    packed: PackedSequence
    q0: int
    q1: int
    k0: int
    k1: int
    far_globals: torch.Tensor | None
    half_window: int | None

    @cached_property
    def blocked(self) -> torch.Tensor | None:
        """Pairs that are out of reach, `[q1 - q0, columns]` bool; `None` if there are none."""
        if self.half_window is None:
            return None
        positions, near = self.packed.positions, slice(self.k0, self.k1)
        distance = positions[self.q0 : self.q1, None] - positions[None, near]
        blocked = (distance.abs() > self.half_window) & ~self.packed.is_global[None, near]
        return nn.functional.pad(blocked, (self.num_far, 0))

    @property
    def num_far(self) -> int:
        return 0 if self.far_globals is None else len(self.far_globals)

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        """Rows of `x` (`[H, N, d]`) that the block's queries read, `[H, columns, d]`."""
        near = x[:, self.k0 : self.k1]
        return near if self.far_globals is None else torch.cat([x.index_select(1, self.far_globals), near], dim=1)

    def scatter_add(self, total: torch.Tensor, part: torch.Tensor, dim: int) -> None:
        """The reverse of `gather`: adds `part`'s columns along `dim` to `total`, in place."""
        far = self.num_far
        if far:
            total.index_add_(dim, self.far_globals, part.narrow(dim, 0, far))
        total.narrow(dim, self.k0, self.k1 - self.k0).add_(part.narrow(dim, far, self.k1 - self.k0))


@dataclass
class AttentionPlan:
    """The blocks of one set of alive tokens and one window, and the query-key pairs they compute in each sequence."""

    blocks: list[Block]
    pairs: np.ndarray  # [B] int64


def attention_plan(packed: PackedSequence, half_window: int) -> AttentionPlan:
    """Lays out local attention over all alive tokens; kept with `packed`, so that layers alike share it."""
    key = ("plan", half_window)
    if key not in packed.cache:
        blocks, pairs = [], np.zeros(packed.shape[0], dtype=np.int64)
        for b, (start, end) in enumerate(zip(packed.offsets, packed.offsets[1:])):
            for q0 in range(start, end, QUERY_BLOCK):
                blocks.append(_block(packed, b, q0, min(q0 + QUERY_BLOCK, end), half_window))
                pairs[b] += _num_pairs(blocks[-1])
        packed.cache[key] = AttentionPlan(blocks, pairs)
    return packed.cache[key]


def first_token_plan(packed: PackedSequence, half_window: int) -> AttentionPlan:
    """Local attention of each sequence's first token only; none where that is global and so needs none."""
    blocks, pairs = [], np.zeros(packed.shape[0], dtype=np.int64)
    for b, start in enumerate(packed.offsets[:-1]):
        if start not in packed.global_indices[b]:
            blocks.append(_block(packed, b, start, start + 1, half_window))
            pairs[b] = _num_pairs(blocks[-1])
    return AttentionPlan(blocks, pairs)


def _num_pairs(block: Block) -> int:
    return (block.q1 - block.q0) * (block.k1 - block.k0 + block.num_far)


def _block(packed: PackedSequence, b: int, q0: int, q1: int, half_window: int) -> Block:
    start, end = packed.offsets[b], packed.offsets[b + 1]
    positions = packed.host_positions[start:end]
    first, last = packed.host_positions[q0], packed.host_positions[q1 - 1]
    k0 = start + int(np.searchsorted(positions, first - half_window, side="left"))
    k1 = start + int(np.searchsorted(positions, last + half_window, side="right"))
    global_indices = packed.global_indices[b]
    far = global_indices[(global_indices < k0) | (global_indices >= k1)]
    reaches = last - packed.host_positions[k0] <= half_window and packed.host_positions[k1 - 1] - first <= half_window
    far_globals = torch.as_tensor(far, device=packed.positions.device) if len(far) else None
    return Block(packed, q0, q1, k0, k1, far_globals, None if reaches else half_window)


def _probabilities(block: Block, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Attention of a block, `[H, q1 - q0, columns]`, in the dtype of `query`."""
    scores = query[:, block.q0 : block.q1] @ keys.transpose(1, 2)
    if block.blocked is not None:
        scores.masked_fill_(block.blocked, float("-inf"))
    return torch.softmax(scores, dim=-1)


class _BlockAttention(torch.autograd.Function):
    """
    `(query, key, value) -> (context, importance)`. Probabilities are not kept: the backward pass computes each block's
    again, so memory grows with the tokens, not with the pairs.
    """

    @staticmethod
    def forward(ctx, query, key, value, plan, dropout, with_importance, importance_gradient):
        ctx.save_for_backward(query, key, value)
        ctx.importance_gradient = importance_gradient
        ctx.plan, ctx.dropout = plan, dropout
        ctx.seed = int(torch.randint(2**62, ())) if dropout else None
        with torch.autocast(query.device.type, enabled=False):
            return _BlockAttention._forward(ctx, query, key, value, with_importance)

    @staticmethod
    def _forward(ctx, query, key, value, with_importance):
        generator = _seeded(ctx.seed, query.device)
        context = torch.zeros_like(query)
        importance = query.new_zeros(query.shape[1] if with_importance else 0, dtype=_accumulation_dtype(query.dtype))
        for block in ctx.plan.blocks:
            probabilities = _probabilities(block, query, block.gather(key))
            if with_importance:
                block.scatter_add(importance, probabilities.sum((0, 1), dtype=importance.dtype), 0)
            if ctx.dropout:
                probabilities = probabilities * _dropout_mask(probabilities, ctx.dropout, generator)
            torch.matmul(probabilities, block.gather(value), out=context[:, block.q0 : block.q1])
        if not ctx.importance_gradient:
            ctx.mark_non_differentiable(importance)
        return context, importance

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_context, grad_importance):
        with torch.autocast(grad_context.device.type, enabled=False):
            return (*_BlockAttention._backward(ctx, grad_context, grad_importance), None, None, None, None)

    @staticmethod
    def _backward(ctx, grad_context, grad_importance):
        query, key, value = ctx.saved_tensors
        grad_context = grad_context.contiguous()
        generator = _seeded(ctx.seed, query.device)
        grad_query, grad_key, grad_value = (torch.zeros_like(x) for x in (query, key, value))
        for block in ctx.plan.blocks:
            keys = block.gather(key)
            probabilities = _probabilities(block, query, keys)
            grad_out = grad_context[:, block.q0 : block.q1]
            grad_probabilities = grad_out @ block.gather(value).transpose(1, 2)
            dropped = probabilities
            if ctx.dropout:
                mask = _dropout_mask(probabilities, ctx.dropout, generator)
                dropped = probabilities * mask
                grad_probabilities *= mask
            if ctx.importance_gradient:  # each probability counts once in what its key receives
                received = block.gather(grad_importance[None, :, None]).squeeze(2)
                grad_probabilities += received[:, None].to(grad_probabilities.dtype)
            block.scatter_add(grad_value, dropped.transpose(1, 2) @ grad_out, 1)
            grad_scores = torch._softmax_backward_data(grad_probabilities, probabilities, -1, probabilities.dtype)
            grad_query[:, block.q0 : block.q1] = grad_scores @ keys
            block.scatter_add(grad_key, grad_scores.transpose(1, 2) @ query[:, block.q0 : block.q1], 1)
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
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """
    Attention of every token to its window and to the global tokens (Longformer, Beltagy et al. 2020, section 3.1).

    Args:
        query: `[H, N, d]`, already divided by `sqrt(d)`; `key` and `value` alike. One dtype.
        plan: the blocks to compute; rows of queries that no block holds get a context of zeros.
        dropout: probability of dropping an attention weight.
        with_importance: whether to sum what each token receives (before dropout).
        importance_gradient: whether that is differentiable in `query` and `key`.

    Returns:
        The context `[H, N, d]`, and the importance `[N]` (float32; float64 for float64 input) summed over heads and
        queries, or `None`.
    """
    context, importance = _BlockAttention.apply(
        query, key, value, plan, dropout, with_importance, importance_gradient
    )
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
    fold = folds(np.array(num_tokens), np.array(num_queries), H, D)
    if fold:  # every head of a query becomes a query of its own, as wide as the hidden states
        query = torch.einsum("ghd,hde->ghe", query, key.weight.view(H, d, D)).reshape(G * H, 1, D)
        keys = values = hidden_states[:, None]
    else:
        keys, values = key(hidden_states).view(-1, H, d), value(hidden_states).view(-1, H, d)
    weights, contexts, totals = [], [], []
    queries = query.split([n * H for n in num_queries] if fold else num_queries)
    for g, q, k, v in zip(num_queries, queries, keys.split(num_tokens), values.split(num_tokens)):
        attention = torch.softmax(torch.einsum("ghd,nhd->ghn", q, k), dim=-1)
        dropped = nn.functional.dropout(attention, dropout) if dropout else attention
        contexts.append(torch.einsum("ghn,nhd->ghd", dropped, v))
        totals.append(dropped.sum(-1))
        weights.append(attention.view(g, H, len(k)))
    context = torch.cat(contexts)
    if fold:
        context = torch.einsum("ghe,hde->ghd", context.view(G, H, D), value.weight.view(H, d, D))
        context = context + torch.cat(totals).view(G, H, 1) * value.bias.view(H, d)
    return context.reshape(G, D), weights


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
    for block in plan.blocks:
        index = torch.arange(block.k0, block.k1, device=rank.device)
        if block.far_globals is not None:
            index = torch.cat([block.far_globals, index])
        offset = packed.positions[None, index] - packed.positions[block.q0 : block.q1, None] + half_window
        column = torch.where(packed.is_global[index], rank[index], offset + num_global)
        seen = torch.ones_like(column, dtype=torch.bool) if block.blocked is None else ~block.blocked
        at, source = seen.nonzero(as_tuple=True)
        weights = _probabilities(block, query, block.gather(key)).permute(1, 2, 0)
        rows[block.q0 + at, :, column[at, source]] = weights[at, source]
    rows[packed.is_global] = 0
    return packed.unpack(rows).transpose(1, 2)


def global_attention_weights(
    weights: list[torch.Tensor], packed: PackedSequence, dtype: torch.dtype
) -> torch.Tensor:
    """The weights of `global_attention` (a `[g, H, n]` a sequence) in Longformer's layout, `[B, H, L, G]`."""
    num_global = max(len(w) for w in weights)
    rows = [nn.functional.pad(w.detach().permute(2, 1, 0).to(dtype), (0, num_global - len(w))) for w in weights]
    return packed.unpack(torch.cat(rows)).transpose(1, 2)
