"""Counts the FLOPs of a forward pass: executed, without pruning, and expected from soft masks.

The counts include matrix products and attention pairs, 2 FLOPs for each multiply-add, of real tokens. Padding is never
computed and never counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .attention_banded import MAX_QUERY_BLOCK, MIN_QUERY_BLOCK
from .attention_dispatch import choose_implementation, local_attention_pairs
from .attention_global import folded_keys, folding_is_cheaper
from .attention_tile_plan import QUERY_BLOCK, SHORT_SEQUENCE, first_token_plan
from .batch_tokens import global_tokens
from .packed_sequence import PackedSequence


@dataclass
class LayerCounts:
    """What one layer computed for each sequence, `[B]` int64 each; see [`LTPPruningFields`]."""

    entered: np.ndarray
    kept: np.ndarray
    pairs: np.ndarray
    global_queries: np.ndarray


def layer_counts(output) -> list[LayerCounts]:
    """What each layer computed in the forward pass that returned `output`, which has [`LTPPruningFields`]."""
    fields = ("attention_sentence_lengths", "ffn_sentence_lengths", "attention_pairs", "global_lengths")
    return [LayerCounts(*layer) for layer in zip(*([t.cpu().numpy() for t in output[name]] for name in fields))]


def layer_flops(config, counts: LayerCounts, fold: bool = True) -> np.ndarray:
    """FLOPs of one layer, `[B]` int64.

    Args:
        config: a Longformer-like configuration.
        fold: whether `key_global` and `value_global` may be folded into the global queries ([`global_attention`]) when
            that is cheaper; otherwise they are applied to every token.
    """
    D, H = config.hidden_size, config.num_attention_heads
    n, g = counts.entered, counts.global_queries
    projections = 6 * n * D * D if counts.pairs.any() else np.zeros_like(n)
    local = 4 * counts.pairs * D
    if fold and folding_is_cheaper(n, g, H, D):
        global_ = 6 * g * D * D + 4 * folded_keys(n) * g * H * D
    else:
        global_ = 2 * g * D * D + (4 * n * D * D + 4 * n * g * D if g.any() else np.zeros_like(n))
    rest = counts.kept * (2 * D * D + 4 * D * config.intermediate_size)
    return projections + local + global_ + rest


def executed_flops(config, layers: list[LayerCounts]) -> np.ndarray:
    """FLOPs of a forward pass with these counts, `[B]`, including the classification head."""
    return sum(layer_flops(config, layer) for layer in layers) + _head_flops(config)


def unpruned_flops(
    config, packed: PackedSequence, full: bool = False, device: torch.device | None = None
) -> np.ndarray:
    """FLOPs of a batch when nothing is pruned, `[B]`.

    Args:
        full: compute every token in every layer, as Longformer does. An LTP model computes only the first token in the
            last layer, and folds `key_global` and `value_global`.
        device: the model's device (default: that of `packed`). It decides the attention implementation, and so how
            many pairs are computed.
    """
    return _flops(config, [packed] * (config.num_hidden_layers + 1), device, full)


def lowest_flops(config, packed: PackedSequence, first_layer: int, device: torch.device | None = None) -> np.ndarray:
    """FLOPs of a batch when all tokens but the global ones are removed in layer `first_layer`, `[B]`.

    No thresholds give less. `device`: as in [`unpruned_flops`].
    """
    left = packed.keep(packed.is_global)[0]
    return _flops(config, [packed if i <= first_layer else left for i in range(config.num_hidden_layers + 1)], device)


def _flops(config, alive: list[PackedSequence], device: torch.device | None, full: bool = False) -> np.ndarray:
    """FLOPs of a batch, `[B]`. `alive`: the tokens that enter each layer, and those that the last layer keeps."""
    requested = "eager" if full else config._attn_implementation
    implementation = choose_implementation(requested, device or alive[0].sequence_of.device)
    total = np.zeros_like(alive[0].lengths)
    for i, window in enumerate(config.attention_window):
        packed, kept = alive[i], alive[i + 1].lengths
        if i == config.num_hidden_layers - 1 and not full and packed.has_all_first_tokens:
            pairs, kept = first_token_plan(packed, window // 2).pairs, np.ones_like(kept)
            num_global = np.array([start in own for start, own in zip(packed.offsets, packed.global_indices)])
        else:
            pairs = local_attention_pairs(implementation, packed, window // 2)
            num_global = packed.num_global
        counts = LayerCounts(packed.lengths, kept, pairs, num_global.astype(np.int64))
        total = total + layer_flops(config, counts, fold=not full)
    return total + _head_flops(config)


def _head_flops(config) -> int:
    return 2 * config.hidden_size * (config.hidden_size + config.num_labels)


def expected_relative_flops(
    config,
    attention_mask: torch.Tensor,
    alive: list[torch.Tensor],
    is_global: torch.Tensor | None = None,
    implementation: str = "eager",
) -> torch.Tensor:
    """Expected relative FLOPs of a sequence classifier that removes tokens with some probability; differentiable.

    The formula is that of `layer_flops` with expected counts, see `_expected_pairs`.

    Args:
        attention_mask: `[B, L]`, above 0 for real tokens.
        alive: for each layer, the probability that a token is alive after it, `[B, L]`; ignored at padding.
        is_global: `[B, L]` bool, the global tokens (default: the first real token of each sequence).
        implementation: computes local attention, one of `attention_dispatch.IMPLEMENTATIONS`.

    Returns `[B]` float32; 1 if nothing is removed.
    """
    real = (attention_mask > 0).float()
    num_global = (global_tokens(attention_mask) if is_global is None else is_global).sum(dim=1).float()
    after = [real * layer for layer in alive]
    pruned = _expected_flops(config, [real, *after[:-1]], after, num_global, implementation)
    return pruned / _expected_flops(config, [real] * len(alive), [real] * len(alive), num_global, implementation)


def _expected_flops(config, entered, kept, num_global, implementation) -> torch.Tensor:
    D, H = config.hidden_size, config.num_attention_heads
    rest = 2 * D * D + 4 * D * config.intermediate_size
    total = 0.0
    for i, window in enumerate(config.attention_window):
        n = entered[i].sum(dim=1)
        # The queries of the global tokens. The last layer computes only the first token's.
        queries = num_global.clamp(max=1) if i == config.num_hidden_layers - 1 else num_global
        total = total + queries * (6 * D * D + 4 * n * H * D)
        if i == config.num_hidden_layers - 1:
            return total + rest + _head_flops(config)
        pairs = _expected_pairs(implementation, entered[i], n, window // 2)
        total = total + 6 * n * D * D + 4 * pairs * D + rest * kept[i].sum(dim=1)


def _expected_pairs(implementation: str, entered: torch.Tensor, n: torch.Tensor, half_window: int) -> torch.Tensor:
    """Query-key pairs of local attention, `[B]`, from the probability that each token is there, `[B, L]`.

    Tiles compute each query with the keys in its window and half a block on either side; in a sequence of one block,
    with all keys. The padding of tiles is not counted. Banded attention computes each query with as many keys as there
    are in a block and a window, and 8 places for global tokens, but at most those of the batch's longest sequence.
    """
    if implementation == "eager":
        pairs = (entered * _window_sums(entered, half_window + QUERY_BLOCK // 2)).sum(dim=1)
        return torch.where(n <= SHORT_SEQUENCE, n * n, pairs)
    longest = n.max()
    most = min(max(half_window, MIN_QUERY_BLOCK), MAX_QUERY_BLOCK)
    block = longest.detach() / (longest.detach() / most).ceil().clamp(min=1)
    return n * torch.minimum(block + 2 * half_window + 8, longest)


def _window_sums(values: torch.Tensor, half_window: int) -> torch.Tensor:
    """For each column the sum over those at most `half_window` away: `[B, L]` to `[B, L]`."""
    length = values.shape[1]
    sums = torch.nn.functional.pad(values.cumsum(dim=1), (1, 0))
    column = torch.arange(length, device=values.device)
    return sums[:, (column + half_window + 1).clamp(max=length)] - sums[:, (column - half_window).clamp(min=0)]
