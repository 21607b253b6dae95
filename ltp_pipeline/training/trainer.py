"""The trainer of both scripts: MeasuredTrainer with batches by tokens, and with a way back into an interrupted run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.data_loader import DataLoaderShard
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, EvalPrediction, TrainerCallback
from transformers.integrations import TensorBoardCallback

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.batches import EvalTokenBatches, TrainTokenBatches, sorted_batches
from ltp_pipeline.training.measured_trainer import MeasuredTrainer
from ltp_pipeline.training.pruning_log import KeptShares, LayersOnTensorBoard, pruning_thresholds
from ltp_pipeline.training.resume import best_checkpoint

if TYPE_CHECKING:
    from datasets import Dataset


class StageTrainer(MeasuredTrainer):
    """[`MeasuredTrainer`] that also reads `max_tokens_per_batch` of its arguments, and resumes to the last bit."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.add_callback(_ExactResume())
        self.max_tokens = getattr(self.args, "max_tokens_per_batch", None)
        self.max_eval_tokens = getattr(self.args, "max_eval_tokens_per_batch", None)
        self._sum_of_losses = np.zeros(2)  # over the functions evaluated, and how many
        prunes = getattr(self.model.config, "prune_mode", None) is not None
        self._kept = KeptShares(self.model) if prunes and self.train_dataset is not None else None
        if self.pop_callback(TensorBoardCallback) is not None:
            self.add_callback(LayersOnTensorBoard())

    def _get_dataloader(self, dataset, description, batch_size, sampler_fn=None, is_training=False, **kwargs):
        max_tokens = self.max_tokens if is_training else self.max_eval_tokens
        if max_tokens is None:
            return super()._get_dataloader(
                dataset, description, batch_size, sampler_fn=sampler_fn, is_training=is_training, **kwargs
            )
        batches = (TrainTokenBatches if is_training else EvalTokenBatches)(
            _lengths(dataset),
            max_tokens,
            padded=self.model.config.model_type != "ltp",
            processes=self.args.world_size,
            rank=self.args.process_index,
            **({"seed": self._data_seed()} if is_training else {}),
        )
        # Not through `accelerator.prepare`, which would share the batches out among the processes once more.
        return DataLoaderShard(
            self._remove_unused_columns(dataset, description=description),
            batch_sampler=batches,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            prefetch_factor=self.args.dataloader_prefetch_factor,
        )

    def _in_batches(self, dataset, indices: list[int]) -> list[list[int]]:
        if self.max_eval_tokens is None:
            return super()._in_batches(dataset, indices)
        lengths = np.array(_lengths(dataset))[indices]
        batches = sorted_batches(lengths, max_tokens=self.max_eval_tokens)  # an LTP model's: without padding
        return [[indices[i] for i in batch] for batch in batches]

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        """As the library's; with a training loss each layer's threshold and share of tokens kept since the last."""
        if self._kept is not None and "loss" in logs:
            shares, thresholds = self._kept.pop(self._sum), pruning_thresholds(self.model)
            logs |= ({"thresholds": thresholds} if thresholds else {}) | ({"kept_shares": shares} if shares else {})
        super().log(logs, start_time)

    def _data_seed(self) -> int:
        return self.args.seed if self.args.data_seed is None else self.args.data_seed

    def _run_epoch(self, *args, **kwargs):
        """As the library's, except where a resumed run has nothing left to do: the library would do one more step."""
        if self.state.global_step >= self.state.max_steps or self._stopped_early():
            self.control.should_training_stop = True
            return
        _set_epoch(kwargs["train_dataloader"], kwargs["epoch"])
        super()._run_epoch(*args, **kwargs)

    def _stopped_early(self) -> bool:
        stoppers = [c for c in self.callback_handler.callbacks if isinstance(c, EarlyStoppingCallback)]
        return any(c.early_stopping_patience_counter >= c.early_stopping_patience for c in stoppers)

    def evaluation_loop(self, dataloader, *args, metric_key_prefix: str = "eval", **kwargs):
        """As the library's; what batches by tokens give is put back into the order of the data."""
        batches = dataloader.batch_sampler
        if not isinstance(batches, EvalTokenBatches):
            return super().evaluation_loop(dataloader, *args, metric_key_prefix=metric_key_prefix, **kwargs)
        compute_metrics, self._sum_of_losses = self.compute_metrics, np.zeros(2)

        def in_order(evaluated: EvalPrediction) -> dict[str, Any]:
            return compute_metrics(
                EvalPrediction(batches.restore(evaluated.predictions), batches.restore(evaluated.label_ids))
            )

        self.compute_metrics = None if compute_metrics is None else in_order
        try:
            output = super().evaluation_loop(dataloader, *args, metric_key_prefix=metric_key_prefix, **kwargs)
        finally:
            self.compute_metrics = compute_metrics
        # The library takes all batches' losses for means over as many functions.
        metrics = output.metrics | {f"{metric_key_prefix}_loss": self._mean_loss()}
        restored = {
            name: None if values is None else batches.restore(values)
            for name, values in (("predictions", output.predictions), ("label_ids", output.label_ids))
        }
        return output._replace(metrics=metrics, **restored)

    def prediction_step(self, model, inputs, *args, **kwargs):
        """As the library's; adds up the losses, as batches by tokens differ in size."""
        loss, logits, labels = super().prediction_step(model, inputs, *args, **kwargs)
        batches = self.callback_handler.eval_dataloader.batch_sampler
        if isinstance(batches, EvalTokenBatches) and loss is not None:
            last = self.accelerator.gradient_state.end_of_dataloader
            items = 0 if last and batches.last_is_repeated else len(next(iter(inputs.values())))
            self._sum_of_losses += np.array([loss.item() * items, items])
        return loss, logits, labels

    def _mean_loss(self) -> float:
        total = self._sum(torch.tensor(self._sum_of_losses))
        return (total[0] / total[1]).item()

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        """Over the processes."""
        if self.args.world_size == 1:
            return values
        return self.accelerator.reduce(values.to(self.args.device), reduction="sum").cpu()


class _ExactResume(TrainerCallback):
    """
    Leaves nothing outside of a checkpoint that the rest of a run depends on.

    Losses are logged before every checkpoint and evaluation, so that none has been added up but not logged when a run
    goes on from there. A checkpoint in the last step of an epoch is saved at the epoch's end, after what happens
    there, as a resumed run begins with the next epoch.
    """

    def __init__(self):
        self.save_at_epoch_end = False

    def on_train_begin(self, args, state, control, **kwargs):
        if args.resume_from_checkpoint is None:
            return
        args.eval_on_start = False  # the run that was interrupted has done so
        # The folder may have been moved, or given by another name, since it was recorded.
        best = best_checkpoint(Path(args.resume_from_checkpoint))
        if best is not None and (here := Path(args.output_dir, best.name)).is_dir():
            state.best_model_checkpoint = str(here)

    def on_step_end(self, args, state, control, **kwargs):
        if control.should_save and state.epoch == int(state.epoch):
            control.should_save, self.save_at_epoch_end = False, True
        self._log_first(state, control)

    def on_epoch_end(self, args, state, control, **kwargs):
        control.should_save |= self.save_at_epoch_end
        self.save_at_epoch_end = False
        self._log_first(state, control)

    @staticmethod
    def _log_first(state, control):
        if control.should_save or control.should_evaluate or state.global_step >= state.max_steps:
            control.should_log = True


def check_tokens(max_tokens: int | None, data: dict[str, Dataset]) -> None:
    """Raises UserError for a function of more tokens than `--max_tokens_per_batch` allows a batch."""
    longest = max((max(_lengths(dataset)) for dataset in data.values()), default=0)
    if max_tokens is not None and longest > max_tokens:
        raise UserError(
            f"--max_tokens_per_batch {max_tokens}: the longest function has {longest} tokens; expected at least as "
            f"many, or a --max_seq_length of at most {max_tokens}"
        )


def _lengths(dataset: Dataset) -> list[int]:
    return list(dataset["length"])


def mean_loss(log_history: list[dict[str, Any]]) -> float | None:
    """Mean of the training loss over all steps, from the log, which an interruption leaves as it is; None if empty."""
    total = done = 0
    for entry in log_history:
        if "loss" in entry:
            total += entry["loss"] * (entry["step"] - done)
            done = entry["step"]
    return total / done if done else None


def _set_epoch(loader: DataLoader, epoch: int) -> None:
    """Tells the sampler its epoch, however often it is wrapped: to skip batches, to share them among processes."""
    layer = loader
    while layer is not None:
        for sampler in (layer, getattr(layer, "sampler", None)):
            if sampler is not loader and hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
        layer = getattr(layer, "batch_sampler", None)
