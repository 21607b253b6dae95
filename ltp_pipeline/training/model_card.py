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
from ltp_pipeline.training.reports import METRICS, evaluated_splits

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from ltp_pipeline.task.tasks import Task

TEMPLATE = Path(__file__).with_name("model_card_template.md")


def write_model_card(
    folder: Path,
    config: PreTrainedConfig,
    results: dict[str, Any],
    data: list[dict[str, Any]],
    task: Task,
    command: str,
) -> None:
    """Writes `folder`/README.md from model_card_template.md.

    `results`: all metrics, as in all_results.json. `data`: one row for each split, see `describe_splits`.
    """
    prune_mode = getattr(config, "prune_mode", None)
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=[config.model_type, task.name.lower(), *([] if prune_mode is None else ["token-pruning"])],
        model_name=f"{config.model_type}-{task.name.lower()}",
        eval_results=_eval_results(results, data, task),
    )
    card = ModelCard.from_template(
        metadata,
        template_path=str(TEMPLATE),
        model_type=config.model_type,
        prune_mode=prune_mode,
        task_name=task.name,
        data_table=_data_table(data),
        results_table=_results_table(results),
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
            dataset_type="glue" if row["file"] == "from the hub" else Path(row["file"]).stem,
            dataset_name=f"{task.name}, {row['file']}",
            dataset_split=row["split"],
            metric_type=metric.hub_name,
            metric_value=results[f"{row['split']}_{metric.name}"],
        )
        for row in data
        for metric in METRICS
        if metric.hub_name and f"{row['split']}_{metric.name}" in results
    ]


def _data_table(data: list[dict[str, Any]]) -> str:
    rows = [{"skipped" if name == "skipped_rows" else name: value for name, value in row.items()} for row in data]
    return format_table(rows, markdown=True)


def _results_table(results: dict[str, Any]) -> str:
    splits = evaluated_splits(results)
    names = [m.name for m in METRICS if m.on_card and any(f"{split}_{m.name}" in results for split in splits)]
    rows = [{"metric": name} | {split: _digits(results.get(f"{split}_{name}")) for split in splits} for name in names]
    return format_table(rows, markdown=True) if splits else ""


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
