"""Which code computes the attention: the library's `attn_implementation`, and what is best where none is given.

- `"eager"`: blocks laid out by the host, one after the other ([`sparse_attention`]). Quick on a CPU, and the only one
  that gives weights out.
- `"sdpa"`: all blocks at once, as one dense attention ([`banded_attention`]). Few steps for a GPU to start.
- `"flex_attention"`: one fused kernel over the packed row ([`flex_attention_ltp`]). Least work and memory.
"""

from __future__ import annotations

import functools
import importlib.util

import torch

from . import attention_local
from .attention_banded import BandedPlan, banded_plan
from .attention_flex import MIN_HEAD_DIM, FlexPlan, flex_plan
from .attention_tiles import attention_plan
from .packed_sequence import PackedSequence

IMPLEMENTATIONS = ("eager", "sdpa", "flex_attention")
# From this many packed tokens on a compiled kernel is expected to be worth what calling it costs. Not measured.
MIN_TOKENS_FOR_FLEX = 8192


def implementation_for(
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
    One of `IMPLEMENTATIONS` for a layer's attention over `num_tokens` packed tokens.

    Args:
        requested: `config._attn_implementation`; `None` where the user asked for none.
        dropout: of attention weights, which FlexAttention has not: `"sdpa"` takes its place.
        importance_gradient: not with FlexAttention either.
        output_attentions: whether the weights are asked for, which only `"eager"` gives.
        gradient: whether there may be a backward pass, which FlexAttention has not on a CPU.
    """
    if output_attentions or requested == "eager":
        return "eager"
    flexible = not dropout and not importance_gradient
    if device.type == "cpu":
        flexible = flexible and not gradient
    else:
        flexible = flexible and head_dim >= MIN_HEAD_DIM and _has_compiler()
    if requested is None:
        if device.type != "cuda":
            return "eager"
        flexible = flexible and num_tokens >= MIN_TOKENS_FOR_FLEX
    return "flex_attention" if requested != "sdpa" and flexible else "sdpa"


@functools.cache
def _has_compiler() -> bool:
    """Whether the kernels that a GPU needs can be compiled."""
    return importlib.util.find_spec("triton") is not None


def attention_plan_for(implementation: str, packed: PackedSequence, half_window: int):
    """Local attention over all alive tokens, laid out for one of `IMPLEMENTATIONS`."""
    plans = {"eager": attention_plan, "sdpa": banded_plan, "flex_attention": flex_plan}
    return plans[implementation](packed, half_window)


def local_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan,
    *,
    dropout: float = 0.0,
    with_importance: bool = False,
    importance_gradient: bool = False,
    overwrite_query: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """
    [`attention_local.local_attention`] by any plan; a [`FlexPlan`] has no dropout and no importance gradient, and of
    `overwrite_query` only an [`AttentionPlan`](attention_plan.AttentionPlan) makes use.
    """
    if isinstance(plan, FlexPlan):
        return plan.attend(query, key, value, with_importance=with_importance)
    settings = {
        "dropout": dropout, "with_importance": with_importance, "importance_gradient": importance_gradient,
    }  # fmt: skip
    if isinstance(plan, BandedPlan):
        return plan.attend(query, key, value, **settings)
    return attention_local.local_attention(query, key, value, plan, overwrite_query=overwrite_query, **settings)
