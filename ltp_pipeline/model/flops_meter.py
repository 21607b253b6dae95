"""Compute accounting: the FLOPs a forward pass executed, and what the same input costs without pruning.

Counted are the multiply-adds of matrix products and attention pairs, 2 FLOPs each, on real tokens: padding is never
computed and never counted. `relative_flops` compares with the same model, executed by this project, when nothing is
pruned; `full_relative_flops` with a Longformer that computes every real token in every layer, and applies `key_global`
and `value_global` to every token, as the library's does (without its padding).
"""

from __future__ import annotations

import numpy as np
import torch

from transformer_revised.models.ltp.flops_ltp import executed_flops, layer_counts, unpruned_flops
from transformer_revised.models.ltp.packed_sequence import PackedSequence


class FlopsMeter:
    """
    Counts what an LTP sequence classifier computes in evaluation mode, from its outputs.

    `last` has what the last forward pass computed, `[B, 4 + L]` int64, a row for each function: its tokens, the FLOPs
    executed, those without pruning, those of the papers' baseline, and the tokens of each layer's feed-forward part.
    `summary` makes figures of such rows, `pop` of all forward passes.

    ```python
    >>> meter = FlopsMeter(model)
    >>> model(**batch)
    >>> meter.pop()["relative_flops"]
    ```
    """

    def __init__(self, model: torch.nn.Module):
        self.config = model.config
        self.last = np.zeros((0, 4 + self.config.num_hidden_layers), dtype=np.int64)
        self._handle = model.register_forward_hook(self._record, with_kwargs=True)
        self._reset()

    def _reset(self) -> None:
        self._functions = 0
        self._total = np.zeros(4 + self.config.num_hidden_layers, dtype=np.int64)

    def _record(self, module, args, kwargs, output) -> None:
        if module.training:
            return
        layers = layer_counts(output)
        source = kwargs["input_ids"] if kwargs.get("input_ids") is not None else kwargs["inputs_embeds"]
        mask = kwargs.get("attention_mask")
        mask = torch.ones(source.shape[:2], dtype=torch.long) if mask is None else mask.cpu()
        global_mask = kwargs.get("global_attention_mask")
        packed = PackedSequence.from_masks(mask, None if global_mask is None else global_mask.cpu())
        self.last = np.column_stack(
            [
                packed.lengths,
                executed_flops(self.config, layers),
                unpruned_flops(self.config, packed, device=source.device),
                unpruned_flops(self.config, packed, full=True),
                *(layer.kept for layer in layers),
            ]
        )
        self._functions += len(self.last)
        self._total += self.last.sum(axis=0)

    def pop(self) -> dict:
        """
        What was computed since the last call, as `summary` gives it, and a fresh start.

        Raises:
            RuntimeError: nothing was computed in evaluation mode.
        """
        if not self._functions:
            raise RuntimeError("no forward pass in evaluation mode was recorded")
        result = _figures(self._total, self._functions)
        self._reset()
        return result

    def close(self) -> None:
        """Detaches from the model."""
        self._handle.remove()


def summary(counts: np.ndarray) -> dict:
    """
    Figures of the functions whose rows of `FlopsMeter.last` are in `counts`, `[N, 4 + L]` int64, in any order.

    Returns `relative_flops`, `full_relative_flops`, `gflops_per_function` (executed), `functions`, `tokens`, and
    `tokens_kept_per_layer`, the mean number of tokens of a function that each layer's feed-forward part computed (1 in
    the last: only the first token is read there).
    """
    return _figures(counts.sum(axis=0), len(counts))


def _figures(total: np.ndarray, functions: int) -> dict:
    tokens, executed, unpruned, full, *kept = total.tolist()
    return {
        "relative_flops": executed / unpruned,
        "full_relative_flops": executed / full,
        "gflops_per_function": executed / functions / 1e9,
        "tokens_kept_per_layer": [round(tokens_kept / functions, 2) for tokens_kept in kept],
        "functions": functions,
        "tokens": tokens,
    }
