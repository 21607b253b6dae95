"""The trainer whose evaluation also counts compute, and comes out the same however many processes share it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import find_batch_size, recursively_apply
from transformers import EvalPrediction
from transformers.trainer_utils import PredictionOutput

from ltp_pipeline.model.flops_meter import FlopsMeter, summary
from ltp_pipeline.model.window_logits import best_windows, functions_of, summed_windows
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
        self._functions: np.ndarray | None = None  # of the windows that are evaluated
        super().__init__(
            model,
            *args,
            compute_metrics=None if compute_metrics is None else self._all_metrics,
            preprocess_logits_for_metrics=self._logits_and_counts,
            **kwargs,
        )

    def evaluate(self, eval_dataset: Any = None, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The Trainer's; a function read in several windows counts once, by the one that scores it highest."""
        self._functions = functions_of(self.eval_dataset if eval_dataset is None else eval_dataset)
        return super().evaluate(eval_dataset, *args, **kwargs)

    def predict(self, test_dataset: Any, *args: Any, **kwargs: Any) -> PredictionOutput:
        """The Trainer's, with logits `[N, C]` as `predictions`; of a function's windows those that score highest."""
        self._functions = functions_of(test_dataset)
        output = super().predict(test_dataset, *args, **kwargs)
        logits = output.predictions if self._meter is None else output.predictions[0]
        if self._functions is None:
            return output._replace(predictions=logits)
        best = best_windows(logits, self._functions)
        return output._replace(predictions=logits[best], label_ids=output.label_ids[best])

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
        logits, counts = (evaluated.predictions, None) if self._meter is None else evaluated.predictions
        labels = evaluated.label_ids
        if self._functions is not None:
            best = best_windows(logits, self._functions)
            logits, labels = logits[best], labels[best]
            counts = None if counts is None else summed_windows(counts, self._functions)
        metrics = self._classification_metrics(EvalPrediction(logits, labels))
        return metrics if counts is None else metrics | summary(counts)


def _filled_up(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """`[B, ...]` with its last row repeated, to `[size, ...]`."""
    return torch.cat([tensor, tensor[-1:].expand(size - len(tensor), *tensor.shape[1:])])
