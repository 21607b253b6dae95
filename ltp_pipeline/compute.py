"""Compute accounting: the FLOPs a forward pass executed, and what the same input costs without pruning.

Counted are the multiply-adds of matrix products and attention pairs, 2 FLOPs each, on real tokens: padding is never
computed and never counted. `relative_flops` compares with the same model, executed by this project, when nothing is
pruned; `full_relative_flops` with a Longformer that computes every real token in every layer, and applies `key_global`
and `value_global` to every token, as the library's does (without its padding).
"""

from __future__ import annotations

import numpy as np
import torch

from transformer_revised.models.ltp.flops_ltp import LayerCounts, executed_flops, unpruned_flops
from transformer_revised.models.ltp.packed_sequence import PackedSequence


class FlopsMeter:
    """
    Adds up what an LTP sequence classifier computes in evaluation mode, from its outputs.

    ```python
    >>> meter = FlopsMeter(model)
    >>> model(**batch)
    >>> meter.pop()["relative_flops"]
    ```
    """

    def __init__(self, model: torch.nn.Module):
        self.config = model.config
        self._handle = model.register_forward_hook(self._record, with_kwargs=True)
        self._reset()

    def _reset(self) -> None:
        self.functions = self.tokens = self.executed = self.unpruned = self.full = 0
        self.kept = np.zeros(self.config.num_hidden_layers)

    def _record(self, module, args, kwargs, output) -> None:
        if module.training:
            return
        lengths = [[t.cpu().numpy() for t in output[key]] for key in _COUNT_FIELDS]
        layers = [LayerCounts(*fields) for fields in zip(*lengths)]
        source = kwargs["input_ids"] if kwargs.get("input_ids") is not None else kwargs["inputs_embeds"]
        mask = kwargs.get("attention_mask")
        mask = torch.ones(source.shape[:2], dtype=torch.long) if mask is None else mask.cpu()
        global_mask = kwargs.get("global_attention_mask")
        packed = PackedSequence.from_masks(mask, None if global_mask is None else global_mask.cpu())
        self.functions += len(packed.lengths)
        self.tokens += int(packed.lengths.sum())
        self.executed += int(executed_flops(self.config, layers).sum())
        self.unpruned += int(unpruned_flops(self.config, packed).sum())
        self.full += int(unpruned_flops(self.config, packed, full=True).sum())
        self.kept += [layer.stayed.sum() for layer in layers]

    def pop(self) -> dict:
        """
        What was computed since the last call, and a fresh start: `relative_flops`, `full_relative_flops`,
        `gflops_per_function` (executed), `functions`, `tokens`, and `tokens_kept_per_layer`, the mean number of tokens
        of a function that each layer's feed-forward part computed (1 in the last: only the first token is read there).

        Raises:
            RuntimeError: nothing was computed in evaluation mode.
        """
        if not self.functions:
            raise RuntimeError("no forward pass in evaluation mode was recorded")
        result = {
            "relative_flops": self.executed / self.unpruned,
            "full_relative_flops": self.executed / self.full,
            "gflops_per_function": self.executed / self.functions / 1e9,
            "tokens_kept_per_layer": (self.kept / self.functions).round(2).tolist(),
            "functions": self.functions,
            "tokens": self.tokens,
        }
        self._reset()
        return result

    def close(self) -> None:
        """Detaches from the model."""
        self._handle.remove()


_COUNT_FIELDS = ("attention_sentence_lengths", "ffn_sentence_lengths", "attention_pairs", "global_lengths")
