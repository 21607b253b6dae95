"""What a function costs by its length: dense attention, Longformer and LTP, from the formulas of `flops_ltp.py`."""

from __future__ import annotations

from functools import cache

LENGTHS = (128, 256, 512, 1024, 2048, 4096)
WINDOW = 512  # of allenai/longformer-base-4096
BUDGET = 0.3
DENSE, LONGFORMER, UNPRUNED, PRUNED, LOWEST = (
    "dense attention", "Longformer", "LTP, unpruned", f"LTP, budget {BUDGET}", "LTP, lowest budget"
)  # fmt: skip


@cache
def gflops_by_length() -> dict[str, tuple[float, ...]]:
    """GFLOPs of a classifier of base size on a CPU, for each of LENGTHS.

    DENSE: every token attends to every other, in every layer. LONGFORMER: local attention with WINDOW, every token in
    every layer. UNPRUNED: LTP computes only the first token in the last layer. PRUNED: the share BUDGET of it, which
    is what the budget means. LOWEST: all tokens leave in the second layer.
    """
    import numpy as np
    import torch

    from transformer_revised import LTPConfig
    from transformer_revised.models.ltp.flops_ltp import LayerCounts, executed_flops, lowest_flops, unpruned_flops
    from transformer_revised.models.ltp.packed_sequence import PackedSequence

    config = LTPConfig()
    layers = config.num_hidden_layers
    config.attention_window = [WINDOW] * layers
    found: dict[str, list[float]] = {name: [] for name in (DENSE, LONGFORMER, UNPRUNED, PRUNED, LOWEST)}
    for length in LENGTHS:
        packed = PackedSequence.from_masks(torch.ones(1, length, dtype=torch.long), None)
        tokens = np.array([length])
        dense = LayerCounts(entered=tokens, kept=tokens, pairs=tokens**2, global_queries=np.array([0]))
        unpruned = int(unpruned_flops(config, packed)[0])
        own = {DENSE: int(executed_flops(config, [dense] * layers)[0]), UNPRUNED: unpruned, PRUNED: BUDGET * unpruned}
        own |= {LONGFORMER: int(unpruned_flops(config, packed, full=True)[0])}
        own |= {LOWEST: int(lowest_flops(config, packed, 1)[0])}
        for name, flops in own.items():
            found[name].append(flops / 1e9)
    return {name: tuple(values) for name, values in found.items()}
