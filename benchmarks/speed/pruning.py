"""Thresholds that make an untrained LTP execute a given share of its FLOPs: score quantiles, then a small search."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model.flops_meter import FlopsMeter
from transformer_revised.models.ltp.packed_sequence import PackedSequence
from transformer_revised.models.ltp.prune_modules import TokenPruner

TOLERANCE = 0.01
SAMPLE = 16  # functions of the first, cheap search


@torch.no_grad()
def prune_to(
    model: nn.Module, batches: Sequence[dict[str, torch.Tensor]], target: float, tolerance: float = TOLERANCE
) -> list[float]:
    """
    Sets the thresholds of an LTP classifier so that it executes `target` relative FLOPs on `batches`.

    Every layer drops the same share of the tokens that reach it: its threshold is that quantile of their scores. One
    common shift of all thresholds then takes up the difference, first on a few functions, then on all.

    Returns:
        The thresholds, one a layer.

    Raises:
        UserError: the target cannot be reached, or not to within `tolerance`.
    """
    from transformer_revised.models.ltp.pruning_budget import UnreachableTargetError, meet_target

    sample = _sample(batches)
    _set_quantiles(model, sample, _share_to_drop(target, model.config.num_hidden_layers))
    try:
        meet_target(model, [sample], target, tolerance=tolerance / 4)
        reached = meet_target(model, list(batches), target, tolerance=tolerance * 0.8)
    except UnreachableTargetError as error:
        raise UserError(f"--relative_flops {target:g}: {error}") from error
    if abs(reached - target) > tolerance:
        raise UserError(
            f"--relative_flops {target:g}: the nearest that thresholds give is {reached:.3f}: too many tokens have "
            "almost the same score; expected another target or seed"
        )
    return [offset.item() for offset in model.learned_thresholds()]


@torch.no_grad()
def set_thresholds(model: nn.Module, thresholds: Sequence[float]) -> None:
    for offset, threshold in zip(model.learned_thresholds(), thresholds, strict=True):
        offset.fill_(threshold)


def _sample(batches: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Functions spread over all of them."""
    width = max(batch["input_ids"].shape[1] for batch in batches)
    padded = {
        name: torch.cat([nn.functional.pad(batch[name], (0, width - batch[name].shape[1])) for batch in batches])
        for name in batches[0]
    }
    count = len(padded["input_ids"])
    index = torch.linspace(0, count - 1, min(SAMPLE, count)).round().long()
    return {name: tensor[index.to(tensor.device)] for name, tensor in padded.items()}


def _share_to_drop(target: float, layers: int) -> float:
    """The share each layer drops, if FLOPs were the number of tokens of layers 0 to `layers - 2`."""
    low, high = 0.0, 1.0
    for _ in range(40):
        share = (low + high) / 2
        left = sum((1 - share) ** layer for layer in range(layers - 1)) / (layers - 1)
        low, high = (share, high) if left > target else (low, share)
    return high


class _QuantilePruner(TokenPruner):
    """Drops a share of the tokens of a batch, and keeps the threshold that does it."""

    def __init__(self, share: float, normalization: str):
        super().__init__()
        self.share, self.normalization, self.found = share, normalization, 0.0

    @property
    def is_active(self) -> bool:
        return True

    def hard_mask(self, scores: torch.Tensor, packed: PackedSequence) -> torch.Tensor:
        usual = scores[~packed.is_global]
        self.found = torch.quantile(usual, self.share).item() if len(usual) else 0.0
        return (scores >= self.found) | packed.is_global


def _set_quantiles(model: nn.Module, batch: dict[str, torch.Tensor], share: float) -> None:
    attentions = [layer.attention.self for layer in model.longformer.encoder.layer]
    pruners = model.pruners()
    try:
        for attention in attentions:
            attention.pruner = _QuantilePruner(share, attention.pruner.normalization)
        model(**batch)
        # The last layer scores nothing: only the first token is read there. At 0 a layer would not prune at all.
        found = [max(attention.pruner.found, 1e-6) for attention in attentions]
    finally:
        for attention, pruner in zip(attentions, pruners):
            attention.pruner = pruner
    set_thresholds(model, found)


@torch.no_grad()
def executed(model: nn.Module, batches: Sequence[dict[str, torch.Tensor]]) -> dict[str, float]:
    """`relative_flops` and `flops` that an LTP classifier executes on `batches`."""
    meter = FlopsMeter(model)
    try:
        for batch in batches:
            model(**batch)
        figures = meter.pop()
    finally:
        meter.close()
    return {
        "relative_flops": figures["relative_flops"],
        "flops": figures["gflops_per_function"] * figures["functions"] * 1e9,
    }
