"""Runs a pruned model on functions and returns which tokens it keeps in each layer."""

from __future__ import annotations

import sys
from argparse import SUPPRESS
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from transformers.hf_argparser import HfArg

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.flags import check_positive
from ltp_pipeline.base.processes import is_main
from ltp_pipeline.base.program import name_of
from ltp_pipeline.base.threads import AUTO as AUTO_THREADS
from ltp_pipeline.base.threads import HELP as THREADS_HELP
from ltp_pipeline.data.batches import EVAL_HELP
from ltp_pipeline.data.flags import ReadingArguments, TruncationArguments
from ltp_pipeline.model.checkpoints import (
    check_checkpoint,
    check_classes,
    check_tokenizer_fits,
    load_config,
    load_pruning_model,
    load_tokenizer,
    position_limit,
)
from ltp_pipeline.model.precision import AUTO, BF16_HELP, DTYPES, chosen_dtype, default_device, dtype_name
from ltp_pipeline.model.precision import HELP as DTYPE_HELP
from ltp_pipeline.task.tasks import GLUE_NAMES, find_task
from ltp_pipeline.view.encode import FunctionTokens
from ltp_pipeline.view.token_batches import in_batches, padded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from transformer_revised import LTPForSequenceClassification

# What limits the memory of a batch
BATCH_FLAGS = ("--per_device_eval_batch_size", "--max_tokens_per_batch", "--max_length")


@dataclass
class PrunedModelArguments(ReadingArguments, TruncationArguments):
    """Flags of the scripts that show or write what a pruned model keeps."""

    model_name_or_path: str = HfArg(help="Folder of a pruned (LTP) checkpoint.")
    train_file: str | None = HfArg(
        default=None, help="Functions, with columns functionSource and label: CSV, TSV, JSON, JSON lines, Parquet."
    )
    validation_file: str | None = HfArg(default=None, help="Functions of the validation split, in the same format.")
    task_name: str = HfArg(
        default="code",
        help="The task that the checkpoint was fine-tuned for: code or vdisc (functions), or one of "
        f"{', '.join(GLUE_NAMES)}.",
    )
    max_length: int = HfArg(
        default=1024, aliases=["--max_seq_length"], help="Maximum number of tokens that are read of a function."
    )
    per_device_eval_batch_size: int | None = HfArg(
        default=None, help="Functions in a batch (default: see --max_tokens_per_batch)."
    )
    max_tokens_per_batch: int | None = HfArg(default=None, help=EVAL_HELP)
    device: str | None = HfArg(
        default=None, help="Device to run on, such as cpu or cuda:0 (default: the GPU of each process, else the CPU)."
    )
    use_cpu: bool = HfArg(default=False, help="Run on the CPU.")
    dtype: str = HfArg(default=AUTO, metadata={"choices": DTYPES}, help=f"Data type of the computation: {DTYPE_HELP}")
    bf16: bool | None = HfArg(default=None, metadata={"nargs": "?", "const": True}, help=BF16_HELP)
    num_threads: str = HfArg(default=AUTO_THREADS, help=THREADS_HELP)
    # Flags of the original commands. They have no effect: padding is never computed, and evaluation prunes hard.
    pad_to_max_length: bool = HfArg(default=False, help=SUPPRESS)
    temperature: float | None = HfArg(default=None, help=SUPPRESS)
    masking_mode: Literal["hard", "soft", "mixed"] = HfArg(default="hard", help=SUPPRESS)


@dataclass
class PrunedFunction:
    """The tokens that the `L` layers of a model kept of the `n` tokens of one function, and the scores and logits."""

    kept: np.ndarray  # [L, n] bool, which tokens are alive after each layer
    scores: np.ndarray  # [L, n] float32; NaN: the token was removed before the layer, or the layer does not prune
    logits: np.ndarray  # [C] float32, one for each class


def load_pruned_model(args: PrunedModelArguments) -> tuple[LTPForSequenceClassification, PreTrainedTokenizerBase]:
    """Loads the checkpoint `--model_name_or_path`, in evaluation mode on the chosen device, and its tokenizer.

    Raises UserError if a flag is wrong, the checkpoint does not prune or is not for the task, or its tokenizer gives
    no character offsets.
    """
    task = find_task(args.task_name, "--task_name")
    if args.masking_mode != "hard" and is_main():
        print(f"note: --masking_mode {args.masking_mode} is for training; this script prunes hard", file=sys.stderr)
    check_positive(args, "per_device_eval_batch_size", "max_tokens_per_batch")
    device = _choose_device(args)
    dtype = dtype_name(chosen_dtype(args.dtype, args.bf16, device))
    where = f"--model_name_or_path {args.model_name_or_path}"
    check_checkpoint(args.model_name_or_path, flag="--model_name_or_path")
    config = load_config(args.model_name_or_path, flag="--model_name_or_path")
    check_classes(config, task, where)
    model = load_pruning_model(args.model_name_or_path, flag="--model_name_or_path", dtype=dtype, task=task)
    config = model.config
    if config.prune_mode is None:
        raise UserError(
            f'{where}: this checkpoint does not prune ("prune_mode" is null in its config.json); '
            f"expected a checkpoint that {name_of('ltp-prune')} has pruned"
        )
    limit = position_limit(config)
    if not 3 <= args.max_length <= limit:
        raise UserError(f"--max_length {args.max_length}: expected 3 to {limit}, the number of positions of {where}")
    tokenizer = load_tokenizer(args.model_name_or_path, flag="--model_name_or_path")
    if not tokenizer.is_fast:
        raise UserError(f"{where}: its tokenizer gives no character offsets; expected a fast one (tokenizer.json)")
    check_tokenizer_fits(tokenizer, config, flag=where)
    learned = model.learned_thresholds()
    if learned and not any(offset.any() for offset in learned) and is_main():
        print(
            f"note: {args.model_name_or_path} has learned no thresholds; it prunes only by "
            f"final_token_threshold {config.final_token_threshold:g}",
            file=sys.stderr,
        )
    return model.eval().to(device), tokenizer


def _choose_device(args: PrunedModelArguments) -> torch.device:
    if args.use_cpu:
        return torch.device("cpu")
    name = args.device or default_device()
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: {str(error).splitlines()[0]}") from error


def prune_functions(
    model: LTPForSequenceClassification,
    functions: list[FunctionTokens],
    batch_size: int | None = None,
    max_tokens: int | None = None,
    description: str = "pruning",
) -> Iterator[tuple[int, PrunedFunction]]:
    """Runs the model on all functions, in the batches of [`in_batches`].

    Yields `(index in functions, PrunedFunction)`, the longest functions first.
    """
    compute = partial(_prune_batch, model)
    return in_batches(compute, functions, BATCH_FLAGS, batch_size, max_tokens, description)


@torch.inference_mode()
def _prune_batch(model: LTPForSequenceClassification, functions: list[FunctionTokens]) -> list[PrunedFunction]:
    output = model(**padded(functions, model), output_pruning=True, return_dict=True)
    kept = torch.stack(output.kept_tokens, dim=1).cpu().numpy()  # [B, L, longest]
    no_scores = torch.full(kept[:, 0].shape, torch.nan, device=model.device)
    scores = [no_scores if layer is None else layer.float() for layer in output.pruning_scores]
    scores = torch.stack(scores, dim=1).cpu().numpy()  # [B, L, longest]
    logits = output.logits.float().cpu().numpy()
    lengths = map(len, functions)
    return [PrunedFunction(kept[row, :, :n], scores[row, :, :n], logits[row]) for row, n in enumerate(lengths)]
