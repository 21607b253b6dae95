"""Scores the tokens of functions by how much each speaks for class 1, or by what the model attended to or kept.

docs/line_scores.md defines the methods and compares them. The default is the best of them there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    Batch = dict[str, torch.Tensor]

DEFAULT = "gradient_x_input"
TINY = 1e-30  # of a sum that is 0, so that 0 is not divided by 0
STEPS = 20  # points on the path of integrated gradients


def token_scores(model: PreTrainedModel, batch: Batch, method: str = DEFAULT) -> torch.Tensor:
    """The score of each token, higher for tokens that speak for class 1; `[B, L]` float32, 0 at padding.

    Scores are divided by the sum of their absolute values in the sequence. So those of several functions can be
    compared: the gradients of a function that the model is sure of are small.

    Args:
        model: a classifier of two classes in evaluation mode; an LTP model for attention and what was pruned.
        batch: `input_ids` and `attention_mask`, `[B, L]` each, maybe `token_type_ids`.
        method: a name in `METHODS`.
    """
    scores = METHODS[method](model, batch).float().masked_fill(batch["attention_mask"] == 0, 0.0)
    return scores / scores.abs().sum(1, keepdim=True).clamp(min=TINY)


def gradient_x_input(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Signed gradient times input, `sum_d e_jd * d(z_1 - z_0) / d e_jd`, `[B, L]` float32.

    `e_j` is the word embedding of token `j`, and `z` are the logits. Which tokens are removed counts as a constant.
    """
    with _frozen(model):
        embeddings = model.get_input_embeddings()(batch["input_ids"]).detach()
        return (embeddings.float() * _gradient(model, batch, embeddings)).sum(-1)


def integrated_gradients(model: PreTrainedModel, batch: Batch, steps: int = STEPS) -> torch.Tensor:
    """`sum_d e_jd * mean of d(z_1 - z_0) / d e_jd` along the line from zero to the embeddings, `[B, L]` float32.

    The mean is over the midpoints of `steps` equal parts of the line (Sundararajan et al. 2017).
    """
    with _frozen(model):
        embeddings = model.get_input_embeddings()(batch["input_ids"]).detach()
        total = torch.zeros(embeddings.shape, device=embeddings.device)
        for step in range(steps):
            total += _gradient(model, batch, embeddings * ((step + 0.5) / steps))
        return (embeddings.float() * total).sum(-1) / steps


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
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


def _gradient(model: PreTrainedModel, batch: Batch, embeddings: torch.Tensor) -> torch.Tensor:
    """The gradient of `z_1 - z_0` of each sequence at its word embeddings, `[B, L, D]` float32."""
    embeddings = embeddings.clone().requires_grad_()
    # Copies: a tensor made in inference mode cannot be stored for a backward pass.
    logits = _logits(model, {name: values.clone() for name, values in batch.items()}, embeddings).float()
    (gradient,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), embeddings)
    return gradient.float()


def _logits(model: PreTrainedModel, batch: Batch, embeddings: torch.Tensor) -> torch.Tensor:
    """The logits `[B, C]` of a batch whose word embeddings are `embeddings`, `[B, L, D]`."""
    if model.config.model_type == "ltp":
        others = {name: values for name, values in batch.items() if name != "input_ids"}
        return model(inputs_embeds=embeddings, **others).logits
    # Other models also need the ids: those of type gpt2 or llama find the last token before the padding by them.
    hook = model.get_input_embeddings().register_forward_hook(lambda *_: embeddings)
    try:
        return model(**batch).logits
    finally:
        hook.remove()


@torch.no_grad()
def layers_survived(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """The number of layers that keep each token, `[B, L]`."""
    return torch.stack(model(**batch, output_pruning=True).kept_tokens).sum(0)


@torch.no_grad()
def importance_by_layer(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """The score by which each layer decides, `[layers, B, L]`; 0 in layers that a token does not reach, or that do not
    prune.
    """
    scores = model(**batch, output_pruning=True).pruning_scores
    none = torch.zeros(batch["input_ids"].shape, device=batch["input_ids"].device)
    return torch.stack([none if layer is None else layer.float().nan_to_num(0.0) for layer in scores])


@torch.no_grad()
def attention_by_layer(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """The attention that each token receives from the global tokens (default: `<s>`) in each layer, summed over heads;
    `[layers, B, L]`, 0 in layers that a token does not reach.
    """
    received = []

    def note(attention: nn.Module, inputs: tuple) -> None:
        states, packed = inputs[:2]
        _, _, weights = attention.attend_globally(states, packed, packed.global_indices)
        received.append(packed.unpack(torch.cat([w.float().sum((0, 1)) for w in weights])))

    hooks = [layer.attention.self.register_forward_pre_hook(note) for layer in model.longformer.encoder.layer]
    try:
        model(**batch)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(received)


METHODS: dict[str, Callable[[PreTrainedModel, Batch], torch.Tensor]] = {
    "gradient_x_input": gradient_x_input,
    "absolute_gradient_x_input": lambda model, batch: gradient_x_input(model, batch).abs(),
    "integrated_gradients": integrated_gradients,
    "attention": lambda model, batch: attention_by_layer(model, batch)[-1],
    "attention_sum": lambda model, batch: attention_by_layer(model, batch).sum(0),
    "importance": lambda model, batch: importance_by_layer(model, batch).sum(0),
    "layers_survived": layers_survived,
}
# Methods that read what only an LTP model has, and those of them that need layers that prune
NEED_PRUNING = ("importance", "layers_survived")
NEED_LTP = ("attention", "attention_sum", *NEED_PRUNING)
