"""Makes a model meet a FLOPs budget: a penalty while thresholds are learned, then one exact shift of all thresholds.

The controller adds `coefficient * r` to the loss. `r` are the relative FLOPs expected of the soft masks
([`expected_relative_flops`]), and `coefficient = GAIN * (measured - wanted)`. This is the gradient of a quadratic
penalty on the excess (Nocedal and Wright, Numerical Optimization, section 17.1). The measured FLOPs count tokens above
the threshold (hard pruning), not the soft masks. `wanted` falls linearly from the start to the target in the first
`RAMP` of the steps, as in CoFi (Xia et al., ACL 2022). The remaining difference is removed by adding one number to all
learned thresholds; a bisection on the executed FLOPs finds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers.trainer_callback import ExportableState, TrainerCallback

from .attention_dispatch import choose_implementation
from .batch_tokens import attention_mask_of, global_tokens
from .flops_ltp import executed_flops, expected_relative_flops, layer_counts, lowest_flops, unpruned_flops
from .modeling_ltp import LTPPreTrainedModel, in_evaluation_mode
from .packed_sequence import PackedSequence
from .prune_modules import AbsoluteThresholdPruner

GAIN = 10.0
RAMP = 0.6
MOMENTUM = 0.5  # weight of the earlier steps in the measured FLOPs
MAX_TRIALS = 40  # shifts that `meet_target` tries


class UnreachableTargetError(ValueError):
    """No thresholds meet the budget."""


class ComputeBudget(TrainerCallback, ExportableState):
    """The controller of soft training.

    Args:
        target: the budget: relative FLOPs at the end, above 0, at most 1.
        start: relative FLOPs at the first step.
    """

    def __init__(self, target: float, start: float = 1.0):
        self.target, self.start = target, start
        self.measured = start
        self._pending: torch.Tensor | None = None

    def state(self) -> dict:
        return {"args": {"target": self.target, "start": self.start}, "attributes": {"measured": self.measured}}

    def on_train_begin(self, args, state, control, **kwargs):
        resumed = state.stateful_callbacks.get(type(self).__name__, {})
        self.measured = resumed.get("attributes", {}).get("measured", self.measured)

    def on_step_end(self, args, state, control, **kwargs):
        if self._pending is None:
            return
        if args.world_size > 1:
            torch.distributed.all_reduce(self._pending)
        flops, tokens = self._pending.tolist()
        self.measured = MOMENTUM * self.measured + (1 - MOMENTUM) * flops / tokens
        self._pending = None

    def wanted(self, progress: float) -> float:
        """Relative FLOPs wanted after this share (0 to 1) of the steps."""
        return self.start + (self.target - self.start) * min(1.0, progress / RAMP)

    def penalty(
        self,
        config,
        attention_mask: torch.Tensor,
        output,
        thresholds: list,
        progress: float,
        global_attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`coefficient * r` of a batch, `[]`. `r` is the mean over the sequences, weighted by their tokens.

        Args:
            attention_mask: `[B, L]`.
            output: the output of a forward pass in soft training with `output_pruning=True`.
            thresholds: the threshold of each layer, `[]`.
            progress: share of the steps made, 0 to 1.
            global_attention_mask: `[B, L]` (default: the first token of each sequence is global).
        """
        is_global = global_tokens(attention_mask, global_attention_mask)
        implementation = choose_implementation(config._attn_implementation, attention_mask.device)

        def relative_flops(masks) -> torch.Tensor:
            survival = _survival(masks, attention_mask, is_global)
            return expected_relative_flops(config, attention_mask, survival, is_global, implementation) * lengths

        masks, scores = output["soft_masks"], output["pruning_scores"]
        hard = [None if s is None else (s >= t).float() for s, t in zip(scores, thresholds)]
        lengths = (attention_mask > 0).sum(dim=1).float()
        expected = relative_flops(masks).sum()
        with torch.no_grad():
            pending = torch.stack([relative_flops(hard).sum(), lengths.sum()])
            self._pending = pending if self._pending is None else self._pending + pending
        return GAIN * (self.measured - self.wanted(progress)) * expected / lengths.sum()


def _survival(masks: tuple, attention_mask: torch.Tensor, is_global: torch.Tensor) -> list[torch.Tensor]:
    """For each layer the product of the masks so far, `[B, L]`; 1 for global tokens."""
    stays = is_global | (attention_mask <= 0)
    alive, survival = torch.ones_like(stays, dtype=torch.float32), []
    for mask in masks:
        if mask is not None:
            alive = alive * torch.where(stays, 1.0, mask)
        survival.append(alive)
    return survival


@torch.no_grad()
def measure_relative_flops(model: nn.Module, batches: Iterable[dict[str, torch.Tensor]]) -> float:
    """FLOPs that a sequence classifier executes on `batches`, divided by those without pruning.

    `batches`: arguments of `forward` by name.
    """
    executed, unpruned = 0, 0
    with in_evaluation_mode(model):
        for batch in batches:
            # `forward`, not `model(...)`: hooks that count the FLOPs of evaluations must not count these passes.
            output = model.forward(**{**batch, "return_dict": True})
            executed += int(executed_flops(model.config, layer_counts(output)).sum())
            device = attention_mask_of(batch).device
            unpruned += int(unpruned_flops(model.config, _packed(batch), device=device).sum())
    return executed / unpruned


def _packed(batch: dict[str, torch.Tensor]) -> PackedSequence:
    """The tokens of a batch, on the CPU."""
    mask, global_mask = attention_mask_of(batch), batch.get("global_attention_mask")
    return PackedSequence.from_masks(mask.cpu(), None if global_mask is None else global_mask.cpu())


def lowest_relative_flops(
    config, batches: Iterable[PackedSequence], first_layer: int, device: torch.device | None = None
) -> float:
    """The relative FLOPs that remain if all tokens but the global ones are removed in layer `first_layer`.

    `device`: the model's, see [`unpruned_flops`].
    """
    executed, unpruned = 0, 0
    for packed in batches:
        executed += int(lowest_flops(config, packed, first_layer, device).sum())
        unpruned += int(unpruned_flops(config, packed, device=device).sum())
    return executed / unpruned


@contextmanager
def restored_if_interrupted(parameters: list[nn.Parameter]) -> Iterator[None]:
    """Gives the parameters their values back if the block ends with an exception, Ctrl-C included."""
    original = [p.detach().clone() for p in parameters]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for parameter, value in zip(parameters, original):
                parameter.copy_(value)
        raise


def active_offsets(model: LTPPreTrainedModel) -> list[nn.Parameter]:
    """The learned offsets of the layers that can remove tokens, in layer order."""
    pruners = [pruner for pruner in model.pruners() if isinstance(pruner, AbsoluteThresholdPruner)]
    return [pruner.learned_offset for pruner in pruners if pruner.is_active]


def _first_active_layer(model: LTPPreTrainedModel) -> int:
    return next(i for i, pruner in enumerate(model.pruners()) if pruner is not None and pruner.is_active)


@torch.no_grad()
def meet_target(
    model: nn.Module, batches: list[dict[str, torch.Tensor]], target: float, tolerance: float = 0.005
) -> float:
    """Adds one number to all learned thresholds, so that the model executes `target` relative FLOPs on `batches`.

    Returns:
        The relative FLOPs reached, the nearest to `target` of all shifts tried. They can differ from `target`: if many
        tokens have the same score, a small shift removes all of them.

    Raises UnreachableTargetError if no shift removes enough: layers before the first threshold compute every token.
    Raises ValueError if there are no batches.
    """
    parameters = active_offsets(model)
    if not parameters:
        raise UnreachableTargetError("the model has no learned thresholds; expected prune mode absolute_threshold")
    if not batches:
        raise ValueError("there are no batches to measure FLOPs on; expected at least one function")
    first, device = _first_active_layer(model), attention_mask_of(batches[0]).device
    floor = lowest_relative_flops(model.config, map(_packed, batches), first, device)
    if target < floor - tolerance:
        raise UnreachableTargetError(
            f"{target:g} cannot be reached: {floor:.3f} of the FLOPs remain if all tokens except the global ones are "
            f"removed as early as possible; expected at least {math.ceil(100 * floor) / 100:.2f}"
            + (", or less with prune_first_layer" if first else "")
        )
    original = [p.clone() for p in parameters]

    def at(shift: float) -> float:
        for parameter, value in zip(parameters, original):
            parameter.copy_(value + shift)
        return measure_relative_flops(model, batches)

    with restored_if_interrupted(parameters):
        return _shifted_to(target, tolerance, at)


def _shifted_to(target: float, tolerance: float, at: Callable[[float], float]) -> float:
    """Calls `at(shift)`, which shifts the thresholds and measures relative FLOPs, until they are near `target`.

    Returns the relative FLOPs of the last call, the nearest to `target` of all.
    """
    shift, step, nearest = 0.0, 0.1, (math.inf, 0.0)  # nearest: difference to the target, shift
    low = high = None  # (shift, difference to the target): one that removes too little, one that removes too much
    for _ in range(MAX_TRIALS):
        reached = at(shift)
        nearest = min(nearest, (abs(reached - target), shift))
        if nearest[0] <= tolerance:
            return reached
        if reached > target:
            low = shift, reached - target
        else:
            high = shift, target - reached
        if low is None or high is None:
            shift, step = (shift + step if high is None else shift - step), 2 * step
        else:  # halfway between linear interpolation and bisection
            share = min(0.9, max(0.1, (low[1] / (low[1] + high[1]) + 0.5) / 2))
            shift = low[0] + share * (high[0] - low[0])
    return at(nearest[1])
