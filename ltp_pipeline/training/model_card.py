"""Writes the model card (README.md) of a checkpoint: model, data, metrics, FLOPs and the command that made it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import accelerate
import torch
import transformers
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ltp_pipeline.base.files import format_table, write_text
from ltp_pipeline.data.glue_files import HUB_DATA_SET
from ltp_pipeline.model.ranking_note import ranking_note
from ltp_pipeline.training.how_to_load import how_to_load
from ltp_pipeline.training.reports import METRICS, by_split, interval_text, length_table

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from ltp_pipeline.task.tasks import Task
    from ltp_pipeline.training.model_card_origin import Origin

TEMPLATE = Path(__file__).with_name("model_card_template.md")
HEAD = "ForSequenceClassification"  # of every model that is trained
FROM_HUB = "from the hub"  # the file of a GLUE split that was read from there
HUB_SPLITS = {"eval": "validation", "eval_mismatched": "validation_mismatched"}  # the hub's names, if they differ


def write_model_card(
    folder: Path,
    config: PreTrainedConfig,
    results: dict[str, Any],
    data: list[dict[str, Any]],
    task: Task,
    command: str,
    origin: Origin,
) -> None:
    """Writes `folder`/README.md from model_card_template.md.

    `results`: all metrics, as in all_results.json. `data`: one row for each split, see `describe_splits`. `origin`:
    the checkpoint that training started from.
    """
    prune_mode = getattr(config, "prune_mode", None)
    eval_results = _eval_results(results, data, task)
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=[config.model_type, task.name.lower(), *([] if prune_mode is None else ["token-pruning"])],
        base_model=origin.base_model,
        base_model_relation=None if origin.base_model is None else "finetune",
        datasets=[HUB_DATA_SET] if any(row["file"] == FROM_HUB for row in data) else None,
        metrics=list(dict.fromkeys(result.metric_type for result in eval_results)) or None,
        model_name=f"{config.model_type}-{task.name.lower()}",
        eval_results=eval_results,
        **origin.license,
    )
    card = ModelCard.from_template(
        metadata,
        template_path=str(TEMPLATE),
        model_type=config.model_type,
        prune_mode=prune_mode,
        how_to_load=how_to_load(HEAD, config.model_type, bool(getattr(config, "auto_map", None))),
        origin=origin,
        classes=[] if task.is_regression else [str(config.id2label[number]) for number in sorted(config.id2label)],
        decision_threshold=getattr(config, "decision_threshold", None),
        pruning_table=_pruning_table(config, results),
        ranking=ranking_note(config, task),
        task_name=task.name,
        data_table=_data_table(data),
        results_table=_results_table(results),
        has_intervals=any(name.endswith("_interval") for name in results),
        length_table=length_table(by_split(results), markdown=True),
        layers_table=_layers_table(results),
        warnings=results.get("warnings", []),
        command=command,
        versions=_versions(),
    )
    write_text(folder / "README.md", f"{str(card).rstrip()}\n")


def _eval_results(results: dict[str, Any], data: list[dict[str, Any]], task: Task) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="text-classification",
            dataset_type=HUB_DATA_SET if row["file"] == FROM_HUB else Path(row["file"]).stem,
            dataset_name=f"{task.name}, {row['file']}",
            dataset_config=task.name.lower() if row["file"] == FROM_HUB else None,
            dataset_split=HUB_SPLITS.get(row["split"], row["split"]),
            metric_type=metric.hub_name,
            metric_value=results[f"{row['split']}_{metric.name}"],
        )
        for row in data
        for metric in METRICS
        if metric.hub_name and f"{row['split']}_{metric.name}" in results
    ]


def _pruning_table(config: PreTrainedConfig, results: dict[str, Any]) -> str:
    """How the model prunes, and what that saves on each evaluated split; "" if it prunes nothing."""
    if getattr(config, "prune_mode", None) is None:
        return ""
    values = {
        "prune mode": config.prune_mode,
        "score": config.score_normalization,
        "budget": config.target_flops and _digits(config.target_flops),
    }
    rows = [{"": name, "value": value} for name, value in values.items() if value is not None]
    for split, own in by_split(results).items():
        if (flops := own.get("relative_flops")) is not None:
            rows.append({"": f"relative FLOPs, {split}", "value": _digits(flops)})
    return format_table(rows, markdown=True)


def _data_table(data: list[dict[str, Any]]) -> str:
    rows = [{"skipped" if name == "skipped_rows" else name: value for name, value in row.items()} for row in data]
    return format_table(rows, markdown=True)


def _results_table(results: dict[str, Any]) -> str:
    named = by_split(results)
    names = [m.name for m in METRICS if m.on_card and any(m.name in own for own in named.values())]
    rows = [{"metric": name} | {split: _with_interval(own, name) for split, own in named.items()} for name in names]
    return format_table(rows, markdown=True) if named else ""


def _with_interval(metrics: dict[str, Any], name: str) -> str:
    bounds = interval_text(metrics.get(f"{name}_interval"))
    return f"{_digits(metrics.get(name))}{'' if bounds is None else f' ({bounds})'}"


def _layers_table(results: dict[str, Any]) -> str:
    thresholds, kept = results.get("eval_thresholds_per_layer"), results.get("eval_tokens_kept_per_layer")
    if not (thresholds and kept):
        return ""
    rows = [
        {"layer": layer, "threshold": _digits(threshold), "tokens computed per function": _digits(tokens)}
        for layer, (threshold, tokens) in enumerate(zip(thresholds, kept), start=1)
    ]
    return format_table(rows, markdown=True)


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _versions() -> str:
    versions = {"transformers": transformers, "torch": torch, "accelerate": accelerate}
    python = ".".join(map(str, sys.version_info[:3]))
    return ", ".join([f"Python {python}", *(f"{name} {module.__version__}" for name, module in versions.items())])
