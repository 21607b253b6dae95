"""Finds thresholds with which an untrained LTP executes a given share of its FLOPs, and measures that share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model.flops_meter import FlopsMeter
from transformer_revised.models.ltp.packed_sequence import PackedSequence
from transformer_revised.models.ltp.prune_modules import TokenPruner

TOLERANCE = 0.01
SAMPLE = 16  # functions in the first search
SMALLEST_THRESHOLD = 1e-6  # a layer with a threshold of exactly 0 does not prune


@torch.no_grad()
def prune_to_budget(
    model: nn.Module, batches: Sequence[dict[str, torch.Tensor]], budget: float, tolerance: float = TOLERANCE
) -> list[float]:
    """Sets the thresholds of an LTP classifier so that it executes `budget` relative FLOPs on `batches`.

    Each layer removes the same share of the tokens that reach it: its threshold is that quantile of their scores. Then
    one common shift of all thresholds meets the budget, first on a few functions, then on all.

    Returns the thresholds, one a layer.
    Raises UserError if the budget cannot be met within `tolerance`.
    """
    from transformer_revised.models.ltp.pruning_budget import UnreachableTargetError, meet_target

    sample = _sample_functions(batches)
    _set_quantiles(model, sample, _share_to_remove(budget, model.config.num_hidden_layers))
    try:
        meet_target(model, [sample], budget, tolerance=tolerance / 4)
        reached = meet_target(model, list(batches), budget, tolerance=tolerance * 0.8)
    except UnreachableTargetError as error:
        raise UserError(f"--relative_flops {budget:g}: {error}") from error
    if abs(reached - budget) > tolerance:
        raise UserError(
            f"--relative_flops {budget:g}: the nearest share is {reached:.3f}, because too many tokens have "
            "almost the same score; expected another share or seed"
        )
    return [offset.item() for offset in model.learned_thresholds()]


@torch.no_grad()
def set_thresholds(model: nn.Module, thresholds: Sequence[float]) -> None:
    """Sets the threshold of each layer. The learned offset is the whole threshold, as its configured part is 0."""
    for offset, threshold in zip(model.learned_thresholds(), thresholds, strict=True):
        offset.fill_(threshold)


@torch.no_grad()
def measure_flops(model: nn.Module, batches: Sequence[dict[str, torch.Tensor]]) -> dict[str, float]:
    """Returns `relative_flops` and `flops`, what an LTP classifier executes on `batches`."""
    with FlopsMeter(model) as meter:
        for batch in batches:
            model(**batch)
    figures = meter.pop()
    return {
        "relative_flops": figures["relative_flops"],
        "flops": figures["gflops_per_function"] * figures["functions"] * 1e9,
    }


def _sample_functions(batches: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Returns one batch of `SAMPLE` functions at equal distances among all functions."""
    width = max(batch["input_ids"].shape[1] for batch in batches)
    padded = {
        name: torch.cat([nn.functional.pad(batch[name], (0, width - batch[name].shape[1])) for batch in batches])
        for name in batches[0]
    }
    count = len(padded["input_ids"])
    index = torch.linspace(0, count - 1, min(SAMPLE, count)).round().long()
    return {name: tensor[index.to(tensor.device)] for name, tensor in padded.items()}


def _share_to_remove(budget: float, layers: int) -> float:
    """The share that each layer removes, if FLOPs were proportional to the tokens of layers 0 to `layers - 2`."""
    low, high = 0.0, 1.0
    for _ in range(40):
        share = (low + high) / 2
        alive = sum((1 - share) ** layer for layer in range(layers - 1)) / (layers - 1)
        low, high = (share, high) if alive > budget else (low, share)
    return high


class _QuantilePruner(TokenPruner):
    """Removes a share of the tokens of a batch, and remembers the threshold that does so."""

    def __init__(self, share: float, normalization: str):
        super().__init__()
        self.share, self.normalization, self.threshold_found = share, normalization, 0.0

    @property
    def is_active(self) -> bool:
        return True

    def hard_mask(self, scores: torch.Tensor, packed: PackedSequence) -> torch.Tensor:
        local_scores = scores[~packed.is_global]
        self.threshold_found = torch.quantile(local_scores, self.share).item() if len(local_scores) else 0.0
        return (scores >= self.threshold_found) | packed.is_global


def _set_quantiles(model: nn.Module, batch: dict[str, torch.Tensor], share: float) -> None:
    """Sets thresholds that remove `share` of the tokens in each layer. The last layer scores no token."""
    attentions = [layer.attention.self for layer in model.longformer.encoder.layer]
    pruners = model.pruners()
    try:
        for attention in attentions:
            attention.pruner = _QuantilePruner(share, attention.pruner.normalization)
        model(**batch)
        thresholds = [max(attention.pruner.threshold_found, SMALLEST_THRESHOLD) for attention in attentions]
    finally:
        for attention, pruner in zip(attentions, pruners):
            attention.pruner = pruner
    set_thresholds(model, thresholds)
