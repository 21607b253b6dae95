"""Runs the model on token ids: probabilities, and what the passes computed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

import numpy as np
import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.out_of_memory import out_of_memory_names
from ltp_pipeline.data.batches import DEFAULT_MAX_TOKENS, sorted_batches
from ltp_pipeline.model.flops_meter import FlopsMeter
from ltp_pipeline.model.precision import chosen_dtype, default_device, dtype_name
from ltp_pipeline.model.weights import load_weights
from ltp_pipeline.scan.detection.checkpoint import FLAG
from ltp_pipeline.task.metrics import positive_scores, sigmoid
from ltp_pipeline.view.encode import FunctionTokens
from ltp_pipeline.view.token_batches import padded

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

BATCH_FLAGS = ("--max_tokens_per_batch", "--max_length")  # what limits the memory of a batch
NO_OFFSETS = np.zeros((0, 2), dtype=np.int32)


class Predictor:
    """The model of a checkpoint on its device, in evaluation mode."""

    def __init__(self, path: str, config: PreTrainedConfig, dtype: str, device: str, max_tokens: int | None):
        """Loads the weights. Raises UserError if they cannot be used.

        `max_tokens`: in a batch; None: the default of an evaluation.
        """
        from transformers import AutoModelForSequenceClassification

        import transformer_revised  # noqa: F401  makes "ltp" known

        self.is_ltp = config.model_type == "ltp"
        self.prunes = self.is_ltp and config.prune_mode is not None
        self._path, self._max_tokens = path, max_tokens or DEFAULT_MAX_TOKENS
        with notes_on_stderr():
            self.model: PreTrainedModel = load_weights(
                AutoModelForSequenceClassification, path, config, flag=FLAG, dtype=dtype
            )
        self.model.eval().to(device)

    def batches(self, lengths: Sequence[int], share: int = 1) -> list[list[int]]:
        """Indices of the rows of each batch, the longest first. `share`: a batch holds 1 / `share` of the tokens."""
        return sorted_batches(lengths, max_tokens=max(1, self._max_tokens // share), padded=not self.is_ltp)

    def run(self, rows: Sequence[np.ndarray], one_label: bool) -> tuple[np.ndarray, np.ndarray]:
        """Reads a batch of token ids, `[n]` each.

        `one_label`: a finding is class 1 of two classes; False: it is one of several labels.
        Returns the probability of each label that a finding may have, `[B, labels]` float64, and int64 `[B, 2]`: the
        executed FLOPs and those of the model without pruning (0 for a model that is not of type ltp).
        Raises UserError if a logit is not a finite number: such a text must not pass for one without a finding.
        """
        tokens = [FunctionTokens(row, NO_OFFSETS, NO_OFFSETS) for row in rows]
        with out_of_memory_names(*BATCH_FLAGS), torch.inference_mode():
            batch = padded(tokens, self.model)
            if self.is_ltp:
                with FlopsMeter(self.model) as meter:
                    logits, counts = self.model(**batch).logits, meter.last[:, 1:3]
            else:
                logits, counts = self.model(**batch).logits, np.zeros((len(rows), 2), dtype=np.int64)
            values = logits.float().cpu().numpy()
        if not np.isfinite(values).all():
            raise UserError(
                f"{FLAG} {self._path}: computes no finite numbers; expected another checkpoint, or --dtype float32"
            )
        return positive_scores(values)[:, None] if one_label else sigmoid(values), counts


def chosen_device(name: str | None) -> str:
    """The device of `--device`, such as "cuda:0"; None: the default. Raises UserError if there is no such device."""
    try:
        device = torch.device(name) if name is not None else default_device()
        torch.empty(0, device=device)
        return str(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: {str(error).splitlines()[0]}") from error


def chosen_type(name: str, device: str) -> str:
    """The name of the dtype of `--dtype`."""
    return dtype_name(chosen_dtype(name, None, device))


@contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Notes about weights go to standard error, beside the progress bar; the library shows no bar of its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if shown:
            logging.enable_progress_bar()
