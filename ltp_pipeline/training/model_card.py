"""The README.md beside a checkpoint: what it is, from which data, how good, at which cost, and the command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import accelerate
import torch
import transformers
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ltp_pipeline.base.files import write_text

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from ltp_pipeline.task.tasks import Task

# metric of ours: its name on the hub
METRICS = {
    "accuracy": "accuracy",
    "f1": "f1",
    "recall": "recall",
    "precision": "precision",
    "auc": "roc_auc",
    "macro_f1": "f1",
    "matthews_correlation": "matthews_correlation",
    "pearson": "pearsonr",
    "spearmanr": "spearmanr",
}
SHOWN = (*METRICS, "false_alarm_rate", "decision_threshold", "loss", "relative_flops", "full_relative_flops")


def write_model_card(
    folder: Path,
    config: PreTrainedConfig,
    results: dict[str, Any],
    data: list[dict[str, Any]],
    task: Task,
    command: str,
) -> None:
    """Writes `folder`/README.md.

    Args:
        config: of the model.
        results: all metrics, as in all_results.json.
        data: for each split: `split`, `file` (its name alone), `rows` and `classes`, see `describe_splits`.
        task: what the model was trained for.
        command: that made it.
    """
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=[config.model_type, task.name.lower(), *(["token-pruning"] if _prunes(config) else [])],
        model_name=f"{config.model_type}-{task.name.lower()}",
        eval_results=_eval_results(results, data, task),
    )
    text = _text(config, results, data, task, command)
    write_text(folder / "README.md", str(ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{text}")))


def _prunes(config: PreTrainedConfig) -> bool:
    return getattr(config, "prune_mode", None) is not None


def _eval_results(results: dict[str, Any], data: list[dict[str, Any]], task: Task) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="text-classification",
            dataset_type="glue" if row["file"] == "from the hub" else Path(row["file"]).stem,
            dataset_name=f"{task.name}, {row['file']}",
            dataset_split=row["split"],
            metric_type=METRICS[name],
            metric_value=results[f"{row['split']}_{name}"],
        )
        for row in data
        for name in METRICS
        if f"{row['split']}_{name}" in results
    ]


def _text(
    config: PreTrainedConfig, results: dict[str, Any], data: list[dict[str, Any]], task: Task, command: str
) -> str:
    splits = [row["split"] for row in data if f"{row['split']}_runtime" in results and row["split"] != "train"]
    shown = [name for name in SHOWN if any(f"{split}_{name}" in results for split in splits)]
    sections = [
        f"# {config.model_type} for {task.name}",
        _about(config),
        "## Data\n\n" + _table([list(row.values()) for row in data], "split file rows skipped classes"),
    ]
    if splits:
        rows = [[name, *(_number(results.get(f"{split}_{name}")) for split in splits)] for name in shown]
        sections.append("## Results\n\n" + _table(rows, f"metric {' '.join(splits)}"))
    thresholds = results.get("eval_thresholds_per_layer")
    kept = results.get("eval_tokens_kept_per_layer")
    if thresholds and kept:
        rows = [[layer, _number(t), _number(k)] for layer, (t, k) in enumerate(zip(thresholds, kept), start=1)]
        sections.append("## Layers\n\n" + _table(rows, "layer threshold tokens_computed_per_function"))
    sections.append(f"## Made by\n\n```\n{command}\n```\n\n{_versions()}")
    return "\n\n".join(sections) + "\n"


def _about(config: PreTrainedConfig) -> str:
    if config.model_type != "ltp":
        return "A sequence classifier of the Transformers library."
    how = f"tokens leave layer by layer (`{config.prune_mode}`)" if _prunes(config) else "it does not prune yet"
    return (
        f"A Longformer with Learned Token Pruning (Kim et al., KDD 2022): {how}. `import transformer_revised` makes "
        "the model type known to the Auto classes. `relative_flops`: what is executed, over what the same model "
        "executes without pruning."
    )


def _versions() -> str:
    versions = {"transformers": transformers, "torch": torch, "accelerate": accelerate}
    python = ".".join(map(str, sys.version_info[:3]))
    return ", ".join([f"Python {python}", *(f"{name} {module.__version__}" for name, module in versions.items())])


def _table(rows: list[list[Any]], heading: str) -> str:
    names = [name.replace("_", " ") if name.startswith("tokens") else name for name in heading.split(" ")]
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
