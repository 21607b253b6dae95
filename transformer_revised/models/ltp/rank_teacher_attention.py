"""The teacher "attention": what the global tokens attend to in the last layer of the unpruned model.

After ToP (Li et al., KDD 2023): the last layer shows best how much a token matters for the classification.
"""

from __future__ import annotations

import torch
from torch import nn

INPUTS = "input_ids", "inputs_embeds", "attention_mask", "global_attention_mask", "token_type_ids", "position_ids"


@torch.no_grad()
def attention(model: nn.Module, inputs: dict[str, torch.Tensor], target: str | None = None) -> torch.Tensor:
    """The attention that each token receives from the global tokens in the last layer, summed over heads.

    Args:
        model: any head on an [`LTPModel`] that removes no token, in evaluation mode.
        inputs: `input_ids` and so on, as for `LTPModel.forward`; others are ignored.
        target: not used.

    Returns `[B, L]` float32, 0 at padding and in a sequence without a global token.
    """
    last = model.longformer.encoder.layer[-1].attention.self
    noted = []
    hook = last.register_forward_pre_hook(lambda _, args: noted.append(args[:2]))
    try:
        model.longformer.encode(**{name: inputs[name] for name in INPUTS if name in inputs}, only_first_token=True)
    finally:
        hook.remove()
    ((hidden_states, packed),) = noted
    _, _, weights = last.attend_globally(hidden_states, packed, packed.global_indices)
    received = [w.float().sum(dim=(0, 1)) for w in weights]
    return packed.unpack(torch.cat(received) if received else torch.zeros(len(packed), device=hidden_states.device))
