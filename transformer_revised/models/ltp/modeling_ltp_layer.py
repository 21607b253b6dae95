"""One layer of the model: Longformer's attention over packed tokens, pruning, and the feed-forward part.

The blocks that pruning does not change are the library's Longformer blocks. They run on packed tokens `[N, D]` instead
of a padded batch `[B, L, D]`. Their parameters have the published names, so Longformer checkpoints load unchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

from .attention_banded import BandedPlan
from .attention_dispatch import choose_implementation, local_attention, local_attention_plan
from .attention_global import (
    global_attention,
    global_attention_weights,
    holds_plain_weights,
    padded_global_attention,
    padded_states,
    suits_padding,
)
from .attention_tile_plan import first_token_plan
from .attention_tiles import tiled_attention_weights
from .configuration_ltp import LTPConfig
from .cpu_products import (
    LTPIntermediate,
    LTPOutput,
    LTPSelfOutput,
    after_attention,
    linear,
    projected_heads,
)
from .device_policy import reading_back_stalls, run_uncompiled
from .packed_sequence import PackedSequence
from .prune_modules import INACTIVE_THRESHOLD, PRUNERS, TokenPruner
from .workspace import Workspace


@dataclass
class ForwardOptions:
    """What one forward pass computes; the same for all layers."""

    soft: bool = False  # multiply tokens by soft masks (in training) instead of removing them
    temperature: float = 1e-5  # width of the soft mask
    # whether scores are differentiable in training. Masks treat them as constants.
    importance_gradient: bool = False
    only_first_token: bool = False  # whether the caller reads only the last state of each sequence's first token
    output_hidden_states: bool = False
    output_attentions: bool = False
    output_pruning: bool = False
    # layer -> the threshold of its scores, for layers whose threshold was read from a GPU; 0 if it removes nothing
    cuts: dict[int, float] = field(default_factory=dict)
    workspace: Workspace = field(default_factory=Workspace)  # buffers that the layers share

    @property
    def reads_every_state(self) -> bool:
        """Whether the states of all tokens after the last layer, or its attention, are returned."""
        return self.output_hidden_states or self.output_attentions or not self.only_first_token


@dataclass
class LayerTrace:
    """What a layer did: `entered` are the tokens alive in its attention, `kept` those in its feed-forward part."""

    entered: PackedSequence
    kept: PackedSequence
    attention_pairs: torch.Tensor  # [B]
    global_lengths: torch.Tensor  # [B]
    attentions: torch.Tensor | None = None
    global_attentions: torch.Tensor | None = None
    # the tokens whose states the layer returns, if these are not all that it kept: the last layer of soft training
    returned: PackedSequence | None = None
    scores: torch.Tensor | None = None  # [N]
    soft_mask: torch.Tensor | None = None  # [N]
    # flat index and last state of each token removed; not on a GPU if only first tokens are read and these stay
    removed: tuple[torch.Tensor, torch.Tensor] | None = None


class LTPLayer(GradientCheckpointingLayer):
    """A Longformer layer that prunes tokens between its attention and its feed-forward part."""

    def __init__(self, config: LTPConfig, layer_id: int):
        super().__init__()
        self.layer_id, self.is_last = layer_id, layer_id == config.num_hidden_layers - 1
        self.num_heads, self.masks_global_tokens = config.num_attention_heads, config.mask_global_tokens
        self.attention = LTPAttention(config, layer_id)
        self.intermediate = LTPIntermediate(config)
        self.output = LTPOutput(config)

    @property
    def pruner(self) -> TokenPruner | None:
        return self.attention.self.pruner

    def forward(
        self, hidden_states: torch.Tensor, packed: PackedSequence, options: ForwardOptions
    ) -> tuple[torch.Tensor, LayerTrace]:
        """
        Args:
            hidden_states: `[N, D]`, states of the `N` alive tokens.
            packed: where these tokens come from.

        Returns `[M, D]`, states of the `M` tokens kept, and what the layer did.
        """
        is_active = self._is_active(options)
        only_first_token = self._only_first_token(packed, options, is_active)
        prunes = is_active and (options.soft or not only_first_token)  # soft masks need all scores

        # Attention: context [N, H, d], or [B, H, d] of the first tokens; importance [N]
        context, importance, trace = self.attention(hidden_states, packed, options, prunes, only_first_token)

        # Pruning
        kept = None  # packed indices of the tokens kept, [M]; None: all
        if only_first_token:
            hidden_states = hidden_states.index_select(0, packed.first_index)
            trace.returned = packed.first_tokens()
            trace.kept = packed if prunes else trace.returned
        if prunes:
            reads_scores = options.soft or options.output_pruning
            on_host = self.layer_id in options.cuts and not reads_scores and self.pruner.has_host_mask
            if not on_host:
                trace.scores = self.pruner.scores(importance, packed, self.num_heads)  # [N]
            if options.soft:
                trace.soft_mask = self.pruner.soft_mask(trace.scores.detach(), options.temperature)  # [N], 0 to 1
                if not self.masks_global_tokens:
                    trace.soft_mask = trace.soft_mask.masked_fill(packed.is_global, 1.0)
            else:
                kept = self._remove(hidden_states, importance if on_host else None, trace, options)

        # Feed-forward part: [M, D]
        hidden_states = self.feed_forward(context, hidden_states, kept, options.workspace)
        if trace.soft_mask is not None:
            mask = trace.soft_mask[packed.first_index] if only_first_token else trace.soft_mask
            hidden_states = hidden_states * mask.to(hidden_states.dtype)[:, None]
        return hidden_states, trace

    def feed_forward(
        self,
        context: torch.Tensor,
        hidden_states: torch.Tensor,
        kept: torch.Tensor | None,
        workspace: Workspace | None = None,
    ) -> torch.Tensor:
        """The layer's output from the context `[N, H, d]` and its input `[N, D]`, for the tokens kept: `[M, D]`."""
        blocks = self.attention.output, self.intermediate, self.output
        return after_attention(*blocks, context, hidden_states, kept, workspace)

    def _is_active(self, options: ForwardOptions) -> bool:
        """Whether the layer can remove tokens."""
        if self.layer_id in options.cuts:
            return options.cuts[self.layer_id] != INACTIVE_THRESHOLD
        return self.pruner is not None and self.pruner.is_active

    def _only_first_token(self, packed: PackedSequence, options: ForwardOptions, is_active: bool) -> bool:
        """Whether it is enough to compute the output of each sequence's first token."""
        if not self.is_last or options.reads_every_state or not packed.has_all_first_tokens:
            return False
        if is_active and options.soft:  # with one global token, the details that are returned are also the same
            return packed.has_global_first_tokens and bool((packed.num_global == 1).all())
        # A first token that is not global may be removed by this layer.
        return not options.output_pruning and (not is_active or packed.has_global_first_tokens)

    @run_uncompiled
    def _remove(
        self,
        hidden_states: torch.Tensor,
        importance: torch.Tensor | None,
        trace: LayerTrace,
        options: ForwardOptions,
    ) -> torch.Tensor | None:
        """Removes tokens and stores their last states in `trace`. Returns the indices of those kept; None: all.

        `importance`: `[N]`, if the host is to decide. It reads the importance of a GPU instead of a mask.
        """
        entered = trace.entered
        if importance is not None:
            read = importance.detach().cpu().numpy()
            mask = self.pruner.host_mask(read, entered, self.num_heads, options.cuts[self.layer_id])
            trace.kept, kept, removed = entered.keep_on_host(mask)
        else:
            mask = self.pruner.hard_mask(trace.scores, entered)  # [N] bool
            trace.kept, kept, removed = entered.keep(mask)
        if not len(removed):
            return None
        first_tokens_stay = options.only_first_token and entered.host_lengths.first_is_global
        if not (first_tokens_stay and reading_back_stalls(hidden_states.device)):
            trace.removed = entered.flat_index[removed], hidden_states.index_select(0, removed)
        return kept


class LTPAttention(nn.Module):
    """The attention of a layer and its output projection, `output`; named as in Longformer."""

    def __init__(self, config: LTPConfig, layer_id: int):
        super().__init__()
        self.self = LTPSelfAttention(config, layer_id)
        self.output = LTPSelfOutput(config)

    def forward(self, *args) -> tuple[torch.Tensor, torch.Tensor | None, LayerTrace]:
        """See [`LTPSelfAttention.forward`]."""
        return self.self(*args)


class LTPSelfAttention(LongformerSelfAttention):
    """Longformer's attention over packed tokens. It holds the layer's pruner, under the published parameter name."""

    def __init__(self, config: LTPConfig, layer_id: int):
        super().__init__(config, layer_id)
        self.pruner = None if config.prune_mode is None else PRUNERS[config.prune_mode](config, layer_id)

    @run_uncompiled
    def forward(
        self,
        hidden_states: torch.Tensor,
        packed: PackedSequence,
        options: ForwardOptions,
        with_importance: bool,
        only_first_token: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None, LayerTrace]:
        """
        Args:
            hidden_states: `[N, D]`.
            with_importance: whether to compute the attention that each token receives.
            only_first_token: compute the context of each sequence's first token only.

        Returns:
            The context `[N, H, d]` (`[B, H, d]` with `only_first_token`), the importance (`[N]` float32, without it
            `None`), and a trace without pruning.
        """
        hidden_states = _cast_for_autocast(hidden_states)
        context, importance, pairs, attentions = self._local_attention(
            hidden_states, packed, options, with_importance, only_first_token
        )
        global_index, global_context, global_lengths, global_attentions = self._global_attention(
            hidden_states, packed, options, only_first_token
        )
        if len(global_index):
            index = packed.sequence_of[global_index] if only_first_token else global_index
            replace = context.index_copy if torch.is_grad_enabled() else context.index_copy_
            context = replace(0, index, global_context.to(context.dtype).unflatten(1, context.shape[1:]))
        return context, importance, LayerTrace(packed, packed, pairs, global_lengths, attentions, global_attentions)

    def _local_attention(self, hidden_states, packed, options, with_importance, only_first_token):
        """Context, importance, the pairs computed for each sequence `[B]`, and the weights if they are returned."""
        if not len(packed) or (only_first_token and packed.has_global_first_tokens):
            num_rows = packed.shape[0] if only_first_token else len(packed)
            context = hidden_states.new_zeros(num_rows, self.num_heads, self.head_dim)
            if not with_importance or not len(packed):
                return context, hidden_states.new_zeros(num_rows), torch.zeros_like(packed.length_tensor), None
            return context, *self._importance(hidden_states, packed, options), None
        w, dropout = self.one_sided_attn_window_size, self.dropout if self.training else 0.0
        settings = {"dropout": dropout, "importance_gradient": options.importance_gradient and with_importance}
        implementation = choose_implementation(
            self.config._attn_implementation, hidden_states.device, options.output_attentions
        )
        plan = first_token_plan(packed, w) if only_first_token else local_attention_plan(implementation, packed, w)
        layers = self.query, self.key, self.value
        query, key, value, scale = self._heads(layers, hidden_states, plan, options)
        overwrite = not torch.is_grad_enabled() and not options.output_attentions
        settings |= {"scale": scale, "overwrite_query": overwrite, "workspace": options.workspace}
        context, importance = local_attention(query, key, value, plan, with_importance=with_importance, **settings)
        attentions = tiled_attention_weights(query, key, packed, plan, w) if options.output_attentions else None
        context = context.transpose(0, 1)
        pairs = plan.pairs if isinstance(plan.pairs, torch.Tensor) else packed.to_device(plan.pairs)
        return context[packed.first_index] if only_first_token else context, importance, pairs, attentions

    def _heads(self, layers, hidden_states, plan, options) -> tuple:
        """The projections `[H, N, d]` of the query, which a `TilePlan` needs scaled, and of others; then the scale
        that is left for the scores. A GPU scales them within their product.
        """
        scale = self.head_dim**-0.5
        of_query, of_scores = (1.0, scale) if isinstance(plan, BandedPlan) else (scale, 1.0)
        return *projected_heads(layers, hidden_states, self.num_heads, of_query, options.workspace), of_scores

    def _importance(self, hidden_states, packed, options) -> tuple[torch.Tensor, torch.Tensor]:
        """The importance `[N]` alone, and the pairs computed for each sequence `[B]`."""
        implementation = choose_implementation(self.config._attn_implementation, hidden_states.device, False)
        plan = local_attention_plan(implementation, packed, self.one_sided_attn_window_size)
        with torch.set_grad_enabled(torch.is_grad_enabled() and options.importance_gradient):
            query, key, scale = self._heads((self.query, self.key), hidden_states, plan, options)
            _, importance = local_attention(
                query, key, key, plan, scale=scale, with_importance=True,
                importance_gradient=options.importance_gradient, workspace=options.workspace,
            )  # fmt: skip
        return importance, plan.pairs if isinstance(plan.pairs, torch.Tensor) else packed.to_device(plan.pairs)

    def _global_attention(self, hidden_states, packed, options, only_first_token):
        """The packed indices of the global tokens `[G]`, their context `[G, D]`, their number in each sequence `[B]`,
        and the weights in Longformer's layout if they are returned.
        """
        pads = (
            suits_padding(packed, self.num_heads, self.embed_dim, only_first_token) and not options.output_attentions
        )
        if pads and holds_plain_weights(self.key_global, self.value_global):
            index, states = packed.first_index, padded_states(hidden_states, packed)  # [B, W, D]
            context = padded_global_attention(
                linear(self.query_global, states[:, 0]).view(-1, self.num_heads, self.head_dim),
                states,
                packed,
                self.key_global,
                self.value_global,
                self.dropout if self.training else 0.0,
                self.head_dim**-0.5,
            )
            return index, context, packed.ones, None
        global_rows = packed.global_indices
        if only_first_token:
            global_rows = [indices[indices == first] for indices, first in zip(global_rows, packed.offsets)]
        lengths = torch.tensor([len(indices) for indices in global_rows], device=hidden_states.device)
        index, context, weights = self.attend_globally(hidden_states, packed, global_rows, options.output_attentions)
        attentions = None
        if options.output_attentions and len(index):
            attentions = global_attention_weights(weights, packed, hidden_states.dtype)
        return index, context, lengths, attentions

    def attend_globally(
        self,
        hidden_states: torch.Tensor,
        packed: PackedSequence,
        global_rows: list[np.ndarray],
        with_weights: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """Attention of some global tokens to all alive tokens of their sequence.

        Args:
            global_rows: for each sequence the packed indices of its global tokens; `G` in all.
            with_weights: whether to return the weights.

        Returns:
            These indices `[G]`, the context `[G, D]`, and for each sequence the weights, `[g, H, n]` (none if `G` is
            0, or without `with_weights`).
        """
        index = torch.as_tensor(np.concatenate(global_rows), device=hidden_states.device)
        if not len(index):
            return index, hidden_states[index], []
        context, weights = global_attention(
            self._global_query(hidden_states, index),
            hidden_states,
            [len(indices) for indices in global_rows],
            packed.lengths.tolist(),
            self.key_global,
            self.value_global,
            self.dropout if self.training else 0.0,
            with_weights,
        )
        return index, context, weights

    def _global_query(self, hidden_states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """The global queries of the tokens at `index`, `[G, H, d]`, divided by `sqrt(d)`."""
        query = linear(self.query_global, hidden_states.index_select(0, index)) / math.sqrt(self.head_dim)
        return query.view(-1, self.num_heads, self.head_dim)


def _cast_for_autocast(x: torch.Tensor) -> torch.Tensor:
    """Under autocast, casts `x` once; otherwise each projection of the layer would cast it again."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x
