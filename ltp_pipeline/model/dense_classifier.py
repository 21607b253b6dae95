"""A classifier that prunes nothing, in operations that can be exported.

The model of this project computes packed tokens, whose plan is made with NumPy from the lengths of a batch. Exporters
cannot trace that. [`DenseClassifier`] computes the same logits with the same weights on the padded batch `[B, L]`. Its
local attention takes time and memory that are quadratic in `L`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from transformer_revised import LTPForSequenceClassification
    from transformer_revised.models.ltp.modeling_ltp_layer import LTPLayer, LTPSelfAttention


class DenseClassifier(nn.Module):
    """Computes what `model` computes in evaluation mode. It holds `model` and shares its weights.

    Raises ValueError for a model that prunes, because how many tokens its layers compute depends on the text, and for
    one in int8.
    """

    def __init__(self, model: LTPForSequenceClassification):
        super().__init__()
        if model.config.prune_mode is not None:
            raise ValueError(
                f"the model prunes (prune_mode {model.config.prune_mode}), so that the number of tokens in a layer "
                "depends on the text, which an exported graph cannot do; expected a model that does not prune, such "
                "as the result of fine-tuning, or another load with prune_mode=None, which predicts differently"
            )
        if model.is_int8:
            raise ValueError("a model in int8 cannot be exported; load it again in float32")
        self.model = model
        self.eval()

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits `[B, C]`. `input_ids`, `attention_mask`, `token_type_ids`: `[B, L]` int64, at least one real token
        in each row. The first real token is global, as in the model.
        """
        encoder = self.model.longformer
        real = attention_mask > 0
        is_first = real & (attention_mask.cumsum(1) == 1)  # [B, L]
        columns = torch.arange(input_ids.shape[1], device=input_ids.device)
        distance = (columns[:, None] - columns[None, :]).abs()  # [L, L]
        states = encoder.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)  # [B, L, D]
        for layer in encoder.encoder.layer:
            near = distance <= layer.attention.self.one_sided_attn_window_size
            allowed = is_first[:, None, :] | (near & real[:, None, :])  # [B, L, L]
            states = _layer(layer, states, allowed, real, is_first)
        return self.model.classifier(_at_first(states, is_first))


def _layer(
    layer: LTPLayer, states: torch.Tensor, allowed: torch.Tensor, real: torch.Tensor, is_first: torch.Tensor
) -> torch.Tensor:
    """`[B, L, D]` to `[B, L, D]`."""
    context = _attention(layer.attention.self, states, allowed, real, is_first)
    output = layer.attention.output
    attended = output.LayerNorm(output.dense(context) + states)
    inner = layer.intermediate.intermediate_act_fn(layer.intermediate.dense(attended))
    return layer.output.LayerNorm(layer.output.dense(inner) + attended)


def _attention(
    attention: LTPSelfAttention,
    states: torch.Tensor,
    allowed: torch.Tensor,
    real: torch.Tensor,
    is_first: torch.Tensor,
) -> torch.Tensor:
    """The context `[B, L, D]`: local attention, and for the first token global attention (Longformer, section 3.1)."""

    def heads(projection: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        return projection(x).unflatten(2, (attention.num_heads, attention.head_dim)).transpose(1, 2)  # [B, H, L, d]

    query, key, value = (heads(getattr(attention, name), states) for name in ("query", "key", "value"))
    local = scaled_dot_product_attention(query, key, value, attn_mask=allowed[:, None])
    query = heads(attention.query_global, _at_first(states, is_first))
    key, value = heads(attention.key_global, states), heads(attention.value_global, states)
    of_first = scaled_dot_product_attention(query, key, value, attn_mask=real[:, None, None, :])  # [B, H, 1, d]
    context = torch.where(is_first[:, None, :, None], of_first, local)
    return context.transpose(1, 2).flatten(2)


def _at_first(states: torch.Tensor, is_first: torch.Tensor) -> torch.Tensor:
    """The state of each sequence's first token, `[B, 1, D]`."""
    return (states * is_first[:, :, None]).sum(1, keepdim=True)
