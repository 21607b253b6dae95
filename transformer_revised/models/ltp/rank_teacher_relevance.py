"""The teachers "relevance" and "magnitude": what decides, by the gradients of the unpruned classifier.

These are integrated gradients (Sundararajan et al. 2017) at the word embeddings. "relevance" averages them over
neighbouring tokens, and ranks high what speaks for the finding. "magnitude" takes their absolute value at each token.
docs/model.md has the definition. The same gradients score the tokens and lines that are shown to readers.
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
STEPS = 2  # points on the line from zero to the embeddings at which gradients are computed
NEIGHBOURS = 4  # tokens on each side of a token over which its relevance is averaged
FLOOR = 1e-5  # of a token's share of the relevance, so that it has a logarithm
TINY = 1e-30  # of a sum that is 0, so that 0 is not divided by 0
Value = Callable[[torch.Tensor], torch.Tensor]


def relevance(model: nn.Module, inputs: dict[str, torch.Tensor], target: str | None = None) -> torch.Tensor:
    """Each token's share of the relevance in its sequence, plus `FLOOR`; `[B, L]` float32, 0 at padding.

    The relevance is the positive part of the mean of [`integrated_gradients`] over a token and `NEIGHBOURS` on each
    side. Which `t` is meant says `target`.

    Args:
        model: a sequence classifier that removes no token, in evaluation mode.
        inputs: those of its `forward`; the labels are needed for some targets.
        target: `class_1`: `t = z_1 - z_0` of the logits `z`. `label`: `t = z_y - log sum_(c != y) exp(z_c)` for the
            label `y`, or for the predicted class of a sequence without one. `sum`: `t = sum_c z_c`. `absolute`: the
            same `t`, and the mean of absolute values. None: `default_target`.
    """
    target, real = target or default_target(model.config, inputs.get("labels")), attention_mask_of(inputs) > 0
    scores = _gradients(model, inputs, target)
    scores = neighbourhood_means(scores.abs() if target == "absolute" else scores, real).clamp(min=0)
    return _shares(scores, real)


def magnitude(model: nn.Module, inputs: dict[str, torch.Tensor], target: str | None = None) -> torch.Tensor:
    """Each token's share of the absolute [`integrated_gradients`] in its sequence, plus `FLOOR`; `[B, L]` float32.

    So a token ranks high that changes the prediction, whichever way. Neighbours do not count. It is 0 at padding. The
    arguments are those of [`relevance`].
    """
    target = target or default_target(model.config, inputs.get("labels"))
    return _shares(_gradients(model, inputs, target).abs(), attention_mask_of(inputs) > 0)


def _gradients(model: nn.Module, inputs: dict[str, torch.Tensor], target: str) -> torch.Tensor:
    """The integrated gradients of `t`, `[B, L]`."""
    own = {name: inputs[name] for name in INPUTS if inputs.get(name) is not None}
    return integrated_gradients(model, own, STEPS, lambda logits: _value(logits, inputs.get("labels"), target))


def _shares(scores: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    scores = scores.masked_fill(~real, 0.0)
    return (scores / scores.sum(dim=1, keepdim=True).clamp(min=TINY) + FLOOR).masked_fill(~real, 0.0)


def neighbourhood_means(scores: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """The mean over each token and its `NEIGHBOURS` real tokens on each side, `[B, L]`; 0 where `real` is False."""
    both = torch.stack([scores.masked_fill(~real, 0.0), real.to(scores.dtype)]).flatten(0, 1)[:, None]
    # A mean of zeros and ones is the share of real tokens. (Autocast would compute a convolution in bfloat16.)
    means = nn.functional.avg_pool1d(both, 2 * NEIGHBOURS + 1, stride=1, padding=NEIGHBOURS)[:, 0]
    sums, counts = means.unflatten(0, (2, len(scores)))
    return (sums / counts.clamp(min=TINY)).masked_fill(~real, 0.0)


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
    """Signed gradient (Simonyan et al. 2014) times input (Shrikumar et al. 2016), `sum_d e_jd * dt / de_jd`, `[B, L]`.

    `e_j` is the word embedding of token `j`, and `value` computes `t` from the logits. Which tokens are removed counts
    as a constant. `batch`: the inputs of the model without labels.
    """
    with frozen(model):
        embeddings = word_embeddings(model, batch)
        return (embeddings.float() * embedding_gradient(model, batch, embeddings, value)).sum(-1)


def integrated_gradients(
    model: nn.Module, batch: dict[str, torch.Tensor], steps: int, value: Value = towards_class_1
) -> torch.Tensor:
    """`sum_d e_jd * mean of dt / de_jd` along the line from zero to the embeddings, `[B, L]` float32.

    The mean is over the midpoints of `steps` equal parts of the line (Sundararajan et al. 2017). At the embeddings
    themselves a classifier that is sure of its prediction has small gradients that say little.
    """
    with frozen(model):
        embeddings = word_embeddings(model, batch)
        total = torch.zeros(embeddings.shape, device=embeddings.device)
        for step in range(steps):
            total += embedding_gradient(model, batch, embeddings * ((step + 0.5) / steps), value)
        return (embeddings.float() * total).sum(-1) / steps


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
