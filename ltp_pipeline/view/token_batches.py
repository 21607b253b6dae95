"""Computes something for each function in batches of similar length, which several processes share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import torch

from ltp_pipeline.base.out_of_memory import out_of_memory_names
from ltp_pipeline.base.processes import is_main, process_count, process_index, split_by_weight
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.data.batches import sorted_batches
from ltp_pipeline.view.encode import FunctionTokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Result = TypeVar("Result")


def in_batches(
    compute: Callable[[list[FunctionTokens]], list[Result]],
    functions: list[FunctionTokens],
    flags: tuple[str, ...],
    batch_size: int | None = None,
    max_tokens: int | None = None,
    description: str = "",
) -> Iterator[tuple[int, Result]]:
    """Calls `compute` on batches of functions of similar length, with a progress bar.

    Several processes share the batches, so that each has about the same number of tokens, and each process yields the
    results of its batches. The batches, and so the results, do not depend on the number of processes.

    Args:
        compute: from the functions of a batch to a result for each.
        flags: what limits the memory of a batch. Raises OutOfMemory, which names them.
        batch_size, max_tokens: maximum functions and tokens in a batch; see `sorted_batches`.

    Yields `(index in functions, result)`, the longest functions first.
    """
    batches = sorted_batches([len(function) for function in functions], max_tokens=max_tokens, size=batch_size)
    tokens = [sum(len(functions[i]) for i in batch) for batch in batches]
    own = split_by_weight(tokens, process_count())[process_index()]
    total = sum(tokens[number] for number in own)
    with progress_bar(
        total=total, seconds=30, desc=description, unit="tok", unit_scale=True, disable=not is_main()
    ) as bar:
        for number in own:
            with out_of_memory_names(*flags):
                results = compute([functions[i] for i in batches[number]])
            yield from zip(batches[number], results, strict=True)
            bar.update(tokens[number])


def padded(functions: list[FunctionTokens], model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The functions as one batch on the device of the model: `input_ids` and `attention_mask`, `[B, L]` each, and
    `token_type_ids` if functions have them and the model has more than one type.
    """
    shape = (len(functions), max(map(len, functions)))
    batch = {
        "input_ids": torch.full(shape, model.config.pad_token_id),
        "attention_mask": torch.zeros(shape, dtype=torch.long),
    }
    types = [function.token_type_ids for function in functions]
    if any(own is not None for own in types) and model.config.type_vocab_size > 1:
        batch["token_type_ids"] = torch.zeros(shape, dtype=torch.long)
    for row, function in enumerate(functions):
        batch["input_ids"][row, : len(function)] = torch.from_numpy(function.input_ids)
        batch["attention_mask"][row, : len(function)] = 1
        if "token_type_ids" in batch and types[row] is not None:
            batch["token_type_ids"][row, : len(function)] = torch.from_numpy(types[row])
    return {name: tensor.to(model.device) for name, tensor in batch.items()}
