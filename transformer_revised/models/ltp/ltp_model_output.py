"""What LTP models return: Longformer's fields, then what pruning did."""

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
    """
    Fields that every LTP output carries after Longformer's. `L` is the padded length, `B` the batch size; each tuple
    has one entry a layer.

    Args:
        attention_sentence_lengths (`tuple[torch.LongTensor]`):
            Tokens of each sequence that entered the layer's attention, `[B]`.
        ffn_sentence_lengths (`tuple[torch.LongTensor]`):
            Tokens of each sequence that entered its feed-forward part, `[B]`. A classifier that is asked for nothing
            beyond logits computes only the first token there in the last layer, and so reports 1.
        attention_pairs (`tuple[torch.LongTensor]`):
            Query-key pairs of local attention that were computed, `[B]`.
        global_lengths (`tuple[torch.LongTensor]`):
            Global queries that were computed, `[B]`.
        pruning_scores (`tuple[torch.FloatTensor | None]`, with `output_pruning=True`):
            Normalised importance of each token, `[B, L]` float32; NaN where the token is not alive. `None` for a layer
            that does not prune (its threshold is exactly 0).
        kept_tokens (`tuple[torch.BoolTensor]`, with `output_pruning=True`):
            Tokens alive after the layer, `[B, L]`.
        soft_masks (`tuple[torch.FloatTensor | None]`, with `output_pruning=True`, in soft training):
            What each token's output was multiplied by, `[B, L]`; NaN and `None` as in `pruning_scores`.
        pruning_regularizer (`torch.FloatTensor`, in soft training):
            Sum over layers of the soft mask's mean over the batch's real tokens, `[]`.
    """

    attention_sentence_lengths: tuple[torch.LongTensor, ...] | None = None
    ffn_sentence_lengths: tuple[torch.LongTensor, ...] | None = None
    attention_pairs: tuple[torch.LongTensor, ...] | None = None
    global_lengths: tuple[torch.LongTensor, ...] | None = None
    pruning_scores: tuple[torch.FloatTensor | None, ...] | None = None
    kept_tokens: tuple[torch.BoolTensor, ...] | None = None
    soft_masks: tuple[torch.FloatTensor | None, ...] | None = None
    pruning_regularizer: torch.FloatTensor | None = None


# A dataclass lays out the fields of its last base first: Longformer's come before pruning's.
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
