"""Scores the lines of the functions that a run evaluates, where the data have flaw lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ltp_pipeline.data.truncation import choose_truncation
from ltp_pipeline.view.line_results import (
    NONE,
    LineScoring,
    check_method,
    has_lines_to_find,
    measures_of,
    write_line_scores,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ltp_pipeline.data.flags import DataArguments
    from ltp_pipeline.task.tasks import Task
    from ltp_pipeline.training.arguments import FineTuningArguments
    from ltp_pipeline.training.trainer import ClassifierTrainer


def line_scoring(
    args: FineTuningArguments,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    frames: dict[str, pd.DataFrame],
    task: Task,
    data: DataArguments,
) -> LineScoring | None:
    """How the lines of the evaluated splits are scored; None: no split has flaw lines, or `--line_scores none`.

    Raises UserError if the model cannot be scored by `--line_scores`.
    """
    evaluated = [frame for split, frame in frames.items() if split != "train"]
    if args.line_scores == NONE or not any(has_lines_to_find(frame, task) for frame in evaluated):
        return None
    method = check_method(args.line_scores, model, tokenizer)
    if method == NONE:
        return None
    length = tokenizer.model_max_length
    truncation = choose_truncation(data, model.config, task, tokenizer, length)
    sizes = args.per_device_eval_batch_size, args.max_eval_tokens_per_batch
    return LineScoring(method, tokenizer, length, truncation, *sizes)


def score_lines(
    trainer: ClassifierTrainer,
    scoring: LineScoring,
    frame: pd.DataFrame,
    split: str,
    table: pd.DataFrame,
    lengths: np.ndarray,
    folder: Path,
) -> dict[str, Any]:
    """Scores the lines of a split, writes `line_scores.jsonl` into `folder`, and returns `<split>_line_...`.

    `table`: the predictions. `lengths`: tokens of each function before it is truncated, `[N]`.
    {} in all processes except the main one.
    """
    with trainer.compute_loss_context_manager():
        scores = scoring.scores(trainer.model, frame)
    if scores is None:
        return {}
    write_line_scores(folder / f"{split}_line_scores.jsonl".removeprefix("eval_"), frame, scores)
    measures = measures_of(scores, frame, table["score"].to_numpy(), table["prediction"].to_numpy(), lengths)
    return {f"{split}_{name}": value for name, value in measures.items()}
