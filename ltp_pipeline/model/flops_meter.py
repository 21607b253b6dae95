"""Counts the FLOPs of forward passes, and how many tokens each layer keeps.

The counts include the multiply-adds of matrix products and attention pairs, 2 FLOPs each, on real tokens. Padding is
never computed and never counted. `relative_flops` are the executed FLOPs divided by those of the same model without
pruning. For `full_relative_flops` the divisor is the papers' baseline: a Longformer that computes every real token in
every layer and, like the library's, applies `key_global` and `value_global` to every token.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from transformer_revised.models.ltp.batch_tokens import attention_mask_of, named_inputs
from transformer_revised.models.ltp.flops_ltp import executed_flops, layer_counts, unpruned_flops
from transformer_revised.models.ltp.packed_sequence import PackedSequence


class FlopsMeter:
    """Counts what an LTP sequence classifier computes in evaluation mode, from its outputs.

    The model can be called in every way: with arguments by position or by name, with `inputs_embeds`, with or without
    masks, for a tuple. The meter is a context manager: at the end of the block it detaches from the model.

    ```python
    >>> with FlopsMeter(model) as meter:
    ...     model(**batch)
    >>> meter.pop()["relative_flops"]
    ```

    Attributes:
        last: `[B, 4 + L]` int64, what the last forward pass computed, one row for each function: its tokens, the
            executed FLOPs, those without pruning, those of the papers' baseline, and for each layer the tokens in the
            feed-forward part. `summary` turns such rows into figures.

    Raises ValueError for an LTP model that is not a sequence classifier: it has another head and other global tokens.
    """

    def __init__(self, model: torch.nn.Module):
        # Imported here to keep --help fast.
        from transformer_revised import LTPForSequenceClassification
        from transformer_revised.models.ltp.modeling_ltp import LTPPreTrainedModel

        if isinstance(model, LTPPreTrainedModel) and not isinstance(model, LTPForSequenceClassification):
            raise ValueError(f"FlopsMeter counts the FLOPs of sequence classifiers, not of {type(model).__name__}")
        self.config = model.config
        self.last = np.zeros((0, 4 + self.config.num_hidden_layers), dtype=np.int64)
        self._wants_tuple = False
        self._handles = [
            model.register_forward_pre_hook(self._ask_for_names, with_kwargs=True),
            model.register_forward_hook(self._record, with_kwargs=True),
        ]
        self._reset()

    def __enter__(self) -> FlopsMeter:
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()

    def pop(self) -> dict[str, Any]:
        """Returns the figures of all forward passes since the last call, see `summary`.

        Raises RuntimeError if there was no forward pass in evaluation mode.
        """
        if not self._functions:
            raise RuntimeError("no forward pass in evaluation mode was recorded")
        result = _figures(self._total, self._functions)
        self._reset()
        return result

    def _reset(self) -> None:
        self._functions = 0
        self._total = np.zeros(4 + self.config.num_hidden_layers, dtype=np.int64)

    def _ask_for_names(self, module, args, kwargs) -> tuple[tuple, dict[str, Any]] | None:
        """Makes the model return an output with names, from which it can count, if the caller wants a tuple."""
        given = kwargs.get("return_dict")
        self._wants_tuple = not module.training and not (self.config.return_dict if given is None else given)
        return (args, {**kwargs, "return_dict": True}) if self._wants_tuple else None

    def _record(self, module, args, kwargs, output) -> Any:
        if module.training:
            return None
        layers = layer_counts(output)
        inputs = named_inputs(module, args, kwargs)
        mask, global_mask = attention_mask_of(inputs), inputs.get("global_attention_mask")
        packed = PackedSequence.from_masks(mask.cpu(), None if global_mask is None else global_mask.cpu())
        self.last = np.column_stack(
            [
                packed.lengths,
                executed_flops(self.config, layers),
                unpruned_flops(self.config, packed, device=mask.device),
                unpruned_flops(self.config, packed, full=True),
                *(layer.kept for layer in layers),
            ]
        )
        self._functions += len(self.last)
        self._total += self.last.sum(axis=0)
        return output.to_tuple() if self._wants_tuple else None


def summary(counts: np.ndarray) -> dict[str, Any]:
    """Returns the figures of N functions from their rows of `FlopsMeter.last`, `[N, 4 + L]` int64, in any order.

    These are `relative_flops`, `full_relative_flops`, `gflops_per_function` (executed), `functions`, `tokens`, and
    `tokens_kept_per_layer`: the mean number of tokens of a function in each layer's feed-forward part. In the last
    layer it is 1, because only the first token is read there.
    """
    return _figures(counts.sum(axis=0), len(counts))


def _figures(total: np.ndarray, functions: int) -> dict[str, Any]:
    tokens, executed, unpruned, full, *kept = total.tolist()
    return {
        "relative_flops": executed / unpruned,
        "full_relative_flops": executed / full,
        "gflops_per_function": executed / functions / 1e9,
        "tokens_kept_per_layer": [round(tokens_kept / functions, 2) for tokens_kept in kept],
        "functions": functions,
        "tokens": tokens,
    }
