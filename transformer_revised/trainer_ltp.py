"""The library's Trainer, and what learning to prune adds: threshold parameter group, regularizer, masking mode."""

from __future__ import annotations

import torch
from torch import nn
from transformers.trainer import Trainer
from transformers.trainer_callback import TrainerCallback

from .training_args_ltp import LTPTrainingArguments


class _HardenHalfway(TrainerCallback):
    """Masking mode "mixed": hard from the middle of training on; thresholds get no gradient there and so stay."""

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        model.set_hard_masking(state.global_step >= state.max_steps // 2)


class LTPTrainer(Trainer):
    """
    [`~transformers.Trainer`] for models with learned token pruning; other models are trained as the Trainer does.

    The arguments are the Trainer's; `args` is an [`LTPTrainingArguments`]. Learned Token Pruning, Kim et al., KDD
    2022, section 3.3: the loss is the task's plus `lambda_threshold` times the regularizer.
    """

    def __init__(self, model=None, args: LTPTrainingArguments | None = None, **kwargs):
        args = LTPTrainingArguments() if args is None else args
        super().__init__(model=model, args=args, **kwargs)
        if not hasattr(self.model, "set_hard_masking"):
            return
        if args.temperature is not None:
            self.model.set_temperature(args.temperature)
        self.model.set_hard_masking(args.masking_mode == "hard")
        for pruner in self._pruners():
            # In a hard run, and where the threshold is exactly 0, no gradient reaches the threshold.
            pruner.keep_threshold.requires_grad_(args.masking_mode != "hard" and pruner.is_active)
        if args.masking_mode == "mixed":
            self.add_callback(_HardenHalfway)

    def _pruners(self) -> list[nn.Module]:
        return [m for m in self.model.modules() if isinstance(getattr(m, "keep_threshold", None), nn.Parameter)]

    def create_optimizer(self, *args, **kwargs) -> torch.optim.Optimizer:
        """The Trainer's optimizer with the thresholds in a group of their own."""
        made_here = self.optimizer is None
        optimizer = super().create_optimizer(*args, **kwargs)
        thresholds = [p.keep_threshold for p in self._pruners() if p.keep_threshold.requires_grad]
        if made_here and thresholds:
            own = {id(p) for p in thresholds}
            for group in optimizer.param_groups:
                group["params"] = [p for p in group["params"] if id(p) not in own]
            lr = self.args.learning_rate if self.args.lr_threshold is None else self.args.lr_threshold
            optimizer.add_param_group(
                {"params": thresholds, "lr": lr, "weight_decay": self.args.weight_decay_threshold}
            )
        return optimizer

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The task's loss plus `lambda_threshold` times the regularizer, `[]`, in soft training."""
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        regularizer = outputs.get("pruning_regularizer") if isinstance(outputs, dict) else None
        if regularizer is not None:
            loss = loss + self.args.lambda_threshold * regularizer
        return (loss, outputs) if return_outputs else loss


__all__ = ["LTPTrainer"]
