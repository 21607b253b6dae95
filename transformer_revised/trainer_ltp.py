"""Trains a model that learns to prune: the library's Trainer with losses and learning rates for the thresholds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from transformers.trainer import Trainer
from transformers.trainer_callback import TrainerCallback
from transformers.trainer_pt_utils import LabelSmoother

from .models.ltp.batch_tokens import attention_mask_of
from .models.ltp.modeling_ltp_heads import (
    LTPForMultipleChoice,
    LTPForQuestionAnswering,
    LTPForSequenceClassification,
)
from .models.ltp.pruning_budget import ComputeBudget, active_offsets, meet_target, restored_if_interrupted
from .models.ltp.pruning_ranks import RANK_IMPORTANCE, Teacher, base_model, rank_loss
from .training_args_ltp import DEFAULT_RANK_TEACHER, LTPTrainingArguments

START_FLOPS = 0.9  # relative FLOPs at the first step of soft training with a budget


class _HardenHalfway(TrainerCallback):
    """Masking mode "mixed": soft masks in the first half of the steps, removal of tokens in the second."""

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        model.set_hard_masking(state.global_step >= state.max_steps // 2)


class _MeetTargetHalfway(TrainerCallback):
    """With a budget, shifts the thresholds to meet it after half of the steps, so that the weights can adapt."""

    def __init__(self, meet_target: Callable[[], None]):
        self.meet_target = meet_target

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == state.max_steps // 2:
            self.meet_target()


class LTPTrainer(Trainer):
    """[`~transformers.Trainer`] for models with learned token pruning. It trains other models as the Trainer does.

    The loss is the task's plus `lambda_threshold` times the regularizer (Learned Token Pruning, Kim et al., KDD 2022,
    section 3.3).

    Args:
        args (`LTPTrainingArguments`, *optional*):
            Copied: changes that the trainer makes are in `trainer.args` only.
        class_weights (`Sequence[float]`, *optional*):
            Weight of each class. The task's loss is then the sum of the weighted cross entropies of
            [`torch.nn.CrossEntropyLoss`] (label smoothing included) divided by the number of items.
        rank_target (`str`, *optional*):
            What the relevance of a token is the relevance for, see [`rank_teacher_relevance.relevance`].
        others: as the Trainer's. If `train_dataset` has a column `rank_importance`, the teacher's number for each
            token (`data_collator` pads it with 0), no copy of the model is made to compute it.

    Raises ValueError if `args.target_flops` or a teacher other than "attention" is given for a model that is not an
    [`LTPForSequenceClassification`].
    """

    def __init__(
        self,
        model=None,
        args: LTPTrainingArguments | None = None,
        *posargs,
        class_weights: Sequence[float] | None = None,
        rank_target: str | None = None,
        **kwargs,
    ):
        args = LTPTrainingArguments() if args is None else copy.copy(args)
        if args.ddp_find_unused_parameters is None and hasattr(model, "learned_thresholds"):
            # The library assumes that a model with gradient checkpointing uses all its parameters. This model does
            # not: a layer that removes nothing does not use its threshold, nor the last layer all of its attention.
            args.ddp_find_unused_parameters = True  # read in the next line
        super().__init__(model, args, *posargs, **kwargs)
        if self.label_smoother is not None:
            self.label_smoother = _Float32Smoother(self.label_smoother.epsilon)
        self.class_weights = None if class_weights is None else [float(weight) for weight in class_weights]
        # The library then divides the loss by the number of accumulated batches, which `_shares` takes into account.
        self.model_accepts_loss_kwargs = False
        self._update_counts: torch.Tensor | None = None
        self._rank_teacher = self._chosen_rank_teacher() if self._is_ltp else None
        self._teacher: Teacher | None = None  # computes for each batch what the training data do not have
        self.taught_share = 1.0  # share of the rows whose `rank_importance` is not 0
        self._distance: float | None = None  # from the thresholds at the start to those that meet the budget
        if args.target_flops is not None and not isinstance(self.model, LTPForSequenceClassification):
            raise ValueError(f"target_flops is for LTPForSequenceClassification, not {type(self.model).__name__}")
        if not self._is_ltp:
            return
        if getattr(self, "model_init", None) is not None and any(self.model.pruners()):
            raise ValueError("`model_init` would make a model without these settings of pruning: give `model` instead")
        if args.temperature is not None:
            self.model.set_temperature(args.temperature)
        self.model.set_hard_masking(args.masking_mode == "hard")
        # Hard masking gives thresholds no gradient. Soft masking gives none to a layer that removes nothing.
        for offset in self.model.learned_thresholds():
            offset.requires_grad_(False)
        if args.masking_mode != "hard":
            for offset in active_offsets(self.model):
                offset.requires_grad_(True)
        if args.masking_mode == "mixed":
            self.add_callback(_HardenHalfway)
        if self._rank_teacher is not None and not self._has_importance():
            self._teacher = Teacher(self.model, self._rank_teacher, rank_target)
        self.model.set_importance_gradient(self._rank_teacher is not None)
        if args.target_flops is not None:
            self.model.config.target_flops = args.target_flops
        if self._target_flops is not None and args.masking_mode != "soft":
            self.add_callback(_MeetTargetHalfway(self._meet_target))

    @property
    def _is_ltp(self) -> bool:
        """Whether the model is an LTP model or a wrapper that forwards attributes to one, such as PEFT's."""
        return hasattr(self.model, "learned_thresholds")

    def _chosen_rank_teacher(self) -> str | None:
        """The teacher of the ranking; None: the ranking is not taught."""
        if not self.args.rank_distillation or not any(self.model.pruners()):
            return None
        model = base_model(self.model)
        if isinstance(model, (LTPForQuestionAnswering, LTPForMultipleChoice)):
            raise ValueError(
                f"rank_distillation is not for {type(model).__name__}, whose global tokens the teacher does not know; "
                "expected 0"
            )
        classifies = isinstance(model, LTPForSequenceClassification)
        before = model.config.rank_teacher if self.args.masking_mode == "hard" else None
        teacher = self.args.rank_teacher or before or (DEFAULT_RANK_TEACHER if classifies else "attention")
        if teacher != "attention" and not classifies:
            raise ValueError(
                f"rank_teacher {teacher} is for LTPForSequenceClassification, not {type(model).__name__}; expected "
                "attention"
            )
        return teacher

    def _has_importance(self) -> bool:
        """Whether the training data have what the teacher would compute."""
        return RANK_IMPORTANCE in (getattr(self.train_dataset, "column_names", None) or ())

    @property
    def _target_flops(self) -> float | None:
        return getattr(self.model.config, "target_flops", None)

    @property
    def _budget(self) -> ComputeBudget | None:
        return next((c for c in self.callback_handler.callbacks if isinstance(c, ComputeBudget)), None)

    def train(self, *args, **kwargs):
        """Trains as the library does. With a compute budget (`target_flops`) the model meets it when training ends.

        Raises UnreachableTargetError if the budget cannot be met, or the model has no learned thresholds.
        """
        if self._target_flops is None:
            return self._train(*args, **kwargs)
        if self.args.masking_mode == "hard":
            self._meet_target()
        elif self._budget is None:
            self._start_budget()
        output = self._train(*args, **kwargs)
        self._meet_target()
        return output

    def _train(self, *args, **kwargs):
        if self._is_ltp and (self._rank_teacher is not None or self.args.masking_mode != "hard"):
            self.model.config.rank_teacher = self._rank_teacher
        try:
            return super().train(*args, **kwargs)
        finally:
            self._update_counts = None  # A later call of `compute_loss` is not about this training's last update.

    def _start_budget(self) -> None:
        """Shifts the thresholds to `START_FLOPS` (or to the target, if that is more) and adds the controller. Sets
        `lr_threshold`, if not given, so that the thresholds can move from there to the target in time.
        """
        target, batches, offsets = self._target_flops, self._calibration_batches(), active_offsets(self.model)
        with self.accelerator.autocast(), torch.no_grad(), restored_if_interrupted(offsets):
            start = meet_target(self.model, batches, max(target, START_FLOPS), tolerance=0.02)
            first = [offset.clone() for offset in offsets]
            meet_target(self.model, batches, target, tolerance=0.02)
            distance = max((offset - value).item() for offset, value in zip(offsets, first))
            for offset, value in zip(offsets, first):
                offset.copy_(value)
        # Processors of different machines round differently, so that their processes may find other thresholds.
        start, distance = self._of_first_process(torch.tensor([start, distance], dtype=torch.float64)).tolist()
        self._share_offsets()
        if self.args.lr_threshold is None:
            self._distance = distance
        self.add_callback(ComputeBudget(target, start))

    def set_initial_training_values(self, args, dataloader):
        """As the library's. Sets the rate with which the thresholds move from the start to the budget in time."""
        values = super().set_initial_training_values(args, dataloader)
        if self._distance is not None:
            # Four times the mean rate that is needed: the rate falls to 0, and the target must be met well before.
            max_steps = values[-1]
            self.args.lr_threshold = 4 * max(self._distance, 1e-3) / max_steps
        return values

    def _meet_target(self) -> None:
        """Shifts the thresholds to meet the budget on the calibration functions; all processes get the same shift."""
        with self.accelerator.autocast():
            meet_target(self.model, self._calibration_batches(), self._target_flops)
        self._share_offsets()

    def _share_offsets(self) -> None:
        """Gives all processes the learned offsets of the first."""
        with torch.no_grad():
            for offset in self.model.learned_thresholds():
                offset.copy_(self._of_first_process(offset.detach()))

    def _of_first_process(self, values: torch.Tensor) -> torch.Tensor:
        """`values` of the first process, on their own device."""
        if self.args.world_size == 1:
            return values
        shared = values.clone().to(self.args.device)
        torch.distributed.broadcast(shared, src=0)
        return shared.to(values.device)

    def _calibration_batches(self) -> list[dict[str, torch.Tensor]]:
        # Evaluation data is more like the data to be classified than training data is. Labels are not read.
        dataset = self.train_dataset if self.eval_dataset is None else self.eval_dataset
        if isinstance(dataset, dict):
            dataset = next(iter(dataset.values()))
        count = min(self.args.calibration_samples, len(dataset))
        indices = np.linspace(0, len(dataset) - 1, count).astype(int).tolist()
        collator = self._get_collator_with_removed_columns(self.data_collator, description="calibration")
        batches = []
        for chosen in self._in_batches(dataset, indices):
            batch = collator([dataset[i] for i in chosen])
            batch = {name: v for name, v in batch.items() if name not in ("labels", RANK_IMPORTANCE)}
            batches.append(self._prepare_inputs(batch))
        return batches

    def _in_batches(self, dataset, indices: list[int]) -> list[list[int]]:
        """Divides `indices` of `dataset` into batches for passes without gradients."""
        size = self.args.eval_batch_size
        return [indices[begin : begin + size] for begin in range(0, len(indices), size)]

    def create_optimizer(self, *args, **kwargs) -> torch.optim.Optimizer:
        """Adds a parameter group for the thresholds, with their own learning rate and weight decay."""
        made_here = self.optimizer is None
        optimizer = super().create_optimizer(*args, **kwargs)
        thresholds = [p for p in self.model.learned_thresholds() if p.requires_grad] if self._is_ltp else []
        if made_here and thresholds:
            own = {id(p) for p in thresholds}
            for group in optimizer.param_groups:
                group["params"] = [p for p in group["params"] if id(p) not in own]
            lr = self.args.learning_rate if self.args.lr_threshold is None else self.args.lr_threshold
            optimizer.add_param_group(
                {"params": thresholds, "lr": lr, "weight_decay": self.args.weight_decay_threshold}
            )
        return optimizer

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """Counts the items and tokens of all batches of one update, over which `compute_loss` averages."""
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        counts = torch.stack([_counts(batch) for batch in batches]).sum(dim=0).to(device) if batches else None
        if counts is not None and self.args.world_size > 1:
            counts = self.accelerator.reduce(counts, reduction="sum")
        self._update_counts = counts
        return batches, num_items

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The task's loss, `[]`. Soft training adds `lambda_threshold` times the regularizer and the penalty of a
        budget. Soft and hard training add `rank_distillation` times the rank loss.

        In training each term is this batch's share of a mean over the whole update, that is over all accumulated
        batches of all processes. The mean is over items for the task and the ranks, over tokens for the others.
        """
        importance = inputs.get(RANK_IMPORTANCE)
        inputs = {name: values for name, values in inputs.items() if name != RANK_IMPORTANCE}
        counts = _counts(inputs)
        is_soft = self._is_ltp and self.model.is_soft
        budget = self._budget if is_soft else None
        taught = self._rank_teacher is not None and self.model.training
        options = {"output_pruning": True} if budget or taught else {}
        loss, outputs = self._task_loss(model, {**inputs, **options})
        regularizer = outputs.get("pruning_regularizer") if isinstance(outputs, dict) else None
        items, tokens = self._shares(counts) if self.model.training else (1.0, 1.0)
        loss = loss * items
        if regularizer is not None:
            loss = loss + self.args.lambda_threshold * regularizer * tokens
        if budget is not None:
            loss = loss + tokens * self._budget_penalty(budget, inputs, outputs)
        if taught:
            if importance is None:
                with self.accelerator.autocast():
                    importance = self._teacher.importance(inputs)
            masks = attention_mask_of(inputs), inputs.get("global_attention_mask")
            ranks = rank_loss(outputs["pruning_scores"], importance, *masks)
            loss = loss + items * self.args.rank_distillation / self.taught_share * ranks.mean()
        return (loss, outputs) if return_outputs else loss

    def prediction_step(self, model, inputs, *args, **kwargs):
        """As the library's, for data with or without a column `rank_importance`."""
        inputs = {name: values for name, values in inputs.items() if name != RANK_IMPORTANCE}
        return super().prediction_step(model, inputs, *args, **kwargs)

    def _set_signature_columns_if_needed(self) -> None:
        """The columns that batches have: those that the model reads, the labels and what the teacher has computed."""
        super()._set_signature_columns_if_needed()
        if self._rank_teacher is not None and RANK_IMPORTANCE not in self._signature_columns:
            self._signature_columns.append(RANK_IMPORTANCE)

    def _budget_penalty(self, budget: ComputeBudget, inputs, outputs) -> torch.Tensor:
        progress = self.state.global_step / self.state.max_steps
        thresholds = [pruner.threshold for pruner in self.model.pruners()]
        masks = attention_mask_of(inputs), inputs.get("global_attention_mask")
        return budget.penalty(self.model.config, masks[0], outputs, thresholds, progress, masks[1])

    def _shares(self, counts: torch.Tensor) -> torch.Tensor:
        """This batch's share of the update's items and tokens, `[2]`, times the divisor that the library applies."""
        if self._update_counts is None:
            return torch.ones(2)
        divided_by = self.current_gradient_accumulation_steps * self.args.world_size
        return counts / self._update_counts * divided_by

    def _task_loss(self, model, inputs):
        """Mean of the loss over the items of the batch, `[]`, and the outputs."""
        if self.class_weights is None:
            return super().compute_loss(model, inputs, return_outputs=True)
        labels = inputs["labels"]
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        loss = nn.functional.cross_entropy(
            outputs["logits"].float(),
            labels,
            weight=torch.tensor(self.class_weights, device=labels.device),
            reduction="sum",
            label_smoothing=self.args.label_smoothing_factor,
        )
        return loss / len(labels), outputs


class _Float32Smoother(LabelSmoother):
    """The library's, whose loss is then computed in float32 from logits of any dtype."""

    def __call__(self, model_output, labels, *args, **kwargs):
        logits = model_output["logits"] if isinstance(model_output, dict) else model_output[0]
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return super().__call__({"logits": exact}, labels, *args, **kwargs)


def _counts(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Items (rows, or labels that are not ignored) and real tokens of a batch, `[2]` float32."""
    mask, labels = attention_mask_of(inputs), inputs.get("labels")
    tokens = (mask > 0).sum()
    if labels is None or labels.is_floating_point():
        items = tokens.new_tensor(len(mask))
    else:
        items = (labels != -100).sum()
    return torch.stack([items, tokens]).float()


__all__ = ["LTPTrainer"]
