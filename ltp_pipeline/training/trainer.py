"""The trainer of both scripts: an LTPTrainer that also forms batches by tokens, counts FLOPs and resumes exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.data_loader import DataLoaderShard
from accelerate.utils import find_batch_size, recursively_apply
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, EarlyStoppingCallback, EvalPrediction, PrinterCallback
from transformers.integrations import TensorBoardCallback

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.out_of_memory import out_of_memory_names
from ltp_pipeline.data.batches import EvalTokenBatches, TrainTokenBatches, sorted_batches
from ltp_pipeline.model.flops_meter import FlopsMeter, summary
from ltp_pipeline.model.window_logits import best_windows, functions_of, summed_windows
from ltp_pipeline.task.class_counts import balanced_weights
from ltp_pipeline.task.decision import drop_threshold, stored_threshold
from ltp_pipeline.training.arguments import with_values
from ltp_pipeline.training.callbacks import ExactResume, KeptShares, LayersOnTensorBoard, ProgressLines, ReleaseMemory
from ltp_pipeline.training.lora import LoraTrainer
from ltp_pipeline.training.non_finite import UpdateCheck, check_evaluation, check_weights
from ltp_pipeline.training.rank_column import PaddedWithImportance, target_of, taught_rows, with_importance
from ltp_pipeline.training.threshold_warnings import ThresholdMoves, threshold_warnings

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ltp_pipeline.task.tasks import Task
    from ltp_pipeline.training.arguments import FineTuningArguments

# What limits the memory of an evaluation and of calibration
EVALUATION_FLAGS = ("--per_device_eval_batch_size", "--max_tokens_per_batch", "--max_seq_length")


@dataclass
class _Evaluated:
    """Maps the rows of an evaluation, in the order of computation, to one row for each function."""

    batches: EvalTokenBatches | None = None  # the batches, if they are not in the order of the data
    # which function each row of the data is a window of, `[W]`; None: every row is a function
    functions: np.ndarray | None = None
    rows: np.ndarray | None = None  # for each row of the data its row in the file, from 1, `[W]`; None: not known

    def in_order(self, values: Any) -> Any:
        """`values` (an array `[M, ...]`, or a tuple of them) in the order of the data, `[W, ...]`."""
        return values if self.batches is None or values is None else self.batches.restore(values)

    def best(self, logits: np.ndarray) -> np.ndarray | slice:
        """For each function the index of the window that scores it highest."""
        return slice(None) if self.functions is None else best_windows(logits, self.functions)


class ClassifierTrainer(LoraTrainer):
    """[`LTPTrainer`] for classifiers.

    Evaluation returns the metrics of `compute_metrics` and, for an LTP model, FLOPs and tokens kept
    (`flops_meter.summary`). A function read in several windows counts once, with the window that scores it highest.

    Training and evaluation raise NotFiniteError if a loss, a gradient, a weight or a prediction is NaN or infinite.
    Such weights are never saved.

    Args:
        compute_metrics: function from logits `[N, C]` and labels `[N]` (or `[N, C]`) to metrics by name.
        make_ranks: function from this trainer to its training data with the column `rank_importance`; called when
            training that teaches a ranking begins. None: the teacher computes each batch when it is needed.
        args, kwargs: the arguments of the library's Trainer. Its `args` may have `max_tokens_per_batch` (training) and
            `max_eval_tokens_per_batch`: the maximum number of tokens in a batch. Without them, or with None, a batch
            has a fixed number of functions, as in the library.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *args: Any,
        compute_metrics: Callable[[EvalPrediction], dict[str, Any]] | None = None,
        make_ranks: Callable[[ClassifierTrainer, str], Dataset] | None = None,
        **kwargs: Any,
    ):
        self._make_ranks = make_ranks
        self._meter = FlopsMeter(model) if model.config.model_type == "ltp" else None
        self._classification_metrics = compute_metrics
        self._evaluated = _Evaluated()
        self._sum_of_losses = np.zeros(2)  # of this evaluation: the loss summed over functions, number of functions
        super().__init__(
            model,
            *args,
            compute_metrics=None if compute_metrics is None else self._all_metrics,
            preprocess_logits_for_metrics=self._logits_and_counts,
            **kwargs,
        )
        self.args.logging_nan_inf_filter = False  # It hides losses that are not finite. `_update` stops at them.
        self._update = UpdateCheck()
        self.max_tokens = getattr(self.args, "max_tokens_per_batch", None)
        self.max_eval_tokens = getattr(self.args, "max_eval_tokens_per_batch", None)
        prunes = getattr(self.model.config, "prune_mode", None) is not None
        self._kept = KeptShares(self.model) if prunes and self.train_dataset is not None else None
        learns = getattr(self.args, "masking_mode", "hard") != "hard" and self.model.config.model_type == "ltp"
        self._moves = ThresholdMoves(self.model) if learns and self._kept is not None else None
        if self._moves is not None:
            self.add_callback(self._moves)
        self.add_callback(ExactResume())
        self.add_callback(ReleaseMemory())
        if self.pop_callback(TensorBoardCallback) is not None:
            self.add_callback(LayersOnTensorBoard())

    def get_train_dataloader(self) -> DataLoader:
        """Forms batches by tokens; the library forms them by number of functions or groups functions by length."""
        loader = super().get_train_dataloader()
        if self.max_tokens is None:
            return loader
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return self._loader_by_tokens(loader, self.train_dataset, TrainTokenBatches, self.max_tokens, seed=seed)

    def get_eval_dataloader(self, eval_dataset: str | Dataset | None = None) -> DataLoader:
        """Forms batches by tokens, see `get_train_dataloader`."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        dataset = self.eval_dataset[dataset] if isinstance(dataset, str) else dataset
        return self._evaluation_loader(super().get_eval_dataloader(eval_dataset), dataset)

    def get_test_dataloader(self, test_dataset: Dataset) -> DataLoader:
        """Forms batches by tokens, see `get_train_dataloader`."""
        return self._evaluation_loader(super().get_test_dataloader(test_dataset), test_dataset)

    def _evaluation_loader(self, loader: DataLoader, dataset: Dataset) -> DataLoader:
        if self.max_eval_tokens is not None:
            loader = self._loader_by_tokens(loader, dataset, EvalTokenBatches, self.max_eval_tokens)
        batches = loader.batch_sampler if self.max_eval_tokens is not None else None
        functions = functions_of(dataset)
        rows = np.asarray(dataset["row"]) + 1 if "row" in getattr(dataset, "column_names", ()) else None
        self._evaluated = _Evaluated(batches, functions, rows)
        return loader

    def _loader_by_tokens(
        self, loader: DataLoader, dataset: Dataset, batches: type, max_tokens: int, **options: Any
    ) -> DataLoader:
        """The library's `loader`, whose dataset has only the columns that the model reads, with batches by tokens."""
        sampler = batches(
            _lengths(dataset),
            max_tokens,
            padded=self.model.config.model_type != "ltp",
            processes=self.args.world_size,
            rank=self.args.process_index,
            **options,
        )
        # Not prepared by the accelerator, which would divide the batches among the processes a second time.
        return DataLoaderShard(
            loader.dataset,
            batch_sampler=sampler,
            collate_fn=loader.collate_fn,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            prefetch_factor=self.args.dataloader_prefetch_factor,
        )

    def _in_batches(self, dataset: Dataset, indices: list[int]) -> list[list[int]]:
        """Calibration batches by tokens; LTPTrainer forms them by number of functions."""
        if self.max_eval_tokens is None:
            return super()._in_batches(dataset, indices)
        lengths = np.array(_lengths(dataset))[indices]
        batches = sorted_batches(lengths, max_tokens=self.max_eval_tokens)
        return [[indices[i] for i in batch] for batch in batches]

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        """Adds each layer's threshold and share of kept tokens to each log entry with a training loss."""
        if self._kept is not None and "loss" in logs:
            shares, thresholds = self._kept.pop(self._sum_over_processes), pruning_thresholds(self.model)
            logs |= ({"thresholds": thresholds} if thresholds else {}) | ({"kept_shares": shares} if shares else {})
        super().log(logs, start_time)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[dict[str, torch.Tensor]], Any]:
        """The batches of one update, which is then checked: see `UpdateCheck`."""
        batches, items = super().get_batch_samples(*args, **kwargs)
        self._update.begin(batches)
        return batches, items

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As the library's: the loss of one batch, `[]`, after its backward pass."""
        loss = super().training_step(*args, **kwargs)
        self._update.add(loss)
        return loss

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """As the library's, which calls it before each optimizer step. Raises NotFiniteError."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        self._update.finish(self, norm)
        return norm

    def save_model(self, *args: Any, **kwargs: Any) -> None:
        """As the library's, for a model or a checkpoint. Raises NotFiniteError before it writes anything."""
        check_weights(self.model, self.state.global_step)
        super().save_model(*args, **kwargs)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As LTPTrainer's. Raises OutOfMemory, which names the flags of training batches."""
        flag = "per_device_train_batch_size" if self.max_tokens is None else "max_tokens_per_batch"
        with out_of_memory_names(f"--{flag} {getattr(self.args, flag)}", "--max_seq_length"):
            return super().train(*args, **kwargs)

    def _has_importance(self) -> bool:
        return self._make_ranks is not None or super()._has_importance()

    def _train(self, *args: Any, **kwargs: Any) -> Any:
        if self._rank_teacher is not None and self._make_ranks is not None:
            with out_of_memory_names(*EVALUATION_FLAGS):
                self.train_dataset, self._make_ranks = self._make_ranks(self, self._rank_teacher), None
            self.taught_share = len(taught_rows(len(self.train_dataset))) / len(self.train_dataset)
        return super()._train(*args, **kwargs)

    def _start_budget(self) -> None:
        with out_of_memory_names(*EVALUATION_FLAGS):
            super()._start_budget()
        if self._moves is not None:
            self._moves.start()

    def _meet_target(self) -> None:
        check_weights(self.model, self.state.global_step)
        with out_of_memory_names(*EVALUATION_FLAGS):
            super()._meet_target()

    def warnings(self, results: dict[str, Any]) -> list[str]:
        """What to warn of after a run with these results: see `threshold_warnings` and `ThresholdMoves`."""
        moves = [] if self._moves is None else self._moves.warnings()
        return moves + threshold_warnings(self.model, results)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Ends a resumed run that has no step left: the library checks for that only after one step too many."""
        stoppers = [c for c in self.callback_handler.callbacks if isinstance(c, EarlyStoppingCallback)]
        stopped_early = any(c.early_stopping_patience_counter >= c.early_stopping_patience for c in stoppers)
        if stopped_early or self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)

    def evaluation_loop(self, dataloader: DataLoader, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any):
        """Returns one row of logits `[N, C]` for each function, in the order of the data, and the exact mean loss.

        The library returns rows in the order in which they are computed, with the FLOPs that this trainer attaches to
        them, and averages the batches' losses as if all batches had the same size.
        """
        self._sum_of_losses = np.zeros(2)
        with out_of_memory_names(*EVALUATION_FLAGS):
            output = super().evaluation_loop(dataloader, *args, metric_key_prefix=metric_key_prefix, **kwargs)
        metrics = output.metrics
        if self._evaluated.batches is not None:
            total, functions = self._sum_over_processes(torch.tensor(self._sum_of_losses))
            metrics = metrics | {f"{metric_key_prefix}_loss": (total / functions).item()}
        if output.predictions is None:
            return output._replace(metrics=metrics)
        logits, _ = self._split(self._evaluated.in_order(output.predictions))
        labels, best = self._evaluated.in_order(output.label_ids), self._evaluated.best(logits)
        check_evaluation(logits, labels, self._evaluated.rows, metrics.get(f"{metric_key_prefix}_loss"))
        return output._replace(
            metrics=metrics, predictions=logits[best], label_ids=None if labels is None else labels[best]
        )

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """Skips items that the library repeats to fill the last batch, and sums up the losses of batches by tokens.

        The library computes repeated items and drops their predictions later, but keeps them in the loss.
        """
        size = find_batch_size(inputs)
        own = self._own_items(size)
        if own < size:
            inputs = recursively_apply(lambda tensor: tensor[:own], dict(inputs))
        loss, *outputs = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        if own < size:
            outputs = [recursively_apply(_filled_up, output, size) for output in outputs]
        batches = self._evaluated.batches
        if batches is not None and loss is not None:
            is_repeated = self.accelerator.gradient_state.end_of_dataloader and batches.last_is_repeated
            functions = 0 if is_repeated else size
            self._sum_of_losses += np.array([loss.item() * functions, functions])
        return loss, *outputs

    def _own_items(self, size: int) -> int:
        """How many of the `size` items in the current evaluation batch are not repetitions, which come last."""
        state = self.accelerator.gradient_state
        if not state.end_of_dataloader or state.remainder <= 0:
            return size
        first = self.args.process_index * size
        return min(max(state.remainder - first, 1), size)  # If all are repetitions, one is computed and dropped later.

    def _logits_and_counts(self, logits: Any, labels: Any) -> Any:
        """Logits `[B, C]` and the meter's counts `[B, 4 + L]`: the library then gathers both from all processes."""
        logits = logits[0] if isinstance(logits, tuple) else logits
        if self._meter is None:
            return logits
        return logits, _filled_up(torch.from_numpy(self._meter.last), len(logits)).to(logits.device)

    def _split(self, predictions: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Logits and counts; None for a model whose FLOPs are not counted."""
        return (predictions, None) if self._meter is None else predictions

    def _all_metrics(self, evaluated: EvalPrediction) -> dict[str, Any]:
        logits, counts = self._split(self._evaluated.in_order(evaluated.predictions))
        check_evaluation(logits, None, self._evaluated.rows)
        labels, best = self._evaluated.in_order(evaluated.label_ids), self._evaluated.best(logits)
        metrics = self._classification_metrics(EvalPrediction(logits[best], labels[best]))
        if counts is None:
            return metrics
        functions = self._evaluated.functions
        return metrics | summary(counts if functions is None else summed_windows(counts, functions))

    def _sum_over_processes(self, values: torch.Tensor) -> torch.Tensor:
        if self.args.world_size == 1:
            return values
        return self.accelerator.reduce(values.to(self.args.device), reduction="sum").cpu()


def make_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    args: FineTuningArguments,
    data: dict[str, Dataset],
    task: Task,
    overwrite_cache: bool = False,
) -> ClassifierTrainer:
    """The trainer of a run, with the callbacks that its flags choose.

    `data`: the tokenized splits; "train" and "eval" are used during training. `overwrite_cache`: of `with_importance`.
    Raises UserError if a function is longer than a batch.
    """
    _check_lengths(args.max_tokens_per_batch, data)
    if not {"train", "eval"} & {*data}:  # the library wants a split for the evaluations during training
        args = with_values(args, eval_strategy="no", load_best_model_at_end=False)
    if "train" in data:
        drop_threshold(model.config, chosen_again=args.max_false_alarm is not None)
    weighted = "train" in data and args.class_weights == "balanced"
    trainer = ClassifierTrainer(
        model=model,
        args=args,
        train_dataset=data.get("train"),
        eval_dataset=data.get("eval"),
        processing_class=tokenizer,
        data_collator=(PaddedWithImportance if args.rank_distillation else DataCollatorWithPadding)(tokenizer),
        compute_metrics=_task_metrics(model, task),
        class_weights=balanced_weights(data["train"]["labels"], task) if weighted else None,
        make_ranks=partial(with_importance, target=target_of(task), overwrite=overwrite_cache),
    )
    if args.early_stopping_patience is not None:
        trainer.add_callback(EarlyStoppingCallback(args.early_stopping_patience, args.early_stopping_threshold))
    if args.disable_tqdm:
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(ProgressLines)
    return trainer


def pruning_thresholds(model: PreTrainedModel) -> list[float]:
    """The threshold of each layer of an LTP model, learned offset included; [] for a model without thresholds."""
    if model.config.model_type != "ltp":
        return []
    thresholds = model.thresholds()
    return [] if thresholds.isnan().any() else thresholds.tolist()


def _task_metrics(model: PreTrainedModel, task: Task) -> Callable[[EvalPrediction], dict[str, Any]]:
    def compute_metrics(evaluated: EvalPrediction) -> dict[str, Any]:
        decision, thresholds = stored_threshold(model.config), pruning_thresholds(model)
        metrics = task.measure(evaluated.predictions, evaluated.label_ids, decision)
        if decision is not None:
            metrics["decision_threshold"] = decision
        return metrics | ({"thresholds_per_layer": thresholds} if thresholds else {})

    return compute_metrics


def _check_lengths(max_tokens: int | None, data: dict[str, Dataset]) -> None:
    longest = max((max(_lengths(dataset)) for dataset in data.values()), default=0)
    if max_tokens is not None and longest > max_tokens:
        raise UserError(
            f"--max_tokens_per_batch {max_tokens}: the longest function has {longest} tokens; expected at least as "
            f"many, or a --max_seq_length of at most {max_tokens}"
        )


def _lengths(dataset: Dataset) -> list[int]:
    return list(dataset["length"])


def _filled_up(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """`[B, ...]` with its last row repeated, to `[size, ...]`."""
    return torch.cat([tensor, tensor[-1:].expand(size - len(tensor), *tensor.shape[1:])])
