"""The teacher "relevance": signed gradient times input, at the word embeddings of the unpruned classifier.

Gradient: Simonyan et al. 2014; times input: Shrikumar et al. 2016. docs/model.md has the definition. The same
gradients score the tokens and lines that are shown to readers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .batch_tokens import attention_mask_of
from .rank_teacher_attention import INPUTS

# What the relevance of a token is the relevance for
TARGETS = ("class_1", "label", "sum", "absolute")
FLOOR = 1e-5  # of a token's share of the relevance, so that it has a logarithm
TINY = 1e-30  # of a sum that is 0, so that 0 is not divided by 0
Value = Callable[[torch.Tensor], torch.Tensor]


def relevance(model: nn.Module, inputs: dict[str, torch.Tensor], target: str | None = None) -> torch.Tensor:
    """Each token's share of the relevance in its sequence, plus `FLOOR`; `[B, L]` float32, 0 at padding.

    The relevance is `max(0, sum_d e_jd * dt / de_jd)`, where `e_j` is the word embedding of token `j`. Which `t` is
    meant says `target`.

    Args:
        model: a sequence classifier that removes no token, in evaluation mode.
        inputs: those of its `forward`; the labels are needed for some targets.
        target: `class_1`: `t = z_1 - z_0` of the logits `z`. `label`: `t = z_y - log sum_(c != y) exp(z_c)` for the
            label `y`, or for the predicted class of a sequence without one. `sum`: `t = sum_c z_c`. `absolute`: the
            same `t`, and the absolute value of the sum over `d` instead of its positive part. None: `default_target`.
    """
    labels, real = inputs.get("labels"), attention_mask_of(inputs) > 0
    target = target or default_target(model.config, labels)
    own = {name: inputs[name] for name in INPUTS if inputs.get(name) is not None}
    scores = gradient_x_input(model, own, lambda logits: _value(logits, labels, target))
    scores = (scores.abs() if target == "absolute" else scores.clamp(min=0)).masked_fill(~real, 0.0)
    return (scores / scores.sum(dim=1, keepdim=True).clamp(min=TINY) + FLOOR).masked_fill(~real, 0.0)


def default_target(config: Any, labels: torch.Tensor | None = None) -> str:
    """The target of a classifier with this configuration: for two classes, class 1 is taken for the finding.

    `labels`: tell several labels at once, `[B, C]` floats, where `config.problem_type` does not.
    """
    if config.num_labels == 1 or config.problem_type == "regression":
        return "absolute"
    several = config.problem_type is None and labels is not None and labels.is_floating_point()
    if several or config.problem_type == "multi_label_classification":
        return "sum"
    return "class_1" if config.num_labels == 2 else "label"


def _value(logits: torch.Tensor, labels: torch.Tensor | None, target: str) -> torch.Tensor:
    """`t` of each sequence, `[B]`."""
    if target == "class_1":
        return towards_class_1(logits)
    if target != "label":
        return logits.sum(dim=1)
    predicted = logits.argmax(dim=1)
    labels = predicted if labels is None else torch.where(labels < 0, predicted, labels)
    own = nn.functional.one_hot(labels, logits.shape[1]).bool()
    return logits[own] - logits.masked_fill(own, -torch.inf).logsumexp(dim=1)


def towards_class_1(logits: torch.Tensor) -> torch.Tensor:
    """`z_1 - z_0` of each sequence, `[B]`."""
    return logits[:, 1] - logits[:, 0]


def gradient_x_input(model: nn.Module, batch: dict[str, torch.Tensor], value: Value = towards_class_1) -> torch.Tensor:
    """Signed gradient times input, `sum_d e_jd * dt / de_jd`, `[B, L]` float32.

    `e_j` is the word embedding of token `j`, and `value` computes `t` from the logits. Which tokens are removed counts
    as a constant. `batch`: the inputs of the model without labels.
    """
    with frozen(model):
        embeddings = word_embeddings(model, batch)
        return (embeddings.float() * embedding_gradient(model, batch, embeddings, value)).sum(-1)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Allows gradients in the block, but not of parameters: their activations are then not stored."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.inference_mode(False), torch.enable_grad():
        for parameter in parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)


def word_embeddings(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The word embeddings of a batch, `[B, L, D]`: those in it, or the model's."""
    given = batch.get("inputs_embeds")
    return (model.get_input_embeddings()(batch["input_ids"]) if given is None else given).detach()


def embedding_gradient(
    model: nn.Module, batch: dict[str, torch.Tensor], embeddings: torch.Tensor, value: Value = towards_class_1
) -> torch.Tensor:
    """The gradient of each sequence's `value` at its word embeddings, `[B, L, D]` float32."""
    embeddings = embeddings.clone().requires_grad_()
    # Copies: a tensor made in inference mode cannot be stored for a backward pass.
    logits = _logits(model, {name: values.clone() for name, values in batch.items()}, embeddings).float()
    (gradient,) = torch.autograd.grad(value(logits).sum(), embeddings)
    return gradient.float()


def _logits(model: nn.Module, batch: dict[str, torch.Tensor], embeddings: torch.Tensor) -> torch.Tensor:
    """The logits `[B, C]` of a batch whose word embeddings are `embeddings`, `[B, L, D]`."""
    if model.config.model_type == "ltp":
        others = {name: values for name, values in batch.items() if name not in ("input_ids", "inputs_embeds")}
        return model(inputs_embeds=embeddings, **others).logits
    # Other models also need the ids: those of type gpt2 or llama find the last token before the padding by them.
    hook = model.get_input_embeddings().register_forward_hook(lambda *_: embeddings)
    try:
        return model(**batch).logits
    finally:
        hook.remove()
