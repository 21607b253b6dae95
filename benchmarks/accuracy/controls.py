"""What the controls need beside the project's commands: random scores, and numbers with which they meet a budget.

All numbers are chosen on validation functions, without their labels.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from ltp_pipeline.data.batches import sorted_batches
from ltp_pipeline.training.starts import PruningStage
from transformer_revised.models.ltp.flops_ltp import unpruned_flops
from transformer_revised.models.ltp.packed_sequence import PackedSequence
from transformer_revised.models.ltp.prune_modules import PRUNERS, AbsoluteThresholdPruner
from transformer_revised.models.ltp.pruning_budget import lowest_relative_flops, measure_relative_flops

if TYPE_CHECKING:
    from ltp_pipeline.comparison import Candidate
    from transformer_revised import LTPConfig, LTPForSequenceClassification

SHORTEST = 8  # tokens to which functions are cut at the least
TRIALS = 12  # numbers that a search tries, beside the lowest and the highest
TOLERANCE = 0.005  # of relative FLOPs, as `meet_target` has it
# Kind of row -> its mode and the name of its number
NUMBERS = {"fixed": ("threshold", "token_threshold"), "topk": ("topk", "token_keep_rate")}
# Mode -> the numbers with which most and fewest tokens stay
RANGES = {"threshold": (1e-5, 1.0), "topk": (0.999, 0.01)}


class RandomPruner(AbsoluteThresholdPruner):
    """Scores are random numbers from 0 to 1, the same tokens again with another number in every layer and pass."""

    def scores(self, importance: torch.Tensor, packed: PackedSequence, num_heads: int) -> torch.Tensor:
        """`[N]` float32, whatever the importance."""
        return torch.rand_like(importance)


def with_random_scores(model: LTPForSequenceClassification) -> LTPForSequenceClassification:
    """Makes all layers of a model with learned thresholds remove random tokens. The parameters stay the same."""
    for pruner in model.pruners():
        pruner.__class__ = RandomPruner  # it has no field of its own, so that optimizer and checkpoints see no change
    return model


class RandomStage(PruningStage):
    """A stage of run_code_metrics.py whose model removes random tokens."""

    def load(self, dtype: str):
        model, tokenizer = super().load(dtype)
        return with_random_scores(model), tokenizer


def lowest_budget(config: LTPConfig, lengths: np.ndarray, device: torch.device, first_layer: bool = False) -> float:
    """The lowest budget that learned pruning can meet on functions of these lengths, rounded up to a hundredth.

    `first_layer`: whether the first layer prunes; otherwise the second is the first that does.
    """
    floor = lowest_relative_flops(config, _packed(lengths), 0 if first_layer else 1, device)
    return math.ceil(100 * floor) / 100


def number_for_budget(candidate: Candidate, mode: str, budget: float) -> float:
    """The `token_threshold` or `token_keep_rate` of `mode` with which the model executes `budget` relative FLOPs.

    The nearest that is possible: topk removes nothing in the first three layers. The candidate's pruners are replaced.
    """
    config, name = candidate.model.config, dict(NUMBERS.values())[mode]
    config.prune_mode = mode

    def at(number: float) -> float:
        setattr(config, name, number)
        replace_pruners(candidate.model)
        with torch.no_grad():
            return measure_relative_flops(candidate.model, candidate.batches)

    return bisected(at, budget, *RANGES[mode])


def bisected(at: Callable[[float], float], wanted: float, least: float, most: float) -> float:
    """The number at which `at` is nearest to `wanted`, if `at` falls from `least` to `most`: by bisection."""
    tried = {most: at(most)}
    if tried[most] > wanted:
        return most
    low, high = least, most
    for _ in range(TRIALS):
        number = (low + high) / 2
        tried[number] = at(number)
        if abs(tried[number] - wanted) <= TOLERANCE:
            break
        low, high = (number, high) if tried[number] > wanted else (low, number)
    return min(tried, key=lambda number: abs(tried[number] - wanted))


def equal_length(candidate: Candidate, budget: float) -> int:
    """The length, in tokens, after which functions are cut so that an unpruned model spends `budget`.

    `candidate`: an unpruned model and functions; its length is the longest possible.
    """
    lengths = np.asarray(candidate.tokens["length"])
    whole = flops_of_lengths(candidate, lengths).sum()
    possible = range(SHORTEST, int(lengths.max()))

    def spent(length: int) -> float:
        return flops_of_lengths(candidate, np.minimum(lengths, length)).sum() / whole

    return max(SHORTEST, SHORTEST + bisect_right(possible, budget, key=spent) - 1)


def flops_of_lengths(candidate: Candidate, lengths: np.ndarray) -> np.ndarray:
    """The FLOPs of an unpruned model for sequences of these lengths, `[W]`."""
    model, flops = candidate.model, np.zeros(len(lengths), dtype=np.int64)
    own = [unpruned_flops(model.config, packed, device=model.device) for packed in _packed(lengths)]
    flops[np.concatenate(sorted_batches(lengths))] = np.concatenate(own)
    return flops


def _packed(lengths: np.ndarray) -> Iterator[PackedSequence]:
    """Sequences of these lengths in the batches of an evaluation: on a GPU, FLOPs depend on the longest of a batch."""
    for batch in sorted_batches(lengths):
        own = torch.from_numpy(lengths[batch])
        mask = torch.arange(int(own.max()))[None] < own[:, None]
        yield PackedSequence.from_masks(mask.long(), None)


def replace_pruners(model: LTPForSequenceClassification) -> None:
    """Gives every layer a new pruner of the mode in the configuration."""
    for number, layer in enumerate(model.longformer.encoder.layer):
        layer.attention.self.pruner = PRUNERS[model.config.prune_mode](model.config, number).to(model.device)
