"""The outputs of LTP models: Longformer's fields, and for each layer what pruning did."""

from dataclasses import dataclass

import torch
from transformers.models.longformer.modeling_longformer import (
    LongformerBaseModelOutputWithPooling,
    LongformerMaskedLMOutput,
    LongformerMultipleChoiceModelOutput,
    LongformerQuestionAnsweringModelOutput,
    LongformerSequenceClassifierOutput,
    LongformerTokenClassifierOutput,
)


@dataclass
class LTPPruningFields:
    """Fields that every LTP output has after Longformer's. `B` is the batch size, `L` the padded length.

    Each tuple has one entry for each layer. With `output_pruning=True` there are also `pruning_scores`, `kept_tokens`
    and, in soft training, `soft_masks`.
    """

    # Tokens of each sequence that were alive in the layer's attention, `[B]`.
    attention_sentence_lengths: tuple[torch.LongTensor, ...] | None = None
    # Tokens of each sequence in the layer's feed-forward part, `[B]`. In the last layer of a classifier that returns
    # only logits this is 1, as it computes only the first token.
    ffn_sentence_lengths: tuple[torch.LongTensor, ...] | None = None
    attention_pairs: tuple[torch.LongTensor, ...] | None = None  # computed query-key pairs of local attention, `[B]`
    global_lengths: tuple[torch.LongTensor, ...] | None = None  # computed global queries, `[B]`
    # Score (normalised importance) of each token, `[B, L]` float32; NaN for a token that is not alive. `None` for a
    # layer that removes nothing (its threshold is exactly 0).
    pruning_scores: tuple[torch.FloatTensor | None, ...] | None = None
    kept_tokens: tuple[torch.BoolTensor, ...] | None = None  # tokens alive after the layer, `[B, L]`
    # Factor of each token's output, between 0 and 1, `[B, L]`; NaN and `None` as in `pruning_scores`.
    soft_masks: tuple[torch.FloatTensor | None, ...] | None = None
    # In soft training: sum over layers of the soft mask's mean over the real tokens of the batch, `[]`.
    pruning_regularizer: torch.FloatTensor | None = None


# A dataclass puts the fields of its last base first: Longformer's come before pruning's.
@dataclass
class LTPBaseModelOutputWithPooling(LTPPruningFields, LongformerBaseModelOutputWithPooling):
    """[`LTPModel`]'s output: Longformer's, then [`LTPPruningFields`]."""


@dataclass
class LTPSequenceClassifierOutput(LTPPruningFields, LongformerSequenceClassifierOutput):
    """[`LTPForSequenceClassification`]'s output: Longformer's, then [`LTPPruningFields`]."""


@dataclass
class LTPMaskedLMOutput(LTPPruningFields, LongformerMaskedLMOutput):
    """[`LTPForMaskedLM`]'s output: Longformer's, then [`LTPPruningFields`]."""


@dataclass
class LTPTokenClassifierOutput(LTPPruningFields, LongformerTokenClassifierOutput):
    """[`LTPForTokenClassification`]'s output: Longformer's, then [`LTPPruningFields`]."""


@dataclass
class LTPQuestionAnsweringModelOutput(LTPPruningFields, LongformerQuestionAnsweringModelOutput):
    """[`LTPForQuestionAnswering`]'s output: Longformer's, then [`LTPPruningFields`]."""


@dataclass
class LTPMultipleChoiceModelOutput(LTPPruningFields, LongformerMultipleChoiceModelOutput):
    """[`LTPForMultipleChoice`]'s output: Longformer's, then [`LTPPruningFields`]."""
