"""Longformer with Learned Token Pruning: layers and model.

The blocks that pruning does not touch (embeddings, projections, feed-forward part) are the library's Longformer
blocks, run on packed tokens `[N, hidden_size]` instead of a padded batch. Their parameters have the published
names, so Longformer checkpoints load as they are.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.longformer.modeling_longformer import (
    LongformerEmbeddings,
    LongformerPooler,
    LongformerPreTrainedModel,
    LongformerSelfAttention,
    create_position_ids_from_input_ids,
)

from .attention_dispatch import IMPLEMENTATIONS, choose_implementation, local_attention, local_attention_plan
from .attention_global import (
    global_attention,
    global_attention_weights,
    padded_global_attention,
    suits_padding,
)
from .attention_tile_plan import first_token_plan
from .attention_tiles import tiled_attention_weights
from .configuration_ltp import LTPConfig
from .cpu_products import (
    LTPIntermediate,
    LTPOutput,
    LTPSelfOutput,
    Workspace,
    after_attention,
    prepack,
    projected_heads,
)
from .ltp_model_output import LTPBaseModelOutputWithPooling
from .packed_sequence import PackedSequence, uncompiled
from .prune_modules import PRUNERS, AbsoluteThresholdPruner, TokenPruner, normalize_importance, which_prune


@dataclass
class Request:
    """What one forward pass is asked for."""

    soft: bool = False
    temperature: float = 1e-5
    importance_gradient: bool = False
    first_token_only: bool = False
    output_hidden_states: bool = False
    output_attentions: bool = False
    output_pruning: bool = False
    workspace: Workspace = field(default_factory=Workspace)

    @property
    def first_token_suffices(self) -> bool:
        return self.first_token_only and not (
            self.output_hidden_states or self.output_attentions or self.output_pruning
        )


@dataclass
class LayerTrace:
    """What a layer did: `entered` and `left_alive` are the packed tokens before its attention and after pruning."""

    entered: PackedSequence
    left_alive: PackedSequence
    attention_pairs: torch.Tensor  # [B]
    global_lengths: torch.Tensor  # [B]
    scores: torch.Tensor | None = None  # [N entered]
    soft_mask: torch.Tensor | None = None  # [N entered]
    removed: tuple[torch.Tensor, torch.Tensor] | None = None  # flat index [M] and last state [M, D]
    attentions: torch.Tensor | None = None
    global_attentions: torch.Tensor | None = None


class LTPSelfAttention(LongformerSelfAttention):
    """Longformer's projections, over packed tokens, with the layer's pruner."""

    def __init__(self, config: LTPConfig, layer_id: int):
        super().__init__(config, layer_id)
        self.pruner = None if config.prune_mode is None else PRUNERS[config.prune_mode](config, layer_id)

    @uncompiled
    def forward(
        self, hidden_states: torch.Tensor, packed: PackedSequence, request: Request, with_importance: bool, first: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, LayerTrace]:
        """
        Args:
            hidden_states: `[N, D]`.
            with_importance: whether the attention each token receives is wanted.
            first: compute the context of each sequence's first token only.

        Returns:
            The context, `[N, H, d]` (`[B, H, d]` if `first`), the importance `[N]` or `None`, and the trace begun.
        """
        hidden_states = _autocast_once(hidden_states)
        context, importance, pairs, attentions = self._local(hidden_states, packed, request, with_importance, first)
        if suits_padding(packed, self.num_heads, self.embed_dim, first) and not request.output_attentions:
            index = packed.first_index
            query = self.query_global(hidden_states[index]) / math.sqrt(self.head_dim)
            query = query.unflatten(1, (self.num_heads, self.head_dim))
            dropout = self.dropout if self.training else 0.0
            contexts = padded_global_attention(
                query, hidden_states, packed, self.key_global, self.value_global, dropout
            )
            contexts = contexts.to(context.dtype).unflatten(1, (self.num_heads, self.head_dim))
            context = contexts if first else context.index_copy(0, index, contexts)
            return context, importance, LayerTrace(packed, packed, pairs, torch.ones_like(index))
        rows = packed.global_indices
        if first:  # other global tokens' contexts reach nothing any more
            rows = [indices[indices == start] for indices, start in zip(rows, packed.offsets)]
        trace = LayerTrace(
            entered=packed,
            left_alive=packed,
            attention_pairs=torch.as_tensor(pairs, device=context.device),
            global_lengths=torch.tensor([len(r) for r in rows], device=context.device),
            attentions=attentions,
        )
        index = torch.as_tensor(np.concatenate(rows), device=context.device)
        if len(index):
            contexts, weights = self._global(hidden_states, packed, rows, index)
            at = packed.rows[index] if first else index
            put = context.index_copy if torch.is_grad_enabled() else context.index_copy_
            context = put(0, at, contexts.to(context.dtype).unflatten(1, (self.num_heads, self.head_dim)))
            if request.output_attentions:
                trace.global_attentions = global_attention_weights(weights, packed, hidden_states.dtype)
        return context, importance, trace

    def _local(self, hidden_states, packed, request, with_importance, first):
        w, dropout = self.one_sided_attn_window_size, self.dropout if self.training else 0.0
        if not len(packed) or (first and packed.has_global_first_tokens):
            rows, pairs = packed.shape[0] if first else len(packed), torch.zeros_like(packed.length_tensor)
            context = hidden_states.new_zeros(rows, self.num_heads, self.head_dim)
            return context, hidden_states.new_zeros(rows), pairs, None
        settings = {"dropout": dropout, "importance_gradient": request.importance_gradient and with_importance}
        implementation = choose_implementation(
            self.config._attn_implementation, hidden_states.device, request.output_attentions
        )
        plan = first_token_plan(packed, w) if first else local_attention_plan(implementation, packed, w)
        heads = functools.partial(self._heads, hidden_states, request.workspace)
        query, key, value = heads("query", self.head_dim**-0.5), heads("key"), heads("value")
        overwrite = not torch.is_grad_enabled() and not request.output_attentions
        context, importance = local_attention(
            query, key, value, plan, with_importance=with_importance, overwrite_query=overwrite, **settings
        )
        attentions = tiled_attention_weights(query, key, packed, plan, w) if request.output_attentions else None
        context = context.transpose(0, 1)
        return context[packed.first_index] if first else context, importance, plan.pairs, attentions

    def _heads(self, hidden_states, workspace, name, scale=1.0):
        return projected_heads(getattr(self, name), hidden_states, self.num_heads, scale, workspace, name)

    def _global(self, hidden_states, packed, rows, index):
        query = self.query_global(hidden_states[index]) / math.sqrt(self.head_dim)
        return global_attention(
            query.view(-1, self.num_heads, self.head_dim),
            hidden_states,
            [len(r) for r in rows],
            packed.lengths.tolist(),
            self.key_global,
            self.value_global,
            self.dropout if self.training else 0.0,
        )


def _autocast_once(x: torch.Tensor) -> torch.Tensor:
    """Under autocast, the cast that each of the layer's projections would make, made once."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


class LTPAttention(nn.Module):
    def __init__(self, config: LTPConfig, layer_id: int):
        super().__init__()
        self.self = LTPSelfAttention(config, layer_id)
        self.output = LTPSelfOutput(config)


class LTPLayer(GradientCheckpointingLayer):
    """Attention, removal of the tokens that received too little of it, the rest of the layer on the others."""

    def __init__(self, config: LTPConfig, layer_id: int):
        super().__init__()
        self.attention = LTPAttention(config, layer_id)
        self.intermediate = LTPIntermediate(config)
        self.output = LTPOutput(config)

    def forward(
        self,
        hidden_states: torch.Tensor,
        packed: PackedSequence,
        request: Request,
        is_last: bool,
        prunes: bool | None = None,
    ) -> tuple[torch.Tensor, LayerTrace]:
        """`[N, D]` in, `[M, D]` of the `M` tokens that stay out. `prunes`: whether any can leave, if that is known."""
        pruner = self.attention.self.pruner
        prunes = pruner is not None and (pruner.is_active if prunes is None else prunes)
        first = is_last and request.first_token_suffices and packed.has_all_first_tokens
        # Soft masks need the scores of all; a first token that is not global may itself leave in this layer.
        first = first and not (prunes and (request.soft or not packed.has_global_first_tokens))
        prunes = prunes and not first
        context, importance, trace = self.attention.self(hidden_states, packed, request, prunes, first)
        stay = None
        if first:
            hidden_states = hidden_states[packed.first_index]
            trace.left_alive = packed.first_tokens()
        elif prunes:
            heads = self.attention.self.num_heads
            trace.scores = normalize_importance(importance, packed, heads, pruner.normalization)
            if request.soft:
                trace.soft_mask = pruner.soft_mask(trace.scores.detach(), request.temperature)
            else:
                stay = self._remove(hidden_states, pruner, trace)
        hidden_states = after_attention(
            self.attention.output, self.intermediate, self.output, context, hidden_states, stay
        )
        if trace.soft_mask is not None:
            hidden_states = hidden_states * trace.soft_mask.to(hidden_states.dtype)[:, None]
        return hidden_states, trace

    @staticmethod
    @uncompiled
    def _remove(hidden_states, pruner, trace):
        """The indices of the tokens that stay, `None` for all."""
        trace.left_alive, stay, leave = trace.entered.keep(pruner.hard_mask(trace.scores, trace.entered))
        if not len(leave):
            return None
        trace.removed = trace.entered.flat_index[leave], hidden_states.index_select(0, leave)
        return stay


class LTPEncoder(nn.Module):
    def __init__(self, config: LTPConfig):
        super().__init__()
        self.layer = nn.ModuleList([LTPLayer(config, layer_id=i) for i in range(config.num_hidden_layers)])
        self.gradient_checkpointing = False

    def forward(
        self, hidden_states: torch.Tensor, packed: PackedSequence, request: Request
    ) -> tuple[torch.Tensor, list[LayerTrace], tuple[torch.Tensor, ...]]:
        """`[N, D]` in; the states of the tokens still alive, a trace a layer, padded hidden states if asked for."""
        traces: list[LayerTrace] = []
        all_hidden_states: tuple[torch.Tensor, ...] = ()
        prunes = which_prune([layer.attention.self.pruner for layer in self.layer])
        for i, layer in enumerate(self.layer):
            if request.output_hidden_states:
                all_hidden_states += (packed.unpack(hidden_states),)
            hidden_states, trace = layer(hidden_states, packed, request, i == len(self.layer) - 1, prunes[i])
            traces.append(trace)
            packed = trace.left_alive
        if request.output_hidden_states:
            all_hidden_states += (packed.unpack(hidden_states),)
        return hidden_states, traces, all_hidden_states


class LTPPreTrainedModel(LongformerPreTrainedModel):
    """Loading, and the switches of pruning."""

    config: LTPConfig
    config_class = LTPConfig
    base_model_prefix = "longformer"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["LTPLayer"]
    # A Longformer checkpoint has no thresholds (they start at 0); a pruned one may be loaded as plain Longformer.
    _keys_to_ignore_on_load_missing = [r"pruner\.keep_threshold"]
    _keys_to_ignore_on_load_unexpected = [r"pruner\.keep_threshold"]
    _keep_in_fp32_modules_strict = ["pruner"]
    # The trainer scales the loss under gradient accumulation; heads do not read `num_items_in_batch`.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, AbsoluteThresholdPruner):
            init.zeros_(module.keep_threshold)

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        return True

    def get_correct_attn_implementation(self, requested_attention: str | None, is_init_check: bool = False):
        """As the library's, but `None` stays `None`: the device of each batch decides."""
        if requested_attention is None:
            return None
        if requested_attention not in IMPLEMENTATIONS:
            raise ValueError(
                f'Specified `attn_implementation="{requested_attention}"` is not supported. The only possible values '
                f"are {', '.join(IMPLEMENTATIONS)}, and None for the faster one on the device."
            )
        return super().get_correct_attn_implementation(requested_attention, is_init_check)

    @property
    def _model(self) -> LTPModel:
        return getattr(self, self.base_model_prefix, self)

    def _as_asked(self, output, return_dict: bool | None):
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()

    def pruners(self) -> list[TokenPruner | None]:
        """The pruner of each layer; `None` for a layer that does not prune."""
        return [layer.attention.self.pruner for layer in self._model.encoder.layer]

    def thresholds(self) -> torch.Tensor:
        """The threshold of each layer, `[num_hidden_layers]` float32 on the CPU; NaN for a layer that has none."""
        thresholds = [None if pruner is None else pruner.threshold for pruner in self.pruners()]
        values = [math.nan if threshold is None else threshold.item() for threshold in thresholds]
        return torch.tensor(values, dtype=torch.float32)

    def learned_thresholds(self) -> list[nn.Parameter]:
        """The learned offset of each layer's threshold, `[]` each, in layer order; empty if none is learned."""
        return [pruner.learned_offset for pruner in self.pruners() if isinstance(pruner, AbsoluteThresholdPruner)]

    def set_hard_masking(self, hard: bool) -> None:
        """
        In training mode: remove pruned tokens (True) or multiply by soft masks (False). Evaluation always removes.

        Raises:
            ValueError: soft masking, and a prune mode without thresholds.
        """
        if not hard and self.config.prune_mode == "topk":
            raise ValueError('prune mode "topk" has no threshold, and so no soft masks: use hard masking')
        self._model.hard_masking = bool(hard)

    def prepack_weights(self) -> None:
        """
        Has passes without gradients on a CPU keep the weights of the layers a second time, in the layout of its matrix
        products, which then need not bring them there each time: a few percent faster, the same results.

        Weights may change afterwards, as an optimiser or `load_state_dict` changes them; a change through
        `weight.data` goes unnoticed until this is called again. Nothing of it is saved or copied with the model.
        """
        for layer in self._model.encoder.layer:
            attention = layer.attention.self
            for linear in (
                attention.query, attention.key, attention.value,
                layer.attention.output.dense, layer.intermediate.dense, layer.output.dense,
            ):  # fmt: skip
                prepack(linear)

    def set_temperature(self, temperature: float) -> None:
        """Width of the soft mask, in units of the score; kept in `config.temperature`."""
        if not temperature > 0:
            raise ValueError(f"the temperature has to be positive, not {temperature}")
        self.config.temperature = float(temperature)

    @torch.no_grad()
    def get_rest_token_indices(self, **batch) -> list[torch.Tensor]:
        """
        Which tokens are alive after the last layer, as in evaluation.

        Args:
            batch: a batch as for `forward`.

        Returns:
            For each sequence the columns of its tokens, `[number kept]` int64, ascending.
        """
        training = self.training
        self.eval()
        try:
            kept = self(**batch, output_pruning=True, return_dict=True).kept_tokens[-1]
        finally:
            self.train(training)
        return [row.nonzero().squeeze(1) for row in kept]


@dataclass
class Encoding:
    """Packed states after the last layer, what they are, and the output fields common to all heads."""

    states: torch.Tensor  # [N, D]
    packed: PackedSequence
    traces: list[LayerTrace]
    fields: dict = field(default_factory=dict)

    @property
    def first_states(self) -> torch.Tensor:
        """State of each sequence's first token, `[B, D]`; the state it left with, if it was removed."""
        if self.packed.has_all_first_tokens:
            return self.states[self.packed.first_index]
        columns = self.packed.first_columns
        return self.last_hidden_state[torch.arange(len(columns), device=columns.device), columns]

    @property
    def last_hidden_state(self) -> torch.Tensor:
        """`[B, L, D]`; a removed token has the state it left with, padding zeros."""
        padded = self.packed.unpack(self.states).flatten(0, 1)
        for trace in self.traces:
            if trace.removed is not None:
                index, states = trace.removed
                padded = padded.index_copy(0, index, states.to(padded.dtype))
        return padded.unflatten(0, self.packed.shape)


class LTPModel(LTPPreTrainedModel):
    """Longformer that removes tokens layer by layer. Takes what [`~transformers.LongformerModel`] takes."""

    def __init__(self, config: LTPConfig, add_pooling_layer: bool = True):
        super().__init__(config)
        if isinstance(config.attention_window, int):
            config.attention_window = [config.attention_window] * config.num_hidden_layers
        if len(config.attention_window) != config.num_hidden_layers:
            raise ValueError(
                f"`attention_window` has {len(config.attention_window)} entries for {config.num_hidden_layers} "
                "layers; give one even number, or one for each layer"
            )
        self.hard_masking = True
        self.importance_gradient = False  # of the scores in soft training; masks never pass any on
        self.embeddings = LongformerEmbeddings(config)
        self.encoder = LTPEncoder(config)
        self.pooler = LongformerPooler(config) if add_pooling_layer else None
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.word_embeddings = value

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        global_attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        output_pruning: bool = False,
        **kwargs,
    ) -> tuple | LTPBaseModelOutputWithPooling:
        r"""
        Args:
            input_ids, attention_mask, token_type_ids, position_ids: `[B, L]` int64, as in Longformer.
            global_attention_mask: `[B, L]`, 1 for the tokens that attend to, and are attended by, all others and are
                never removed. Without it the first token of each sequence is (all zeros for none, which is what
                [`~transformers.LongformerModel`] takes by default).
            inputs_embeds: `[B, L, hidden_size]`, instead of `input_ids`.
            output_pruning: also return `pruning_scores`, `kept_tokens` and (in soft training) `soft_masks`.

        Returns:
            [`LTPBaseModelOutputWithPooling`]. In `last_hidden_state`, `[B, L, hidden_size]`, a removed token has the
            state it left with.

        Raises:
            ValueError: both or neither of `input_ids` and `inputs_embeds`; a sequence without tokens; a sequence
                longer than the position table.
        """
        encoding = self.encode(
            input_ids=input_ids,
            attention_mask=attention_mask,
            global_attention_mask=global_attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            output_pruning=output_pruning,
        )
        pooled = None if self.pooler is None else self.pooler(encoding.first_states[:, None])
        output = LTPBaseModelOutputWithPooling(
            last_hidden_state=encoding.last_hidden_state, pooler_output=pooled, **encoding.fields
        )
        return self._as_asked(output, return_dict)

    def encode(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        global_attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        output_pruning: bool = False,
        first_token_only: bool = False,
    ) -> Encoding:
        """
        `forward` up to the packed states; the arguments are the same. With `first_token_only` the last layer computes
        no more than each sequence's first token, unless something else is asked for.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of `input_ids` and `inputs_embeds`")
        config = self.config
        request = Request(
            soft=self.training and not self.hard_masking,
            temperature=config.temperature,
            importance_gradient=self.importance_gradient and self.training and not self.hard_masking,
            first_token_only=first_token_only,
            output_hidden_states=config.output_hidden_states if output_hidden_states is None else output_hidden_states,
            output_attentions=config.output_attentions if output_attentions is None else output_attentions,
            output_pruning=output_pruning,
        )
        source = input_ids if input_ids is not None else inputs_embeds
        if attention_mask is None:
            attention_mask = torch.ones(source.shape[:2], dtype=torch.long, device=source.device)
        packed = PackedSequence.from_masks(attention_mask, global_attention_mask)
        states = self._embed(packed, input_ids, token_type_ids, position_ids, inputs_embeds)
        states, traces, hidden_states = self.encoder(states, packed, request)
        encoding = Encoding(states, traces[-1].left_alive, traces)
        encoding.fields = _output_fields(traces, hidden_states, request)
        return encoding

    def _embed(self, packed, input_ids, token_type_ids, position_ids, inputs_embeds) -> torch.Tensor:
        if position_ids is None:
            if input_ids is not None:
                position_ids = create_position_ids_from_input_ids(input_ids, self.embeddings.padding_idx)
            else:
                position_ids = self.embeddings.create_position_ids_from_inputs_embeds(inputs_embeds)
        position_ids = packed.pack(position_ids.expand(packed.shape))
        limit = self.config.max_position_embeddings
        if packed.shape[1] > limit - self.embeddings.padding_idx - 1 and int(position_ids.max()) >= limit:
            raise ValueError(
                f"a sequence of the batch needs position {int(position_ids.max())}, but the position table ends at "
                f"{limit - 1} (`max_position_embeddings` {limit}): at most {limit - self.embeddings.padding_idx - 1} "
                "tokens fit; truncate the input, for example with `max_length` of the tokenizer"
            )
        return self.embeddings(
            input_ids=None if input_ids is None else packed.pack(input_ids),
            token_type_ids=None if token_type_ids is None else packed.pack(token_type_ids),
            position_ids=position_ids,
            inputs_embeds=None if inputs_embeds is None else packed.pack(inputs_embeds),
        )


@uncompiled
def _output_fields(traces: list[LayerTrace], hidden_states: tuple, request: Request) -> dict:
    """The fields of [`LTPPruningFields`] and Longformer's optional ones, from what the layers did."""
    masks = [t.soft_mask for t in traces if t.soft_mask is not None]
    fields = {
        "attention_sentence_lengths": tuple(t.entered.length_tensor for t in traces),
        "ffn_sentence_lengths": tuple(t.left_alive.length_tensor for t in traces),
        "attention_pairs": tuple(t.attention_pairs for t in traces),
        "global_lengths": tuple(t.global_lengths for t in traces),
        "pruning_regularizer": torch.stack([m.mean() for m in masks]).sum() if masks else None,
    }
    if request.output_hidden_states:
        fields["hidden_states"] = hidden_states
    if request.output_attentions:
        fields["attentions"] = tuple(t.attentions for t in traces)
        if traces[0].global_attentions is not None:
            fields["global_attentions"] = tuple(t.global_attentions for t in traces)
    if request.output_pruning:
        fields["pruning_scores"] = tuple(_padded(t, t.scores) for t in traces)
        fields["kept_tokens"] = tuple(
            t.left_alive.unpack(torch.ones_like(t.left_alive.is_global), fill=False) for t in traces
        )
        if masks:
            fields["soft_masks"] = tuple(_padded(t, t.soft_mask) for t in traces)
    return fields


def _padded(trace: LayerTrace, values: torch.Tensor | None) -> torch.Tensor | None:
    return None if values is None else trace.entered.unpack(values, fill=float("nan"))


__all__ = ["LTPModel", "LTPPreTrainedModel"]
