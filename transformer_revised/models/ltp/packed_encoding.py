"""What the layers return to a head: packed states, and the output fields that all heads have in common."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .device_policy import run_uncompiled
from .modeling_ltp_layer import ForwardOptions, LayerTrace
from .packed_sequence import PackedSequence


@dataclass
class PackedEncoding:
    """What the layers return to a head."""

    states: torch.Tensor  # `[M, D]`, the states of the tokens alive after the last layer
    packed: PackedSequence  # where these tokens come from
    traces: list[LayerTrace]  # what each layer did
    # the output fields that all heads have in common, [`LTPPruningFields`] and Longformer's optional ones
    fields: dict

    @property
    def first_states(self) -> torch.Tensor:
        """State of each sequence's first token, `[B, D]`; its last state if it was removed."""
        if self.packed.has_all_first_tokens:
            return self.states.index_select(0, self.packed.first_index)
        columns = self.packed.first_columns
        return self.last_hidden_state[torch.arange(len(columns), device=columns.device), columns]

    @property
    def last_hidden_state(self) -> torch.Tensor:
        """`[B, L, D]`: for a removed token its last state, for padding zeros."""
        padded = self.packed.unpack(self.states).flatten(0, 1)
        for trace in self.traces:
            if trace.removed is not None:
                index, states = trace.removed
                padded = padded.index_copy(0, index, states.to(padded.dtype))
        return padded.unflatten(0, self.packed.shape)


@run_uncompiled
def output_fields(traces: list[LayerTrace], hidden_states: tuple, options: ForwardOptions) -> dict:
    """The output fields that all heads have in common."""
    masks = [t.soft_mask for t in traces if t.soft_mask is not None]
    fields = {
        "attention_sentence_lengths": tuple(t.entered.length_tensor for t in traces),
        "ffn_sentence_lengths": tuple(t.kept.length_tensor for t in traces),
        "attention_pairs": tuple(t.attention_pairs for t in traces),
        "global_lengths": tuple(t.global_lengths for t in traces),
        "pruning_regularizer": torch.stack([m.mean() for m in masks]).sum() if masks else None,
    }
    if options.output_hidden_states:
        fields["hidden_states"] = hidden_states
    if options.output_attentions:
        fields["attentions"] = tuple(t.attentions for t in traces)
        if traces[0].global_attentions is not None:
            fields["global_attentions"] = tuple(t.global_attentions for t in traces)
    if options.output_pruning:
        fields["pruning_scores"] = tuple(_padded(t, t.scores) for t in traces)
        fields["kept_tokens"] = tuple(t.kept.is_alive for t in traces)
        if masks:
            fields["soft_masks"] = tuple(_padded(t, t.soft_mask) for t in traces)
    return fields


def _padded(trace: LayerTrace, values: torch.Tensor | None) -> torch.Tensor | None:
    return None if values is None else trace.entered.unpack(values, fill=float("nan"))
