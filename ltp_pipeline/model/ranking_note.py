"""Says how the ranking of a pruned model was taught, and warns where it was not: kept does not mean relevant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from ltp_pipeline.task.tasks import Task

WARNING = "Warning: "  # how a note that warns begins
TAUGHT = {
    "attention": "Ranking taught by attention: early layers were trained to keep the tokens that the unpruned model's "
    "last layer attends to.",
    "relevance": "Ranking taught by relevance: early layers were trained to keep the tokens that {speak} in the "
    "unpruned model (integrated gradients).",
    "magnitude": "Ranking taught by magnitude: early layers were trained to keep the tokens that change the unpruned "
    "model's prediction most, whichever way (integrated gradients).",
}


def ranking_note(config: PreTrainedConfig, task: Task) -> str | None:
    """One line on what it means that this model keeps a token; None for a model that does not prune.

    A checkpoint that does not say how it was taught (`rank_teacher`) gets the warning.
    """
    mode, teacher = getattr(config, "prune_mode", None), getattr(config, "rank_teacher", None)
    if mode is None:
        return None
    if teacher is None:
        return _warning(task)
    return TAUGHT[teacher].format(speak=_relevant(task))


def ranking_fields(config: PreTrainedConfig, task: Task) -> dict[str, Any]:
    """The fields of JSON results that say how the model was taught: `rank_teacher`, and `ranking`, the note."""
    return {"rank_teacher": getattr(config, "rank_teacher", None), "ranking": ranking_note(config, task)}


def _warning(task: Task) -> str:
    advice = []
    if len(task.columns) == 1 and task.num_labels == 2:  # otherwise lines have no scores
        advice.append("line scores (--line_scores of ltp_test.py) show what speaks for class 1")
    advice.append("--rank_distillation 1 teaches the ranking")
    told = "; ".join(advice)
    return (
        f"{WARNING}kept does not mean relevant: the model keeps the tokens that receive much attention, and they need "
        f"not be those that decide. {told[0].upper()}{told[1:]}."
    )


def _relevant(task: Task) -> str:
    """For what the tokens speak that the teacher "relevance" ranks high."""
    if task.is_regression:
        return "change the prediction most"
    if task.multi_label:
        return "speak for any of the labels"
    return "speak for class 1" if task.reads_functions and task.num_labels == 2 else "speak for the right class"
