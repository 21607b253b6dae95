"""Callbacks of the trainer: progress lines, exact resumption, freed memory, and the tokens that layers keep."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback

from ltp_pipeline.training.resume import best_checkpoint

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from transformer_revised import LTPForSequenceClassification
    from transformer_revised.models.ltp.modeling_ltp_layer import LayerTrace, LTPLayer

# Name of a list in a log entry (one value per layer) -> heading in a printed line, and name on TensorBoard.
LAYER_VALUES = {"thresholds": ("thresholds", "threshold"), "kept_shares": ("kept", "kept_share")}


class ProgressLines(TrainerCallback):
    """Prints each log entry as a line with speed and time left, if there is no terminal for a progress bar."""

    def on_train_begin(self, args, state, control, **kwargs):
        self.start = time.monotonic()
        self.first_step = state.global_step

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        rate = (state.global_step - self.first_step) / max(time.monotonic() - self.start, 1e-9)
        left = (state.max_steps - state.global_step) / rate if rate else float("inf")
        shown = [f"{name} {value:.4g}" for name, value in logs.items() if isinstance(value, float) and name != "epoch"]
        print(
            f"step {state.global_step}/{state.max_steps} ({rate:.2f} steps/s, {left:.0f} s left): {', '.join(shown)}",
            flush=True,
        )
        if layers_line(logs):
            print(f"  {layers_line(logs)}", flush=True)


def layers_line(logs: dict[str, Any]) -> str:
    """The layers' values of a log entry in one line, `thresholds 0 0.01 0.03 | kept 1 0.8 0.5`; "" if it has none."""
    return " | ".join(
        f"{heading} {' '.join(f'{value:.3g}' for value in logs[name])}"
        for name, (heading, _) in LAYER_VALUES.items()
        if name in logs
    )


class LayersOnTensorBoard(TensorBoardCallback):
    """Writes a list in a log entry as one scalar per layer; the library's callback would skip the list."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        logs = dict(logs or {})
        for plural, (_, name) in LAYER_VALUES.items():
            for layer, value in enumerate(logs.pop(plural, []), start=1):
                logs[f"{name}/layer_{layer:02d}"] = value
        scalars = {name: value for name, value in logs.items() if not isinstance(value, list)}
        super().on_log(args, state, control, logs=scalars, **kwargs)


class ReleaseMemory(TrainerCallback):
    """Returns freed memory to the operating system every `STEPS` optimizer steps, if the C library is glibc.

    Batches have different sizes, so the heap has gaps. glibc keeps them: after 200 steps of mixed lengths 430 of 1,000
    MiB were free, and rising. Releasing them takes 25 to 50 ms.
    """

    STEPS = 50

    def __init__(self):
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None

    def on_step_end(self, args, state, control, **kwargs):
        if self._trim is not None and state.global_step % self.STEPS == 0:
            self._trim(0)


class ExactResume(TrainerCallback):
    """Makes a resumed run end with the same bits as one that was not interrupted.

    - The loss is logged before each checkpoint and evaluation: a resumed run starts with an empty sum of losses, and
      would lose what was not logged yet.
    - A checkpoint due in the last step of an epoch is saved after the epoch's evaluation and logs, because a resumed
      run starts with the next epoch and does not repeat them.
    - The order of the data depends on the epoch. The library does not pass the epoch to a sampler that is wrapped to
      skip batches or to share them among processes.
    """

    def __init__(self):
        self.save_at_epoch_end = False

    def on_train_begin(self, args, state, control, **kwargs):
        if args.resume_from_checkpoint is None:
            return
        args.eval_on_start = False  # The interrupted run has already done this.
        # The folder may have been moved or renamed since its path was stored.
        best = best_checkpoint(Path(args.resume_from_checkpoint))
        if best is not None and (here := Path(args.output_dir, best.name)).is_dir():
            state.best_model_checkpoint = str(here)

    def on_epoch_begin(self, args, state, control, train_dataloader=None, **kwargs):
        set_epoch(train_dataloader, int(state.epoch))

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


def set_epoch(loader: DataLoader, epoch: int) -> None:
    """Sets the epoch, from 0, of the samplers of `loader`, including those inside other batch samplers."""
    layer = loader
    while layer is not None:
        for sampler in (layer, getattr(layer, "sampler", None)):
            if sampler is not loader and hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
        layer = getattr(layer, "batch_sampler", None)


class KeptShares:
    """Measures, in training, the share of a batch's tokens that each layer keeps.

    Soft training removes no token. A token then counts as kept if hard pruning with the same scores and thresholds
    would keep it in this layer and in all layers before. The last layer computes only the first token, so its share is
    that of the layer before. The counts remain on the device until `pop`.
    """

    def __init__(self, model: LTPForSequenceClassification):
        encoder = model.longformer.encoder
        self._recording = False
        self._counts: list[torch.Tensor | int] = []  # of this batch: tokens, then the tokens kept by each layer
        self._alive: torch.Tensor | None = None  # [N] bool: this batch's tokens kept so far, in soft training
        self._totals: list[torch.Tensor | int] = [0] * (1 + len(encoder.layer))  # `_counts`, summed since `pop`
        encoder.register_forward_pre_hook(self._begin)
        for layer in encoder.layer:
            layer.register_forward_hook(self._record)
        encoder.register_forward_hook(self._end)

    def _begin(self, encoder: torch.nn.Module, args: Any) -> None:
        # Records only inside the encoder's forward: gradient checkpointing computes layers again in the backward pass.
        self._recording, self._counts, self._alive = encoder.training, [], None

    def _record(self, layer: LTPLayer, args: Any, output: tuple[Any, LayerTrace]) -> None:
        if not self._recording:
            return
        trace = output[1]
        if not self._counts:
            self._counts.append(len(trace.entered))
        if trace.soft_mask is not None:
            survives = (trace.soft_mask.detach() >= 0.5) | trace.entered.is_global
            self._alive = survives if self._alive is None else self._alive & survives
        if self._alive is not None:
            self._counts.append(self._alive.sum())
        else:
            self._counts.append(len(trace.entered if trace.scores is None else trace.kept))

    def _end(self, encoder: torch.nn.Module, args: Any, output: Any) -> None:
        if self._recording:
            self._totals = [total + count for total, count in zip(self._totals, self._counts, strict=True)]
        self._recording = False

    def pop(self, sum_over_processes: Callable[[torch.Tensor], torch.Tensor] = lambda own: own) -> list[float] | None:
        """Shares since the last call, one per layer; None if there was no training step since then.

        `sum_over_processes`: adds up a tensor `[1 + L]` of counts over all processes.
        """
        counts = sum_over_processes(torch.tensor([float(count) for count in self._totals]))
        self._totals = [0] * len(self._totals)
        return (counts[1:] / counts[0]).tolist() if counts[0] else None
