"""Local attention on a CPU (`attn_implementation="eager"`): context and importance, computed tile by tile.

A token attends to the tokens of its sequence whose original position is at most half a window away, and to every
global token. A tile is a dense product of a few queries with a few keys; `attention_tile_plan.py` cuts a batch into
tiles.

Shapes: the packed tensors are `[H, N, d]`, for `H` heads and the `N` alive tokens of all sequences. A tile of `G`
blocks, each of `m` queries and `c` keys, gathers them as `[H * G, m, d]` and `[H * G, c, d]`; the last queries or
keys of a block may be padding. Example: with `H` = 12 and `d` = 64, the scores of a tile of 4 blocks of 128 queries
and 256 keys are `[48, 128, 64] @ [48, 64, 256]`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from .dropout_masks import Dropout, draw_seed
from .packed_sequence import PackedSequence
from .workspace import Workspace

# Blocks of a tile that are computed one after the other where that is faster than a gather of all their rows
FEW_BLOCKS = 2


@dataclass
class Block:
    """The queries `[q0, q1)` of the packed row, and the keys they may see: `far`, then `[k0, k1)`."""

    q0: int
    q1: int
    k0: int
    k1: int
    far: np.ndarray  # packed indices of the global tokens outside [k0, k1)
    all_in_reach: bool  # whether every query sees every key

    @property
    def num_keys(self) -> int:
        return len(self.far) + self.k1 - self.k0


class Tile:
    """Blocks of one padded size, which are multiplied together.

    Args:
        blocks: `G` blocks.
        size: `m` queries and `c` keys of each block, padding included.
        positions: `[N]` float32, original position of each token.
        reach: `[N]` float32, how far from a token a query may be to see it as a key; infinite for global tokens.
    """

    def __init__(self, blocks: list[Block], size: tuple[int, int], positions: torch.Tensor, reach: torch.Tensor):
        self.blocks = blocks
        self.shape = len(blocks), *size
        # Whether some query of a block must not see some key of it that is not padding
        self.is_banded = not all(block.all_in_reach for block in blocks)
        self._positions, self._reach = positions, reach
        device = positions.device
        query_index, is_real = self._lay_out_queries()
        self.query_index = torch.as_tensor(query_index, device=device)  # [G * m], packed index
        self.is_real_query = torch.as_tensor(is_real, device=device).view(self.shape[:2])
        # Where the real queries are in the tile, and their packed indices.
        self.places = None if is_real.all() else torch.as_tensor(is_real.nonzero()[0], device=device)
        self.tokens = self.query_index if self.places is None else self.query_index[self.places]
        key_index, is_padding = self._lay_out_keys()
        self.key_index = torch.as_tensor(key_index, device=device)  # [G * c], packed index
        self._key_padding = torch.as_tensor(is_padding, device=device) if is_padding.any() else None
        self._biases: dict[torch.dtype, torch.Tensor] = {}

    def _lay_out_queries(self) -> tuple[np.ndarray, np.ndarray]:
        begin = np.array([[block.q0] for block in self.blocks])
        length = np.array([[block.q1 - block.q0] for block in self.blocks])
        place = np.arange(self.shape[1])
        is_real = place < length  # padding repeats the block's last query
        return (begin + np.minimum(place, length - 1)).ravel(), is_real.ravel()

    def _lay_out_keys(self) -> tuple[np.ndarray, np.ndarray]:
        index = np.empty((self.shape[0], self.shape[2]), dtype=np.int64)
        is_padding = np.zeros(index.shape, dtype=bool)
        for row, pad, block in zip(index, is_padding, self.blocks):
            far, keys = len(block.far), block.num_keys
            row[:far] = block.far
            row[far:keys] = np.arange(block.k0, block.k1)
            row[keys:] = block.k0  # padding repeats the first key of the range
            pad[keys:] = True
        return index.ravel(), is_padding

    def queries(self, x: torch.Tensor, workspace: Workspace | None = None) -> torch.Tensor:
        """The rows of `x` (`[H, N, d]`) for the queries, `[H * G, m, d]`."""
        return self._rows(x, self.query_index, self.shape[1], workspace, "queries")

    def query_gradients(self, x: torch.Tensor) -> torch.Tensor:
        """As `queries`, with zeros for padding."""
        queries = self.queries(x)
        if self.places is not None:
            queries.view(-1, *self.shape[:2], x.shape[2]).mul_(self.is_real_query[:, :, None])
        return queries

    def keys(self, x: torch.Tensor, workspace: Workspace | None = None, name: str = "keys") -> torch.Tensor:
        """The rows of `x` (`[H, N, d]`) for the keys, `[H * G, c, d]`."""
        return self._rows(x, self.key_index, self.shape[2], workspace, name)

    def _rows(self, x, index, size: int, workspace: Workspace | None, name: str) -> torch.Tensor:
        if workspace is None:
            return x.index_select(1, index).view(-1, size, x.shape[2])
        rows = workspace.take(name, (x.shape[0], len(index), x.shape[2]), x)
        return torch.index_select(x, 1, index, out=rows).view(-1, size, x.shape[2])

    def write_product(
        self, target: torch.Tensor, a: torch.Tensor, b: torch.Tensor, workspace: Workspace | None = None
    ) -> None:
        """Writes `a @ b` (`[H * G, m, d]`) to the rows of the queries in `target`, `[H, N, d]`."""
        if workspace is None:
            product = a @ b
        else:
            product = torch.bmm(a, b, out=workspace.take("product", (*a.shape[:2], b.shape[2]), a))
        values = product.view(target.shape[0], self.shape[0], self.shape[1], target.shape[2])
        if len(self.blocks) <= FEW_BLOCKS:  # slices: `index_copy_` copies row by row
            for g, block in enumerate(self.blocks):
                target[:, block.q0 : block.q1] = values[:, g, : block.q1 - block.q0]
            return
        values = values.flatten(1, 2)
        target.index_copy_(1, self.tokens, values if self.places is None else values.index_select(1, self.places))

    def add_to_keys(self, target: torch.Tensor, values: torch.Tensor) -> None:
        """Adds `values` (`[H * G, c, d]`) to the rows of the keys in `target`, `[H, N, d]`."""
        values = values.view(target.shape[0], self.shape[0], self.shape[2], target.shape[2])
        for g, block in enumerate(self.blocks):  # slices: `index_add_` adds row by row
            far = len(block.far)
            target[:, block.k0 : block.k1] += values[:, g, far : block.num_keys]
            if far:
                target.index_add_(1, self.key_index.view(self.shape[0], -1)[g, :far], values[:, g, :far])

    def add_received(self, importance: torch.Tensor, probabilities: torch.Tensor) -> None:
        """Adds the attention that each key receives (`probabilities`, `[H * G, m, c]`) to `importance`, `[N]`."""
        dtype = importance.dtype
        if len(self.blocks) == 1:  # attention of padded queries does not count
            received = probabilities[:, : self.blocks[0].q1 - self.blocks[0].q0].sum((0, 1), dtype=dtype)
        else:
            received = self._by_block(probabilities).sum(0, dtype=dtype)
            if self.places is not None:
                received.mul_(self.is_real_query[:, :, None])
            received = received.sum(1)
        importance.index_add_(0, self.key_index, received.flatten())

    def add_received_gradient(self, grad_probabilities: torch.Tensor, grad_importance: torch.Tensor) -> None:
        """The backward pass of `add_received`: adds the importance's gradient to `grad_probabilities`, in place."""
        received = grad_importance[self.key_index].to(grad_probabilities.dtype).view(self.shape[0], 1, self.shape[2])
        self._by_block(grad_probabilities).add_(received * self.is_real_query[:, :, None])

    def probabilities(
        self, queries: torch.Tensor, keys: torch.Tensor, workspace: Workspace | None = None
    ) -> torch.Tensor:
        """Attention weights `softmax(queries @ keys^T)`, `[H * G, m, c]`, in the dtype of `queries`."""
        scores = self._scores(queries, keys.transpose(1, 2), workspace or Workspace())
        # In place: new memory has to be mapped by the system, which takes as long as the softmax itself.
        return torch.softmax(scores, dim=-1, out=scores)

    def _scores(self, queries: torch.Tensor, keys: torch.Tensor, workspace: Workspace) -> torch.Tensor:
        """`queries @ keys`, with the lowest finite number where a query must not see a key."""
        g, m, c = self.shape
        scores = workspace.take("scores", (len(queries), m, c), queries)
        by_block = self._by_block(scores)
        if self.is_banded or (self._key_padding is not None and g > FEW_BLOCKS):
            # The product is added to a copy of the mask as it is computed. `masked_fill_` with a broadcast mask would
            # take several times as long as the product, and adding the mask afterwards a third as long.
            by_block.copy_(self._bias(queries.dtype))
            return torch.baddbmm(scores, queries, keys, out=scores)
        torch.bmm(queries, keys, out=scores)
        for i, block in enumerate(self.blocks):
            if block.num_keys < c:
                by_block[:, i, :, block.num_keys :] = torch.finfo(scores.dtype).min
        return scores

    def _bias(self, dtype: torch.dtype) -> torch.Tensor:
        """The mask that is added to the scores, `[G, m, c]`: 0, or the lowest finite number where `blocked`."""
        if dtype not in self._biases:
            lowest = torch.tensor(torch.finfo(dtype).min, dtype=dtype, device=self.query_index.device)
            self._biases[dtype] = torch.where(self.blocked, lowest, lowest * 0)
        return self._biases[dtype]

    @property
    def blocked(self) -> torch.Tensor:
        """Pairs of which the query must not see the key, `[G, m, c]` bool."""
        queries = self._positions[self.query_index].view(self.shape[0], -1, 1)
        keys = self._positions[self.key_index].view(self.shape[0], 1, -1)
        reach = self._reach[self.key_index].view(self.shape[0], 1, -1)
        if self._key_padding is not None:
            reach = reach.masked_fill(self._key_padding[:, None], -1)  # every distance exceeds it
        return (queries - keys).abs_() > reach

    def _by_block(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(-1, *self.shape[:2], x.shape[2])


@dataclass
class TilePlan:
    """The tiles that compute local attention for one set of alive tokens and one window."""

    pairs: np.ndarray  # `[B]` int64, query-key pairs computed for each sequence, padding included
    tiles: list[Tile] = field(default_factory=list)  # a token is a query of at most one of them
    is_complete: bool = True  # whether every token is a query of one of them


def tiled_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: TilePlan,
    *,
    dropout: float = 0.0,
    with_importance: bool = False,
    importance_gradient: bool = False,
    overwrite_query: bool = False,
    workspace: Workspace | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Local attention by tiles (Longformer, Beltagy et al. 2020, section 3.1).

    Args:
        query: `[H, N, d]`, already divided by `sqrt(d)`. `key` and `value` have the same shape and dtype.
        plan: the tiles to compute. Tokens that are not a query of any tile get a context of zeros.
        dropout: probability of dropping an attention weight.
        with_importance: whether to sum the attention that each token receives (before dropout).
        importance_gradient: whether the importance is differentiable in `query` and `key`.
        overwrite_query: whether the context may be written into `query`. Ignored if gradients are enabled.
        workspace: memory for one tile, if gradients are not enabled.

    Returns:
        The context `[H, N, d]`, and the importance `[N]` (float32; float64 for float64 input) summed over heads and
        queries, or `None`.
    """
    if torch.is_grad_enabled():
        context, importance = _TiledAttention.apply(
            query, key, value, plan, dropout, with_importance, importance_gradient
        )
        return context, importance if with_importance else None
    # A tile reads its queries before it writes their context, and no other tile reads them.
    context = query if overwrite_query and plan.is_complete else _empty_context(query, plan)
    with torch.autocast(query.device.type, enabled=False):
        importance = _attend(query, key, value, plan, dropout, draw_seed(dropout), with_importance, context, workspace)
    return context, importance if with_importance else None


class _TiledAttention(torch.autograd.Function):
    """`(query, key, value) -> (context, importance)`. The backward pass computes the probabilities of each tile again
    instead of keeping them, so that memory grows with the number of tokens and not of pairs.
    """

    @staticmethod
    def forward(ctx, query, key, value, plan, dropout, with_importance, importance_gradient):
        ctx.save_for_backward(query, key, value)
        ctx.importance_gradient = importance_gradient
        ctx.plan, ctx.dropout, ctx.seed = plan, dropout, draw_seed(dropout)
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
        drops = Dropout(ctx.dropout, ctx.seed, query.device) if ctx.dropout else None
        if drops is not None:
            value = value * drops.scale
        grad_query, grad_key, grad_value = (torch.zeros_like(x) for x in (query, key, value))
        for tile in ctx.plan.tiles:
            queries, keys = tile.queries(query), tile.keys(key)
            probabilities = tile.probabilities(queries, keys)
            grad_out = tile.query_gradients(grad_context)
            grad_probabilities = grad_out @ tile.keys(value).transpose(1, 2)
            dropped = probabilities
            if drops is not None:
                dropped = probabilities.clone()
                drops.drop_(dropped, grad_probabilities)
            if ctx.importance_gradient:  # the importance of a key is the plain sum of its probabilities
                tile.add_received_gradient(grad_probabilities, grad_importance)
            tile.add_to_keys(grad_value, dropped.transpose(1, 2) @ grad_out)
            grad_scores = torch._softmax_backward_data(grad_probabilities, probabilities, -1, probabilities.dtype)
            tile.write_product(grad_query, grad_scores, keys)
            tile.add_to_keys(grad_key, grad_scores.transpose(1, 2) @ queries)
        if drops is not None:
            grad_value *= drops.scale
        return grad_query, grad_key, grad_value


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: TilePlan,
    dropout: float,
    seed: int | None,
    with_importance: bool,
    context: torch.Tensor,
    workspace: Workspace | None = None,
) -> torch.Tensor:
    """Writes the context into `context` and returns the importance, an empty tensor without `with_importance`."""
    space = workspace or Workspace()
    drops = Dropout(dropout, seed, query.device) if dropout else None
    if drops is not None:
        value = value * drops.scale
    dtype = torch.promote_types(query.dtype, torch.float32)
    importance = query.new_zeros(query.shape[1] if with_importance else 0, dtype=dtype)
    for tile in plan.tiles:
        probabilities = tile.probabilities(tile.queries(query, space), tile.keys(key, space), space)
        if with_importance:
            tile.add_received(importance, probabilities)
        if drops is not None:
            drops.drop_(probabilities)
        tile.write_product(context, probabilities, tile.keys(value, space, "values"), space)
    return importance


def _empty_context(query: torch.Tensor, plan: TilePlan) -> torch.Tensor:
    return torch.empty_like(query) if plan.is_complete else torch.zeros_like(query)


@torch.no_grad()
def tiled_attention_weights(
    query: torch.Tensor, key: torch.Tensor, packed: PackedSequence, plan: TilePlan, half_window: int
) -> torch.Tensor:
    """The weights of `tiled_attention` in Longformer's layout, for `output_attentions`.

    Returns:
        `[B, H, L, G + 2 * w + 1]`, where `G` is the largest number of global tokens in a sequence and `w` is
        `half_window`. Column `c < G` is the `c`-th global token of the sequence; column `G + w + t` is the token at
        the distance `t`. The rows of global tokens are zeros: their weights are those of global attention.
    """
    num_global = max(len(indices) for indices in packed.global_indices)
    heads, n, _ = query.shape
    rows = query.new_zeros(n, heads, num_global + 2 * half_window + 1)
    rank = torch.zeros_like(packed.positions)  # rank of each global token in its sequence
    for indices in packed.global_indices:
        rank[torch.as_tensor(indices, device=rank.device)] = torch.arange(len(indices), device=rank.device)
    for tile in plan.tiles:
        g, m, c = tile.shape
        queries, keys = tile.query_index.view(g, m, 1).expand(g, m, c), tile.key_index.view(g, 1, c).expand(g, m, c)
        seen = ~tile.blocked & tile.is_real_query[:, :, None]
        queries, keys = queries[seen], keys[seen]
        offset = packed.positions[keys] - packed.positions[queries] + half_window
        column = torch.where(packed.is_global[keys], rank[keys], offset + num_global)
        weights = tile.probabilities(tile.queries(query), tile.keys(key)).view(heads, g, m, c)
        rows[queries, :, column] = weights[:, seen].T
    rows[packed.is_global] = 0
    return packed.unpack(rows).transpose(1, 2)
