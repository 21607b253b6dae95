"""Writes data sets in which each function is reduced to the code that a pruned model keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from ltp_pipeline.base import processes
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import format_table, replaced_together, write_csv, write_json
from ltp_pipeline.base.result_folder import open_folder
from ltp_pipeline.data.readers import read_task_file
from ltp_pipeline.data.truncation import choose_single_reading
from ltp_pipeline.files.data_card import HEADING, write_card
from ltp_pipeline.files.file_formats import SKIPPED
from ltp_pipeline.model.precision import name_of_computation
from ltp_pipeline.model.ranking_note import ranking_fields
from ltp_pipeline.task.tasks import Task, find_task, has_labels
from ltp_pipeline.view.encode import FunctionTokens, encode
from ltp_pipeline.view.kept_text import kept_texts
from ltp_pipeline.view.kept_tokens import PrunedModelArguments, load_pruned_model, prune_functions

if TYPE_CHECKING:
    from transformer_revised import LTPForSequenceClassification

OUTPUTS = {"--train_file": "train_pruned.csv", "--validation_file": "dev_pruned.csv"}
SPLITS = {"train_pruned.csv": "train", "dev_pruned.csv": "validation"}  # as the hub names them


def write_pruned_files(args: PrunedModelArguments, keep_layer: int | None, output_dir: Path) -> dict[str, Any] | None:
    """Prunes `--train_file` and `--validation_file`, and writes the results and extraction.json to `output_dir`.

    Several processes share the work. If the run is interrupted, the files in `output_dir` stay as they were.

    `keep_layer`: the tokens alive after this layer are kept, counted from 1; None: the last layer.
    Returns the values of extraction.json, with the counts of each file in `files`; None in all processes except the
    main one.
    Raises UserError if a file, the checkpoint, a flag or `output_dir` cannot be used.
    """
    files = {"--train_file": args.train_file, "--validation_file": args.validation_file}
    files = {flag: path for flag, path in files.items() if path is not None}
    if not files:
        raise UserError("give --train_file, --validation_file or both: the functions to prune")
    task = find_task(args.task_name, "--task_name")
    frames = {flag: read_task_file(path, task, args, flag=flag, labels="optional") for flag, path in files.items()}
    model, tokenizer = load_pruned_model(args)
    num_layers = model.config.num_hidden_layers
    if keep_layer is not None and not 1 <= keep_layer <= num_layers:
        raise UserError(f"--keep_layer {keep_layer}: expected 1 to {num_layers}, the layers of the model")
    layer = keep_layer or num_layers
    truncation = choose_single_reading(args, model.config, task, tokenizer)
    results = {}
    with open_folder(output_dir):
        for flag, path in files.items():
            frame = frames[flag]
            texts = list(frame[list(task.columns)].itertuples(index=False, name=None))
            functions = encode(texts, tokenizer, args.max_length, truncation)
            kept = prune_texts(texts, functions, model, layer, args, f"pruning {path}")
            if kept is not None:
                counts = {"file": path, "written": OUTPUTS[flag], **_counts(frame, task, functions, kept)}
                results[OUTPUTS[flag]] = _pruned_frame(frame, task, kept), counts
        if not processes.is_main():
            return None
        report = {
            "model_name_or_path": args.model_name_or_path,
            "max_length": args.max_length,
            "after_layer": layer,
            "dtype": name_of_computation(model),
            "threads": torch.get_num_threads(),
            **ranking_fields(model.config, task),
            "files": [counts for _, counts in results.values()],
        }
        with replaced_together(output_dir) as staging:
            for name, (frame, _) in results.items():
                write_csv(staging / name, frame)
            files, frames = list(results), [frame for frame, _ in results.values()]
            tables = {"default": {SPLITS[name]: name for name in files}}
            classes = () if task.multi_label else [model.config.id2label[i] for i in range(len(task.labels))]
            write_card(staging, output_dir, _page(report), tables, frames, classes)
            write_json(staging / "extraction.json", report)
    return report


def _page(report: Mapping[str, Any]) -> str:
    """The data card. The paths of the files and of the checkpoint are shortened to their names."""
    names = ("file", "written", "functions", "tokens", "tokens_kept", "share_kept", "empty_functions")
    rows = [{name: counts[name] for name in names} | {"file": Path(counts["file"]).name} for counts in report["files"]]
    model = Path(report["model_name_or_path"]).absolute().name
    return (
        f"{HEADING}: what a pruned model keeps\n\nThe code that `{model}` keeps of each function after layer "
        f"{report['after_layer']}, of at most {report['max_length']} tokens.\n\n{format_table(rows, markdown=True)}\n"
    )


def prune_texts(
    texts: list[tuple[str, ...]],
    functions: list[FunctionTokens],
    model: LTPForSequenceClassification,
    layer: int,
    args: PrunedModelArguments,
    description: str,
) -> list[tuple[list[str], int]] | None:
    """The texts of the tokens alive after `layer` (counted from 1) and the number of tokens, for each function.

    Special tokens do not count. The result is None in all processes except the main one.
    """
    own = {}
    sizes = args.per_device_eval_batch_size, args.max_tokens_per_batch
    for index, pruned in prune_functions(model, functions, *sizes, description):
        kept = pruned.kept[layer - 1]
        number = int((kept & functions[index].is_text).sum())
        own[index] = kept_texts(texts[index], functions[index], kept), number
    shares = processes.gather(own)
    if shares is None:
        return None
    everything = {index: result for share in shares for index, result in share.items()}
    return [everything[index] for index in range(len(functions))]


def _pruned_frame(frame: pd.DataFrame, task: Task, kept: list[tuple[list[str], int]]) -> pd.DataFrame:
    """Makes the columns label (if there are labels) and code, or for a GLUE task those of the task."""
    pruned = pd.DataFrame([texts for texts, _ in kept], columns=["code"] if task.reads_functions else task.columns)
    if has_labels(frame["label"].tolist()):
        pruned.insert(0, "label", frame["label"].to_numpy())
    return pruned


def _counts(
    frame: pd.DataFrame, task: Task, functions: list[FunctionTokens], kept: list[tuple[list[str], int]]
) -> dict[str, Any]:
    """The counts of one file for extraction.json. Special tokens do not count."""
    tokens = int(sum(function.is_text.sum() for function in functions))
    tokens_kept = sum(number for _, number in kept)
    counts = {"functions": len(frame), "skipped_rows": frame.attrs[SKIPPED]}
    if len(task.columns) == 1:  # pairs of texts are truncated by the tokenizer, which does not report it
        cut = sum(function.full_length > len(function) for function in functions)
        counts |= {"truncated_functions": cut, "truncated_share": cut / len(frame)}
    return counts | {
        "tokens": tokens,
        "tokens_kept": tokens_kept,
        "share_kept": tokens_kept / tokens,
        "empty_functions": sum(not any(texts) for texts, _ in kept),
    }
