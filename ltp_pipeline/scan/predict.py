"""Runs the model on token ids: probabilities of units, and what the passes computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.out_of_memory import out_of_memory_names
from ltp_pipeline.data.batches import DEFAULT_MAX_TOKENS, sorted_batches
from ltp_pipeline.model.flops_meter import FlopsMeter
from ltp_pipeline.model.precision import chosen_dtype, default_device, dtype_name
from ltp_pipeline.model.weights import load_weights
from ltp_pipeline.scan.checkpoint import FLAG, Checkpoint
from ltp_pipeline.scan.settings import ScanSettings
from ltp_pipeline.task.metrics import positive_scores, sigmoid
from ltp_pipeline.task.tasks import CODE
from ltp_pipeline.view.encode import FunctionTokens
from ltp_pipeline.view.token_batches import padded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BATCH_FLAGS = ("--max_tokens_per_batch", "--max_length")  # what limits the memory of a batch
NO_OFFSETS = np.zeros((0, 2), dtype=np.int32)


class Predictor:
    """The model of a checkpoint on its device, in evaluation mode."""

    def __init__(self, checkpoint: Checkpoint, settings: ScanSettings):
        """Loads the weights. Raises UserError if they, `--device` or `--dtype` cannot be used."""
        from transformers import AutoModelForSequenceClassification

        import transformer_revised  # noqa: F401  makes "ltp" known

        device = chosen_device(settings.device)
        self.dtype = chosen_dtype(settings.dtype, None, device)
        self.is_ltp = checkpoint.config.model_type == "ltp"
        self._task, self.num_labels = checkpoint.task, len(checkpoint.labels)
        self._max_tokens = settings.max_tokens_per_batch or DEFAULT_MAX_TOKENS
        self.model: PreTrainedModel = load_weights(
            AutoModelForSequenceClassification,
            checkpoint.path,
            checkpoint.config,
            flag=FLAG,
            dtype=dtype_name(self.dtype),
        )
        self.model.eval().to(device)

    def batches(self, lengths: Sequence[int], share: int = 1) -> list[list[int]]:
        """Indices of the rows of each batch, the longest first. `share`: a batch holds 1 / `share` of the tokens."""
        return sorted_batches(lengths, max_tokens=max(1, self._max_tokens // share), padded=not self.is_ltp)

    def run(self, rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Reads a batch of token ids, `[n]` each.

        Returns the probability of each label that a finding may have, `[B, labels]` float64, and int64 `[B, 2]`: the
        executed FLOPs and those of the model without pruning (0 for a model that is not of type ltp).
        """
        tokens = [FunctionTokens(row, NO_OFFSETS, NO_OFFSETS) for row in rows]
        with out_of_memory_names(*BATCH_FLAGS), torch.inference_mode():
            batch = padded(tokens, self.model)
            if not self.is_ltp:
                return self._probabilities(self.model(**batch).logits), np.zeros((len(rows), 2), dtype=np.int64)
            with FlopsMeter(self.model) as meter:
                return self._probabilities(self.model(**batch).logits), meter.last[:, 1:3]

    def _probabilities(self, logits: torch.Tensor) -> np.ndarray:
        values = logits.float().cpu().numpy()
        return positive_scores(values)[:, None] if self._task is CODE else sigmoid(values)


def chosen_device(name: str | None) -> torch.device:
    """The device of `--device`; None: the default. Raises UserError if there is no such device."""
    try:
        device = torch.device(name) if name is not None else default_device()
        torch.empty(0, device=device)
        return device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: {str(error).splitlines()[0]}") from error
