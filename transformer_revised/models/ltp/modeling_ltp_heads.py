"""The heads: the library's Longformer heads on [`LTPModel`], with the same parameter names and losses.

Every `forward` has the arguments of [`LTPModel.forward`] and `labels`. The loss is only that of the task: in soft
training add `lambda * pruning_regularizer`, as [`LTPTrainer`] does. Heads that read every token get the last state of
a removed token.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers.models.longformer.modeling_longformer import LongformerClassificationHead, LongformerLMHead
from transformers.utils import can_return_tuple

from .configuration_ltp import LTPConfig
from .ltp_model_output import (
    LTPMaskedLMOutput,
    LTPMultipleChoiceModelOutput,
    LTPQuestionAnsweringModelOutput,
    LTPSequenceClassifierOutput,
    LTPTokenClassifierOutput,
)
from .modeling_ltp import LTPModel, LTPPreTrainedModel


def _no_global_tokens(input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor | None) -> torch.Tensor:
    """A global attention mask of zeros, `[B, L]`, the default of Longformer's masked LM and token classifier."""
    source = input_ids if input_ids is not None else inputs_embeds
    if source is None:
        raise ValueError("give exactly one of `input_ids` and `inputs_embeds`")
    return torch.zeros(source.shape[:2], dtype=torch.long, device=source.device)


def _exact(logits: torch.Tensor) -> torch.Tensor:
    """`logits` in float32, in which every loss is computed (float64 stays)."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _first_separator(input_ids: torch.Tensor | None, config: LTPConfig) -> torch.Tensor:
    """Column of the first separator of each sequence, `[B, 1]`. Raises `ValueError` if a sequence has none."""
    if input_ids is None:
        raise ValueError("give `global_attention_mask`: only `input_ids` show where the question ends")
    if config.sep_token_id is None:
        raise ValueError("give `global_attention_mask`: the configuration has no `sep_token_id` to find the question")
    separators = input_ids == config.sep_token_id
    if not separators.any(dim=1).all():
        raise ValueError(
            f"a sequence of the batch has no separator (`sep_token_id` {config.sep_token_id}) between question and "
            "text; encode them as a pair, or give `global_attention_mask`"
        )
    return separators.int().argmax(dim=1, keepdim=True)


class LTPForSequenceClassification(LTPPreTrainedModel):
    """Longformer's classification head on the first token; by default that token is global."""

    def __init__(self, config: LTPConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.longformer = LTPModel(config, add_pooling_layer=False)
        self.classifier = LongformerClassificationHead(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        global_attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs,
    ) -> tuple | LTPSequenceClassifierOutput:
        r"""
        Args:
            labels: as for the library's sequence classifiers: `[B]` int64 classes (`num_labels` > 1), `[B]` float
                targets (`num_labels` = 1) or `[B, num_labels]` float (multi label).

        Returns [`LTPSequenceClassifierOutput`], with `logits` `[B, num_labels]`.
        """
        inputs = input_ids, attention_mask, global_attention_mask, token_type_ids, position_ids, inputs_embeds
        encoding = self.longformer.encode(*inputs, only_first_token=True, **kwargs)
        logits = self.classifier(encoding.first_states[:, None])
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=_exact(logits), config=self.config)
        return LTPSequenceClassifierOutput(loss=loss, logits=logits, **encoding.fields)


class LTPForMaskedLM(LTPPreTrainedModel):
    """Longformer's masked language modelling head; by default no token is global."""

    _tied_weights_keys = {
        "lm_head.decoder.weight": "longformer.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    }

    def __init__(self, config: LTPConfig):
        super().__init__(config)
        self.longformer = LTPModel(config, add_pooling_layer=False)
        self.lm_head = LongformerLMHead(config)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.lm_head.decoder = new_embeddings

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        global_attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs,
    ) -> tuple | LTPMaskedLMOutput:
        """`labels`: `[B, L]` int64 token ids, -100 for tokens without a prediction.

        Returns [`LTPMaskedLMOutput`], with `logits` `[B, L, vocab_size]`.
        """
        if global_attention_mask is None:
            global_attention_mask = _no_global_tokens(input_ids, inputs_embeds)
        inputs = input_ids, attention_mask, global_attention_mask, token_type_ids, position_ids, inputs_embeds
        encoding = self.longformer.encode(*inputs, **kwargs)
        logits = self.lm_head(encoding.last_hidden_state)
        loss = None
        if labels is not None:
            labels = labels.view(-1).to(logits.device)
            loss = nn.functional.cross_entropy(_exact(logits).view(-1, logits.shape[-1]), labels)
        return LTPMaskedLMOutput(loss=loss, logits=logits, **encoding.fields)


class LTPForTokenClassification(LTPPreTrainedModel):
    """Longformer's token classification head; by default no token is global."""

    def __init__(self, config: LTPConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.longformer = LTPModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        global_attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs,
    ) -> tuple | LTPTokenClassifierOutput:
        """`labels`: `[B, L]` int64 classes, -100 for tokens without a prediction.

        Returns [`LTPTokenClassifierOutput`], with `logits` `[B, L, num_labels]`.
        """
        if global_attention_mask is None:
            global_attention_mask = _no_global_tokens(input_ids, inputs_embeds)
        inputs = input_ids, attention_mask, global_attention_mask, token_type_ids, position_ids, inputs_embeds
        encoding = self.longformer.encode(*inputs, **kwargs)
        logits = self.classifier(self.dropout(encoding.last_hidden_state))
        loss = None
        if labels is not None:
            labels = labels.view(-1).to(logits.device)
            loss = nn.functional.cross_entropy(_exact(logits).view(-1, self.num_labels), labels)
        return LTPTokenClassifierOutput(loss=loss, logits=logits, **encoding.fields)


class LTPForQuestionAnswering(LTPPreTrainedModel):
    """Longformer's span head; by default the tokens of the question, before the first separator, are global."""

    def __init__(self, config: LTPConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.longformer = LTPModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        global_attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        start_positions: torch.Tensor | None = None,
        end_positions: torch.Tensor | None = None,
        **kwargs,
    ) -> tuple | LTPQuestionAnsweringModelOutput:
        r"""
        Args:
            start_positions, end_positions: `[B]` int64, columns of the answer's first and last token. The loss ignores
                columns beyond the input.

        Returns [`LTPQuestionAnsweringModelOutput`], with `start_logits` and `end_logits` `[B, L]`.
        Raises ValueError if there is neither a `global_attention_mask` nor a separator that ends the question.
        """
        if global_attention_mask is None:
            question_end = _first_separator(input_ids, self.config)
            columns = torch.arange(input_ids.shape[1], device=input_ids.device)
            global_attention_mask = (columns < question_end).long()
        inputs = input_ids, attention_mask, global_attention_mask, token_type_ids, position_ids, inputs_embeds
        encoding = self.longformer.encode(*inputs, **kwargs)
        start_logits, end_logits = (x.contiguous() for x in self.qa_outputs(encoding.last_hidden_state).unbind(-1))
        loss = None
        if start_positions is not None and end_positions is not None:
            spans = _exact(start_logits), _exact(end_logits)
            loss = self.loss_function(*spans, start_positions, end_positions)
        return LTPQuestionAnsweringModelOutput(
            loss=loss, start_logits=start_logits, end_logits=end_logits, **encoding.fields
        )


class LTPForMultipleChoice(LTPPreTrainedModel):
    """Longformer's multiple choice head; by default the tokens of the choice, after the separators, are global."""

    def __init__(self, config: LTPConfig):
        super().__init__(config)
        self.longformer = LTPModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, 1)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        global_attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs,
    ) -> tuple | LTPMultipleChoiceModelOutput:
        r"""
        Args:
            input_ids, token_type_ids, attention_mask, global_attention_mask, position_ids: `[B, choices, L]`.
            inputs_embeds: `[B, choices, L, hidden_size]`.
            labels: `[B]` int64, index of the right choice.

        Returns:
            [`LTPMultipleChoiceModelOutput`], with `logits` `[B, choices]`. The fields of pruning have `B * choices`
            rows, one for each choice.

        Raises ValueError if there is neither a `global_attention_mask` nor a separator before a choice.
        """
        num_choices = (input_ids if input_ids is not None else inputs_embeds).shape[1]
        inputs = input_ids, attention_mask, global_attention_mask, token_type_ids, position_ids, inputs_embeds
        inputs = [None if x is None else x.flatten(0, 1) for x in inputs]  # [B * choices, L]
        if global_attention_mask is None:
            context_end = _first_separator(inputs[0], self.config)
            columns = torch.arange(input_ids.shape[2], device=input_ids.device)
            inputs[2] = (columns > context_end + 1).long()
        encoding = self.longformer.encode(*inputs, only_first_token=True, **kwargs)
        pooled = self.longformer.pooler(encoding.first_states[:, None])
        logits = self.classifier(self.dropout(pooled)).view(-1, num_choices)
        loss = None if labels is None else nn.functional.cross_entropy(_exact(logits), labels.to(logits.device))
        return LTPMultipleChoiceModelOutput(loss=loss, logits=logits, **encoding.fields)


__all__ = [
    "LTPForMaskedLM",
    "LTPForMultipleChoice",
    "LTPForQuestionAnswering",
    "LTPForSequenceClassification",
    "LTPForTokenClassification",
]
