"""Says how the ranking of a pruned model was taught, and warns where it was not: kept does not mean relevant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

MULTI_LABEL = "multi_label_classification"
WARNING = "Warning: "  # how a note that warns begins
TAUGHT = {
    "attention": "Ranking taught by attention: early layers were trained to keep the tokens that the unpruned model's "
    "last layer attends to.",
    "relevance": "Ranking taught by relevance: early layers were trained to keep the tokens that {speak} in the "
    "unpruned model ({gradient} gradient times input).",
}


def ranking_note(config: PreTrainedConfig) -> str | None:
    """One line on what it means that this model keeps a token; None for a model that does not prune.

    A checkpoint that does not say how it was taught (`rank_teacher`) gets the warning.
    """
    mode, teacher = getattr(config, "prune_mode", None), getattr(config, "rank_teacher", None)
    if mode is None:
        return None
    if teacher is None:
        return _warning(mode, config)
    speak, gradient = _relevant(config), "absolute" if _is_regression(config) else "signed"
    return TAUGHT[teacher].format(speak=speak, gradient=gradient)


def ranking_fields(config: PreTrainedConfig) -> dict[str, Any]:
    """The fields of JSON results that say how the model was taught: `rank_teacher`, and `ranking`, the note."""
    return {"rank_teacher": getattr(config, "rank_teacher", None), "ranking": ranking_note(config)}


def _warning(mode: str, config: PreTrainedConfig) -> str:
    advice = []
    if config.num_labels == 2 and config.problem_type != MULTI_LABEL:  # lines are scored towards class 1 of two
        advice.append("line scores (--line_scores of ltp_test.py) show what speaks for class 1")
    if mode != "topk":  # has no soft stage
        advice.append("--rank_distillation 0.5 in the soft stage teaches the ranking")
    told = "; ".join(advice)
    return (
        f"{WARNING}kept does not mean relevant: the model keeps the tokens that receive much attention, and they need "
        f"not be those that decide.{f' {told[0].upper()}{told[1:]}.' if told else ''}"
    )


def _relevant(config: PreTrainedConfig) -> str:
    if _is_regression(config):
        return "change the prediction most"
    if config.problem_type == MULTI_LABEL:
        return "speak for the labels"
    return "speak for class 1" if config.num_labels == 2 else "speak for the right class"


def _is_regression(config: PreTrainedConfig) -> bool:
    return config.problem_type == "regression" or config.num_labels == 1
