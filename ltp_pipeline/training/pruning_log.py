"""What pruning does while it is learned: each layer's threshold, and the share of tokens that it leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from transformers.integrations import TensorBoardCallback

from ltp_pipeline.base.files import write_csv
from transformer_revised.models.ltp.modeling_ltp import LayerTrace, LTPLayer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAMES = {"thresholds": "threshold", "kept_shares": "kept_share"}  # in the log: in tables and for TensorBoard


class KeptShares:
    """
    Share of the tokens of training batches that is alive after each layer, or would be in hard masking.

    In soft training nothing leaves: alive is what would have survived every threshold so far. In the last layer, of
    which only the first token is computed, what entered is alive. Nothing is copied from the device until `pop`.
    """

    def __init__(self, model: PreTrainedModel):
        layers = [module for module in model.modules() if isinstance(module, LTPLayer)]
        self._alive: torch.Tensor | None = None  # of the batch, in soft training
        self._batch: list[torch.Tensor | int] = []  # tokens alive after the layers of the batch so far
        self._kept: list[torch.Tensor | int] = [0] * len(layers)
        self._tokens = self._entered = 0
        for i, layer in enumerate(layers):
            layer.register_forward_hook(lambda module, args, output, i=i: self._record(i, module, output[1]))

    def _record(self, i: int, layer: LTPLayer, trace: LayerTrace) -> None:
        if i == 0:
            self._batch, self._alive, self._entered = [], None, len(trace.entered)
        if not layer.training or i != len(self._batch):  # gradient checkpointing computes layers again, from the last
            return
        if trace.soft_mask is not None:
            survives = (trace.soft_mask.detach() >= 0.5) | trace.entered.is_global
            self._alive = survives if self._alive is None else self._alive & survives
        if self._alive is not None:
            self._batch.append(self._alive.sum())
        else:
            self._batch.append(len(trace.entered if trace.scores is None else trace.left_alive))
        if len(self._batch) == len(self._kept):
            self._kept = [kept + batch for kept, batch in zip(self._kept, self._batch)]
            self._tokens += self._entered

    def pop(self, over_processes: Callable[[torch.Tensor], torch.Tensor] = lambda own: own) -> list[float] | None:
        """The shares since the last call, one a layer; None if nothing was trained. `over_processes` adds up."""
        counts = torch.tensor([float(count) for count in (*self._kept, self._tokens)])
        self._kept, self._tokens = [0] * len(self._kept), 0
        counts = over_processes(counts)
        return (counts[:-1] / counts[-1]).tolist() if counts[-1] else None


class LayersOnTensorBoard(TensorBoardCallback):
    """The library's callback, with a scalar for each layer where the log has a list."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        logs = dict(logs or {})
        for plural, name in NAMES.items():
            for layer, value in enumerate(logs.pop(plural, []), start=1):
                logs[f"{name}/layer_{layer:02d}"] = value
        lists = [name for name, value in logs.items() if isinstance(value, list)]  # which TensorBoard cannot show
        super().on_log(args, state, control, logs={n: v for n, v in logs.items() if n not in lists}, **kwargs)


def layers_line(logs: dict[str, Any]) -> str:
    """The layers of a log entry in one line, such as `thresholds 0 0.01 0.03 | kept 1 0.8 0.5`; "" without any."""
    headings = {"thresholds": "thresholds", "kept_shares": "kept"}
    return " | ".join(
        f"{heading} {' '.join(f'{value:.3g}' for value in logs[name])}"
        for name, heading in headings.items()
        if name in logs
    )


def pruning_thresholds(model: PreTrainedModel) -> list[float]:
    """The threshold of every layer of an LTP model, its learned offset included; [] for a model without thresholds."""
    if model.config.model_type != "ltp":
        return []
    thresholds = model.thresholds()
    return [] if thresholds.isnan().any() else thresholds.tolist()


def write_pruning_log(path: Path, log_history: list[dict[str, Any]]) -> None:
    """A line for each layer of each log entry that has any: step, layer (from 1), threshold, kept_share."""
    rows = [
        {"step": entry["step"], "layer": layer, "threshold": threshold, "kept_share": share}
        for entry in log_history
        if "kept_shares" in entry
        for layer, (threshold, share) in enumerate(
            zip(entry.get("thresholds") or [None] * len(entry["kept_shares"]), entry["kept_shares"]), start=1
        )
    ]
    if rows:
        write_csv(path, pd.DataFrame(rows))
