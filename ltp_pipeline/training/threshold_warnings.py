"""Warnings about the thresholds that a run ends with: they remove everything, or they never moved.

A threshold that is NaN stops the training (see non_finite.py), and a checkpoint with one is not loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

if TYPE_CHECKING:
    from transformer_revised.models.ltp.modeling_ltp import LTPPreTrainedModel

# Change of a threshold, as a share of it, that counts as none: some 100 times the resolution of float32
NO_CHANGE = 1e-5
REMOVE_LESS = {
    "absolute_threshold": "lower --lambda, --lr_threshold or --final_token_threshold, or raise --target_flops",
    "rising_threshold": "lower --final_token_threshold",
    "threshold": "lower --token_threshold",
    "topk": "raise --token_keep_rate",
}


class ThresholdMoves(TrainerCallback):
    """Remembers the thresholds at the start and at the end of training that learns them."""

    def __init__(self, model: LTPPreTrainedModel):
        self._model = model
        pruners = model.pruners()
        self._learning = [i for i, p in enumerate(pruners) if getattr(p, "learned_offset", None) is not None]
        self._learning = [i for i in self._learning if pruners[i].learned_offset.requires_grad]
        self.start()

    def start(self) -> None:
        """The thresholds are now those that training starts with."""
        self._first = self._last = self._model.thresholds()

    def on_train_end(self, args, state, control, **kwargs):
        self._last = self._model.thresholds()  # A budget shifts all of them after this.

    def warnings(self) -> list[str]:
        """What to say if no layer learns a threshold, or thresholds did not change."""
        if not self._learning:
            return [
                "no layer learned a threshold, because all thresholds are 0; expected --final_token_threshold above 0"
            ]
        moved = (self._last - self._first).abs() > NO_CHANGE * self._first.abs()
        unmoved = [layer for layer in self._learning if not moved[layer]]
        # The last layer computes one token whatever its threshold is. It may have no gradient.
        if unmoved == [len(moved) - 1] and len(self._learning) > 1:
            return []
        if not unmoved:
            return []
        return [
            f"the thresholds of {layers_text(unmoved)} did not move; raise --lr_threshold, --temperature (a soft mask "
            "that is 0 or 1 for every token has no gradient) or --lambda"
        ]


def threshold_warnings(model: Any, results: dict[str, Any]) -> list[str]:
    """What to say of layers that keep only the global tokens.

    `results`: the metrics of a run, as in all_results.json. Returns [] for a model that does not prune.
    """
    mode = getattr(model.config, "prune_mode", None)
    if mode is None:
        return []
    split = next((name for name in ("eval", "test") if f"{name}_tokens_kept_per_layer" in results), None)
    if split is None:
        return []
    *kept, last = results[f"{split}_tokens_kept_per_layer"]
    # The last layer computes one token, `<s>`, of every function, or of every window of a function.
    empty = [layer for layer, tokens in enumerate(kept) if tokens <= last]
    if not empty:
        return []
    return [
        f"{layers_text(empty)}: of every function in the {split} split, only the global token (<s>) is kept; "
        + REMOVE_LESS[mode]
    ]


def layers_text(layers: list[int]) -> str:
    """Layers, counted from 0 and ascending, as text that counts from 1.

    >>> layers_text([1]), layers_text([1, 2, 4])
    ('layer 2', 'layers 2, 3 and 5')
    """
    names = [str(layer + 1) for layer in layers]
    return f"layer {names[0]}" if len(names) == 1 else f"layers {', '.join(names[:-1])} and {names[-1]}"
