"""Stops a training whose loss, gradients, weights or predictions are NaN or infinite, and says for which rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import gather_object

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.files.file_formats import shortened
from ltp_pipeline.task.tasks import has_labels

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, Trainer

ADVICE = "use a smaller learning rate (--learning_rate, --lr_threshold), or --dtype float32, or correct these rows"


class NotFiniteError(UserError):
    """The model, or the training of it, computes NaN or infinite numbers."""


class UpdateCheck:
    """Checks one update (optimizer step) at a time, before it changes the weights.

    The losses stay on the device until the gradients are known. One number is then read back for each update. (The
    library's `logging_nan_inf_filter`, which this check replaces, reads two for each batch.)
    """

    def __init__(self):
        self.begin([])

    def begin(self, batches: list[dict[str, torch.Tensor]]) -> None:
        """A new update begins, of the given batches of this process."""
        self._batches, self._losses = batches, []

    def add(self, loss: torch.Tensor) -> None:
        """The loss of the next batch, `[]`."""
        self._losses.append(loss.detach())

    def finish(self, trainer: Trainer, gradient_norm: Any) -> None:
        """Raises NotFiniteError, in all processes, if a loss or the norm of the gradients is NaN or infinite.

        With float16 only the losses count: the scaling of the loss skips updates whose gradients overflow.
        """
        total = torch.stack(self._losses).sum()
        if trainer.accelerator.scaler is None and gradient_norm is not None:
            norm = getattr(gradient_norm, "full_tensor", lambda: gradient_norm)()  # sharded gradients
            total = total + torch.as_tensor(norm, device=total.device)
        if trainer.args.world_size > 1:
            total = trainer.accelerator.reduce(total, reduction="sum")
        if not math.isfinite(total.item()):
            self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        step, losses = trainer.state.global_step + 1, [loss.item() for loss in self._losses]
        bad = [i for i, loss in enumerate(losses) if not math.isfinite(loss)]
        rows = [
            row for i in bad or range(len(self._batches)) for row in rows_of(self._batches[i], trainer.train_dataset)
        ]
        found = {"bad": bool(bad), "losses": [losses[i] for i in bad], "rows": rows}
        everywhere = [found] if trainer.args.world_size == 1 else gather_object([found])
        # If a loss is not finite in any process, the rows of the others are not to blame.
        blamed = [each for each in everywhere if each["bad"]] or everywhere
        what = f"the loss is {blamed[0]['losses'][0]}" if blamed[0]["bad"] else "the gradients are NaN or infinite"
        weights = weights_not_finite(trainer.model)
        if weights:
            before = "the checkpoint to start from has" if step == 1 else f"step {step - 1} made"
            what += f", because {before} NaN or infinite weights ({weights})"
        rows = sorted({row for each in blamed for row in each["rows"]})
        named = f"; rows of the training data in this batch: {shortened(rows)}" if rows else ""
        raise NotFiniteError(
            f"training stopped at step {step}: the model computes no finite numbers ({what}){named}; {ADVICE}"
        )


def check_weights(model: PreTrainedModel, step: int) -> None:
    """Raises NotFiniteError if a weight of `model` is NaN or infinite after `step` updates."""
    names = weights_not_finite(model)
    if names:
        raise NotFiniteError(f"after step {step} weights are NaN or infinite ({names}); {ADVICE.partition(', or')[0]}")


def weights_not_finite(model: PreTrainedModel) -> str:
    """The names of the parameters that have NaN or infinite values, for a message; "" if there is none."""
    parameters = [(name, p.detach()) for name, p in model.named_parameters() if p.is_floating_point()]
    # One number for each parameter, all read from the device at once
    finite = torch.stack([p.isfinite().all() for _, p in parameters]).tolist()
    names = [name for (name, _), good in zip(parameters, finite) if not good]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def check_evaluation(
    logits: np.ndarray, labels: np.ndarray | None, rows: np.ndarray | None, loss: float | None = None
) -> None:
    """Raises NotFiniteError if a prediction, or the loss of items that have labels, is NaN or infinite.

    `logits`: `[W, C]`. `rows`: for each its row in the file, from 1, `[W]`; None: not known.
    """
    finite = np.isfinite(logits).reshape(len(logits), -1).all(axis=1)
    if not finite.all():
        named = "" if rows is None else f" for rows {shortened(sorted(set(rows[~finite].tolist())))} of the evaluation"
        raise NotFiniteError(
            f"the model computes no finite numbers{named}; expected another checkpoint, or a smaller learning rate"
        )
    if loss is not None and not math.isfinite(loss) and has_labels(labels):
        raise NotFiniteError(f"the loss of the evaluation is {loss}; expected labels that are finite numbers")


def rows_of(batch: dict[str, torch.Tensor], dataset: Dataset) -> list[int]:
    """Rows in the file, from 1, of the items in a batch of `dataset`; of equal items all rows.

    Batches have no row numbers: an item is found by its tokens and its label. Returns [] for data that has no rows in
    a file.
    """
    if not {"row", "length", "input_ids", "labels"} <= set(getattr(dataset, "column_names", None) or ()):
        return []
    ids, masks, labels = (batch[name].cpu() for name in ("input_ids", "attention_mask", "labels"))
    wanted: dict[tuple[int, ...], list[np.ndarray]] = {}
    for item, mask, label in zip(ids, masks, labels.float().numpy()):
        wanted.setdefault(tuple(item[mask > 0].tolist()), []).append(label)
    lengths = {len(tokens) for tokens in wanted}
    likely = np.flatnonzero(np.isin(dataset["length"], list(lengths)))
    found = []
    for item in dataset.select(likely):
        for label in wanted.get(tuple(item["input_ids"]), []):
            if np.array_equal(np.asarray(item["labels"], dtype=np.float32), label, equal_nan=True):
                found.append(item["row"] + 1)
    return sorted(set(found))
