"""Chooses the code that computes local attention, and calls it.

The library's setting `attn_implementation` names one of two; `None` leaves the choice to the device.

- `"eager"`: tile by tile ([`attention_tiles`]). Faster on a CPU, and the only one that returns attention weights.
- `"sdpa"`: all blocks of a batch as one dense masked attention ([`attention_banded`]). Faster on a GPU, because
  it launches few kernels.
"""

from __future__ import annotations

import numpy as np
import torch

from .attention_banded import BandedPlan, banded_attention, banded_pairs, banded_plan
from .attention_tile_plan import tile_plan
from .attention_tiles import TilePlan, tiled_attention
from .packed_sequence import PackedSequence
from .workspace import Workspace

IMPLEMENTATIONS = ("eager", "sdpa")


def choose_implementation(requested: str | None, device: torch.device, output_attentions: bool = False) -> str:
    """One of `IMPLEMENTATIONS`.

    Args:
        requested: `config._attn_implementation`; `None` if the user set nothing.
        output_attentions: whether attention weights are returned. Only `"eager"` can.
    """
    if output_attentions:
        return "eager"
    return requested or ("sdpa" if device.type == "cuda" else "eager")


def local_attention_plan(implementation: str, packed: PackedSequence, half_window: int) -> TilePlan | BandedPlan:
    """The plan with which `implementation` computes the local attention of all alive tokens."""
    return tile_plan(packed, half_window) if implementation == "eager" else banded_plan(packed, half_window)


def local_attention_pairs(implementation: str, packed: PackedSequence, half_window: int) -> np.ndarray:
    """The query-key pairs that `implementation` computes for each sequence, `[B]` int64."""
    return tile_plan(packed, half_window).pairs if implementation == "eager" else banded_pairs(packed, half_window)


def local_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: TilePlan | BandedPlan,
    *,
    scale: float = 1.0,
    dropout: float = 0.0,
    with_importance: bool = False,
    importance_gradient: bool = False,
    overwrite_query: bool = False,
    workspace: Workspace | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Local attention and importance by either plan. [`tiled_attention`] documents the arguments and the results.

    Only a `TilePlan` uses `overwrite_query` and `workspace`. Only a `BandedPlan` takes a `scale` of the scores; for a
    `TilePlan` the query is scaled before.
    """
    settings = {
        "dropout": dropout, "with_importance": with_importance, "importance_gradient": importance_gradient,
    }  # fmt: skip
    if isinstance(plan, BandedPlan):
        return banded_attention(query, key, value, plan, scale=scale, **settings)
    return tiled_attention(query, key, value, plan, overwrite_query=overwrite_query, workspace=workspace, **settings)
