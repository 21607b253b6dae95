"""The trainer whose evaluation also counts compute, and comes out the same however many processes share it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import find_batch_size, recursively_apply
from transformers import EvalPrediction
from transformers.trainer_utils import PredictionOutput

from ltp_pipeline.compute import FlopsMeter, summary
from transformer_revised import LTPTrainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class MeasuredTrainer(LTPTrainer):
    """[`LTPTrainer`] for classifiers. Its metrics are those of `compute_metrics` and, for an LTP model, of `summary`.

    So that the processes' last batches are of one size, the library repeats items in them, and drops what was
    predicted for those. Here they are not computed at all: they would count in the loss.

    Args:
        compute_metrics: from logits `[N, C]` (whatever else the model returns) and labels `[N]` to named metrics.
        args, kwargs: the Trainer's other arguments.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        *args: Any,
        compute_metrics: Callable[[EvalPrediction], dict[str, Any]] | None = None,
        **kwargs: Any,
    ):
        self._meter = FlopsMeter(model) if model.config.model_type == "ltp" else None
        self._classification_metrics = compute_metrics
        super().__init__(
            model,
            *args,
            compute_metrics=None if compute_metrics is None else self._all_metrics,
            preprocess_logits_for_metrics=self._logits_and_counts,
            **kwargs,
        )

    def predict(self, *args: Any, **kwargs: Any) -> PredictionOutput:
        """The Trainer's, with logits `[N, C]` as `predictions`."""
        output = super().predict(*args, **kwargs)
        return output if self._meter is None else output._replace(predictions=output.predictions[0])

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """The Trainer's, on those of the batch's items that are not repeated ones."""
        size = find_batch_size(inputs)
        own = self._own_items(size)
        if own == size:
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        inputs = recursively_apply(lambda tensor: tensor[:own], dict(inputs))
        loss, *outputs = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        return loss, *(recursively_apply(_filled_up, output, size) for output in outputs)

    def _own_items(self, size: int) -> int:
        """How many items, from the first on, of the batch of `size` that is being evaluated are not repeated ones."""
        state = self.accelerator.gradient_state
        if not state.end_of_dataloader or state.remainder <= 0:
            return size
        first = self.args.process_index * size
        return min(max(state.remainder - first, 1), size)  # without any, one is computed all the same, and dropped

    def _logits_and_counts(self, logits: Any, labels: Any) -> Any:
        """`[B, C]` and the meter's `[B, 4 + L]`, which the library then gathers from all processes."""
        logits = logits[0] if isinstance(logits, tuple) else logits
        if self._meter is None:
            return logits
        return logits, _filled_up(torch.from_numpy(self._meter.last), len(logits)).to(logits.device)

    def _all_metrics(self, evaluated: EvalPrediction) -> dict[str, Any]:
        if self._meter is None:
            return self._classification_metrics(evaluated)
        logits, counts = evaluated.predictions
        return self._classification_metrics(EvalPrediction(logits, evaluated.label_ids)) | summary(counts)


def _filled_up(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """`[B, ...]` with its last row repeated, to `[size, ...]`."""
    return torch.cat([tensor, tensor[-1:].expand(size - len(tensor), *tensor.shape[1:])])
