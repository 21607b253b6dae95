"""Chooses the code that computes local attention, and calls it.

The library's setting `attn_implementation` names one of three; `None` leaves the choice to the device.

- `"eager"`: tile by tile ([`attention_tiles`]). Fast on a CPU, and the only one that returns attention weights.
- `"sdpa"`: all blocks of a batch as one dense masked attention ([`attention_banded`]). Few kernels to launch on a GPU.
- `"flex_attention"`: one fused kernel over the packed row ([`attention_flex`]). Least computation and memory on a GPU.
"""

from __future__ import annotations

import functools
import importlib.util

import torch

from .attention_banded import BandedPlan, banded_plan
from .attention_flex import MIN_HEAD_DIM, FlexPlan, flex_plan
from .attention_tile_plan import tile_plan
from .attention_tiles import TilePlan, tiled_attention
from .packed_sequence import PackedSequence

IMPLEMENTATIONS = ("eager", "sdpa", "flex_attention")
# Packed tokens from which FlexAttention is expected to be faster on a GPU. An estimate, not measured.
MIN_TOKENS_FOR_FLEX = 8192


def choose_implementation(
    requested: str | None,
    device: torch.device,
    num_tokens: int,
    head_dim: int,
    *,
    dropout: float = 0.0,
    importance_gradient: bool = False,
    output_attentions: bool = False,
    gradient: bool = False,
) -> str:
    """
    One of `IMPLEMENTATIONS`, for the attention of one layer over `num_tokens` packed tokens.

    Args:
        requested: `config._attn_implementation`; `None` if the user set nothing.
        dropout: of attention weights. FlexAttention has no dropout, and `"sdpa"` replaces it.
        importance_gradient: whether the importance must be differentiable. With FlexAttention it is not.
        output_attentions: whether attention weights are returned. Only `"eager"` can.
        gradient: whether there may be a backward pass. FlexAttention has none on a CPU.
    """
    if output_attentions or requested == "eager":
        return "eager"
    flex_is_possible = not dropout and not importance_gradient
    if device.type == "cpu":
        flex_is_possible = flex_is_possible and not gradient
    else:
        flex_is_possible = flex_is_possible and head_dim >= MIN_HEAD_DIM and _has_compiler()
    if requested is None:
        if device.type != "cuda":
            return "eager"
        flex_is_possible = flex_is_possible and num_tokens >= MIN_TOKENS_FOR_FLEX
    return "flex_attention" if requested != "sdpa" and flex_is_possible else "sdpa"


@functools.cache
def _has_compiler() -> bool:
    """Whether Triton is installed, which compiles FlexAttention for a GPU."""
    return importlib.util.find_spec("triton") is not None


def local_attention_plan(
    implementation: str, packed: PackedSequence, half_window: int
) -> TilePlan | BandedPlan | FlexPlan:
    """What one of `IMPLEMENTATIONS` needs to compute the local attention of all alive tokens."""
    plans = {"eager": tile_plan, "sdpa": banded_plan, "flex_attention": flex_plan}
    return plans[implementation](packed, half_window)


def local_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: TilePlan | BandedPlan | FlexPlan,
    *,
    dropout: float = 0.0,
    with_importance: bool = False,
    importance_gradient: bool = False,
    overwrite_query: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """
    Local attention and importance by any plan. [`tiled_attention`] documents the arguments and results.

    A `FlexPlan` ignores `dropout` and `importance_gradient` (`choose_implementation` never chooses it with them); only
    a `TilePlan` uses `overwrite_query`.
    """
    if isinstance(plan, FlexPlan):
        return plan.attend(query, key, value, with_importance=with_importance)
    settings = {
        "dropout": dropout, "with_importance": with_importance, "importance_gradient": importance_gradient,
    }  # fmt: skip
    if isinstance(plan, BandedPlan):
        return plan.attend(query, key, value, **settings)
    return tiled_attention(query, key, value, plan, overwrite_query=overwrite_query, **settings)
