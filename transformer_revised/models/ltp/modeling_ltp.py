"""The model: embeddings, then layers that remove tokens; and the methods that all models of this type have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers import initialization as init
from transformers.models.longformer.modeling_longformer import (
    LongformerEmbeddings,
    LongformerPooler,
    LongformerPreTrainedModel,
    create_position_ids_from_input_ids,
)
from transformers.utils import can_return_tuple

from .attention_dispatch import IMPLEMENTATIONS
from .batch_tokens import in_shape
from .checkpoint_thresholds import check_thresholds
from .configuration_checks import RANGES, check_value
from .configuration_ltp import LTPConfig
from .cpu_products import prepack
from .int8_products import Int8Linear, quantize
from .ltp_model_output import LTPBaseModelOutputWithPooling
from .modeling_ltp_layer import ForwardOptions, LayerTrace, LTPLayer
from .packed_encoding import PackedEncoding, output_fields
from .packed_sequence import PackedSequence
from .prune_modules import AbsoluteThresholdPruner, TokenPruner, read_cuts
from .workspace import keep_freed_memory

CANNOT_BE_EXPORTED = (
    "an LTP model cannot be traced or exported: it computes packed tokens, whose number depends on the text. A "
    "classifier that prunes nothing can be: `python -m ltp_pipeline.export_onnx`, or torch.export of "
    "`ltp_pipeline.model.dense_classifier.DenseClassifier(model)`"
)


class LTPPreTrainedModel(LongformerPreTrainedModel):
    """Loading, initialisation and the methods that all models of this type have."""

    config: LTPConfig
    config_class = LTPConfig
    base_model_prefix = "longformer"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["LTPLayer"]
    # A Longformer checkpoint has no learned offsets: they start at 0. With `prune_mode=None` a model has none either.
    # `check_thresholds` refuses a checkpoint that must have them.
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

    def _adjust_missing_and_unexpected_keys(self, loading_info) -> None:
        missing, unexpected = {*loading_info.missing_keys}, {*loading_info.unexpected_keys}
        super()._adjust_missing_and_unexpected_keys(loading_info)
        check_thresholds(self, missing, unexpected)

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        return True

    def get_correct_attn_implementation(self, requested_attention: str | None, is_init_check: bool = False):
        """Keeps `None`, which the library would replace now, because each forward pass chooses by its device."""
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

    @property
    def is_soft(self) -> bool:
        """Whether a forward pass multiplies tokens by soft masks now, instead of removing them."""
        return self._model.training and not self._model.hard_masking

    def set_hard_masking(self, hard: bool) -> None:
        """Chooses whether training removes tokens (True) or multiplies them by soft masks (False). Evaluation removes.

        Raises ValueError for soft masking with a prune mode without thresholds.
        """
        if not hard and self.config.prune_mode == "topk":
            raise ValueError('prune mode "topk" has no threshold and so no soft masks: use hard masking')
        self._model.hard_masking = bool(hard)

    def set_importance_gradient(self, differentiable: bool) -> None:
        """Chooses whether scores are differentiable in training, as the loss of `rank_distillation` needs."""
        self._model.importance_gradient = bool(differentiable)

    def prepack_weights(self) -> None:
        """Stores a second copy of each layer's weights in oneDNN's blocked layout, for passes without gradients on a
        CPU. These are then a few percent faster. In bfloat16 the results are the same, bit for bit; in float32 they
        differ by rounding.

        The copies follow changes by an optimiser or `load_state_dict`. They follow a change through `weight.data` if
        it changes one of 128 values that are spread over the weight, as a change of the whole weight does. After a
        change of a part of `weight.data` call this again. The copies are not saved or copied with the model.
        """
        for layer in self._model.encoder.layer:
            attention = layer.attention.self
            prepack(attention.query, attention.key, attention.value)
            prepack(attention.query_global)
            for dense in (layer.attention.output.dense, layer.intermediate.dense, layer.output.dense):
                prepack(dense)

    def quantize_int8(self) -> None:
        """Makes evaluation without gradients multiply in int8 ([`Int8Linear`]), but for global attention and the head.

        The exact weights stay, and are saved. Raises ValueError in training, for adapters, and not on an x86 CPU.
        """
        quantize(self._products(), self.training)

    @property
    def is_int8(self) -> bool:
        """Whether passes without gradients multiply in int8."""
        return all(type(getattr(module, name)) is Int8Linear for module, name in self._products())

    def _products(self) -> Iterator[tuple[nn.Module, str]]:
        """Where the linear layers are that do not mix tokens: modules and names in them."""
        for layer in self._model.encoder.layer:
            yield from ((layer.attention.self, name) for name in ("query", "key", "value"))
            yield from ((block, "dense") for block in (layer.attention.output, layer.intermediate, layer.output))

    def set_temperature(self, temperature: float) -> None:
        """Sets `config.temperature`: the width of the soft mask, in units of the score."""
        right = RANGES["temperature"]
        check_value(temperature in right, "temperature", right.in_words(temperature), temperature)
        self.config.temperature = float(temperature)

    @torch.no_grad()
    def get_rest_token_indices(self, *inputs, **named_inputs) -> list[torch.Tensor]:
        """The tokens that are alive after the last layer in evaluation.

        The arguments are those of `forward`.
        Returns for each sequence the columns of these tokens, int64, ascending.
        """
        options = {"output_pruning": True, "return_dict": True}
        with in_evaluation_mode(self):
            kept = self(*inputs, **{**named_inputs, **options}).kept_tokens[-1]
        return [row.nonzero().squeeze(1) for row in kept]


@contextmanager
def in_evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Puts the model into evaluation mode for the block, and then each of its modules into the mode that it had."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


class LTPEncoder(nn.Module):
    """The layers, one after the other, each on the tokens that the layer before it kept."""

    def __init__(self, config: LTPConfig):
        super().__init__()
        self.layer = nn.ModuleList([LTPLayer(config, layer_id=i) for i in range(config.num_hidden_layers)])
        self.gradient_checkpointing = False

    def forward(
        self, hidden_states: torch.Tensor, packed: PackedSequence, options: ForwardOptions
    ) -> tuple[torch.Tensor, list[LayerTrace], tuple[torch.Tensor, ...]]:
        """Returns the states `[M, D]` of the tokens alive after the last layer, the traces of the layers, and with
        `output_hidden_states` the input of each layer and the output of the last, `[B, L, D]` each.
        """
        traces: list[LayerTrace] = []
        all_hidden_states: tuple[torch.Tensor, ...] = ()
        for layer in self.layer:
            if options.output_hidden_states:
                all_hidden_states += (packed.unpack(hidden_states),)
            hidden_states, trace = layer(hidden_states, packed, options)
            traces.append(trace)
            packed = trace.kept if trace.returned is None else trace.returned
        if options.output_hidden_states:
            all_hidden_states += (packed.unpack(hidden_states),)
        return hidden_states, traces, all_hidden_states


class LTPModel(LTPPreTrainedModel):
    """Longformer that removes tokens layer by layer. It has the inputs of [`~transformers.LongformerModel`]."""

    def __init__(self, config: LTPConfig, add_pooling_layer: bool = True):
        config.validate()
        super().__init__(config)
        if isinstance(config.attention_window, int):
            config.attention_window = [config.attention_window] * config.num_hidden_layers
        self.hard_masking = True
        self.importance_gradient = False  # whether scores are differentiable in training
        self.embeddings = LongformerEmbeddings(config)
        self.encoder = LTPEncoder(config)
        self.pooler = LongformerPooler(config) if add_pooling_layer else None
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.word_embeddings = value

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        global_attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs,
    ) -> tuple | LTPBaseModelOutputWithPooling:
        r"""
        Args:
            input_ids, attention_mask, token_type_ids, position_ids: `[B, L]` int64, as in Longformer.
            global_attention_mask: `[B, L]`, 1 for global tokens. These attend to all tokens of their sequence, all
                attend to them, and they are never removed. Without the mask the first token of each sequence is
                global; with zeros none is, which is the default of [`~transformers.LongformerModel`].
            inputs_embeds: `[B, L, hidden_size]`, instead of `input_ids`.
            output_pruning (`bool`): also return `pruning_scores`, `kept_tokens` and (in soft training) `soft_masks`.
            output_attentions, output_hidden_states, return_dict (`bool`): as in the library.

        Returns:
            [`LTPBaseModelOutputWithPooling`]. In `last_hidden_state`, `[B, L, hidden_size]`, a removed token has its
            last state.

        Raises:
            ValueError: both or neither of `input_ids` and `inputs_embeds`; a mask, types or positions of another
                shape; a sequence without tokens; a sequence longer than the position table.
        """
        encoding = self.encode(
            input_ids, attention_mask, global_attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs
        )
        pooled = None if self.pooler is None else self.pooler(encoding.first_states[:, None])
        return LTPBaseModelOutputWithPooling(
            last_hidden_state=encoding.last_hidden_state, pooler_output=pooled, **encoding.fields
        )

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
        only_first_token: bool = False,
        **kwargs,
    ) -> PackedEncoding:
        """[`forward`] up to the packed states; the arguments are the same, and others are ignored.

        Args:
            only_first_token: the caller reads only `first_states` of the result. The last layer then computes only
                each sequence's first token, unless hidden states, attentions or pruning details are returned.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of `input_ids` and `inputs_embeds`")
        if torch.compiler.is_exporting() or torch.jit.is_tracing():
            raise NotImplementedError(CANNOT_BE_EXPORTED)
        config = self.config
        options = ForwardOptions(
            soft=self.is_soft,
            temperature=config.temperature,
            importance_gradient=self.training and self.importance_gradient,
            only_first_token=only_first_token,
            output_hidden_states=config.output_hidden_states if output_hidden_states is None else output_hidden_states,
            output_attentions=config.output_attentions if output_attentions is None else output_attentions,
            output_pruning=output_pruning,
            cuts=read_cuts(self.pruners()),
        )
        source = input_ids if input_ids is not None else inputs_embeds
        if source.device.type == "cpu" and not torch.compiler.is_compiling():
            keep_freed_memory()
        if attention_mask is None:
            attention_mask = torch.ones(source.shape[:2], dtype=torch.long, device=source.device)
        shape = tuple(source.shape[:2])
        attention_mask, global_attention_mask, token_type_ids, position_ids = (
            in_shape(name, tensor, shape)
            for name, tensor in (
                ("attention_mask", attention_mask), ("global_attention_mask", global_attention_mask),
                ("token_type_ids", token_type_ids), ("position_ids", position_ids),
            )
        )  # fmt: skip
        packed = PackedSequence.from_masks(attention_mask, global_attention_mask)
        states = self._embed(packed, input_ids, token_type_ids, position_ids, inputs_embeds)
        states, traces, hidden_states = self.encoder(states, packed, options)
        last = traces[-1]
        packed = last.kept if last.returned is None else last.returned
        return PackedEncoding(states, packed, traces, output_fields(traces, hidden_states, options))

    def _embed(self, packed, input_ids, token_type_ids, position_ids, inputs_embeds) -> torch.Tensor:
        if position_ids is None:
            if input_ids is not None:
                position_ids = create_position_ids_from_input_ids(input_ids, self.embeddings.padding_idx)
            else:
                # The library numbers the columns. As with `input_ids`, padding on the left has to shift nothing.
                position_ids = self.embeddings.create_position_ids_from_inputs_embeds(inputs_embeds)
                position_ids = position_ids - packed.first_columns[:, None]
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


__all__ = ["LTPModel", "LTPPreTrainedModel"]
