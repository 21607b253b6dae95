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
from ltp_pipeline.model.ranking_note import ranking_note
from ltp_pipeline.training.reports import METRICS, by_split, interval_text, length_table

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
