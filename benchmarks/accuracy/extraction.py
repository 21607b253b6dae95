"""Extracts the text that a pruned model keeps, for a second model that is trained on it.

It is what ltp_extract_and_save.py writes. As a control, as many tokens of each function are drawn at random.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.accuracy.cells import EXTRACTED, EXTRACTED_RANDOM, Cell, Row
from benchmarks.accuracy.data_sets import TRAIN, VALIDATION, DataSet
from benchmarks.accuracy.settings import Settings
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import write_csv, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ltp_pipeline.view.kept_tokens import PrunedModelArguments
    from transformer_revised import LTPForSequenceClassification


class _Extractor:
    """A pruned model that extracts text."""

    def __init__(self, folder: Path, cell: Cell, settings: Settings):
        from ltp_pipeline.data.truncation import choose_single_reading
        from ltp_pipeline.task.tasks import CODE
        from ltp_pipeline.view.kept_tokens import PrunedModelArguments, load_pruned_model

        args: PrunedModelArguments = PrunedModelArguments(
            model_name_or_path=str(folder), max_length=cell.reading.length, truncation=cell.reading.truncation,
            dtype=settings.dtype,
        )  # fmt: skip
        self.max_length = args.max_length
        self.model: LTPForSequenceClassification
        self.tokenizer: PreTrainedTokenizerBase
        self.model, self.tokenizer = load_pruned_model(args)
        self.truncation = choose_single_reading(args, self.model.config, CODE, self.tokenizer)
        self.flops = np.zeros(self.model.config.num_hidden_layers, dtype=np.int64)  # `[L]`, executed by each layer
        self.model.register_forward_hook(self._count)

    def _count(self, _module: Any, _args: Any, output: Any) -> None:
        from transformer_revised.models.ltp.flops_ltp import layer_counts, layer_flops

        self.flops += [layer_flops(self.model.config, layer).sum() for layer in layer_counts(output)]

    def nearest_layer(self, texts: list[str], budget: float) -> int:
        """The layer, from 1, after which the share of tokens that are left is nearest to the budget.

        Layers that remove nothing do not count. Raises UserError if all do so.
        """
        from ltp_pipeline.view.encode import encode
        from ltp_pipeline.view.kept_tokens import prune_functions

        functions = encode(texts, self.tokenizer, self.max_length, self.truncation)
        left, all_tokens = np.zeros(len(self.flops)), sum(int(function.is_text.sum()) for function in functions)
        for index, pruned in prune_functions(self.model, functions):
            left += pruned.kept[:, functions[index].is_text].sum(axis=1)
        if left.min() == all_tokens:
            raise UserError("the model removes no token of the validation functions; expected a lower budget")
        distances = np.where(left < all_tokens, np.abs(left / all_tokens - budget), np.inf)
        return int(np.argmin(distances)) + 1

    def texts(self, texts: list[str], layer: int, random: np.random.Generator) -> tuple[dict[str, list[str]], dict]:
        """The kept and the random text of each function by kind of row, and what was counted of the former."""
        from ltp_pipeline.view.encode import encode
        from ltp_pipeline.view.kept_text import kept_text
        from ltp_pipeline.view.kept_tokens import prune_functions

        functions = encode(texts, self.tokenizer, self.max_length, self.truncation)
        self.flops[:] = 0
        kept = {i: pruned.kept[layer - 1] for i, pruned in prune_functions(self.model, functions)}
        found: dict[str, list[str]] = {EXTRACTED: [], EXTRACTED_RANDOM: []}
        tokens_kept = 0
        for i, (text, function) in enumerate(zip(texts, functions, strict=True)):
            number = int((kept[i] & function.is_text).sum())
            drawn = np.zeros_like(kept[i])
            drawn[random.choice(np.flatnonzero(function.is_text), number, replace=False)] = True
            found[EXTRACTED].append(kept_text(text, function, kept[i]))
            found[EXTRACTED_RANDOM].append(kept_text(text, function, drawn))
            tokens_kept += number
        tokens = sum(int(function.is_text.sum()) for function in functions)
        counts = {
            "tokens": tokens, "tokens_kept": tokens_kept, "share_kept": tokens_kept / max(tokens, 1),
            "flops": int(self.flops[:layer].sum()),
        }  # fmt: skip
        return found, counts


def extract(model: Path, data: DataSet, cell: Cell, settings: Settings, folder: Path, files: dict[str, Path]) -> str:
    """Writes what the pruned model keeps of each function of each table, and as many random tokens, to `folder`.

    The tokens are those alive after `--keep_layer`. Returns the command that extracts the same text from `files`.
    Raises UserError if no layer removes a token, or the tokenizer gives no character offsets.
    """
    extractor = _Extractor(model, cell, settings)
    budget = float(cell.row.budget)
    layer = settings.keep_layer or extractor.nearest_layer(_functions(data, VALIDATION), budget)
    texts: dict[str, dict[str, list[str]]] = {EXTRACTED: {}, EXTRACTED_RANDOM: {}}
    tables = {}
    for place, table in enumerate(data.frames):
        random = np.random.default_rng([cell.seed, place])
        own, tables[table] = extractor.texts(_functions(data, table), layer, random)
        for kind in texts:
            texts[kind][table] = own[kind]
    write_json(folder / "extraction.json", {"keep_layer": layer, "tables": tables, "texts": texts})
    flags = ["--train_file", files[TRAIN], "--validation_file", files[VALIDATION], "--model_name_or_path", model]
    flags += ["--max_length", cell.reading.length, "--truncation", cell.reading.truncation]
    flags += ["--keep_layer", layer, "--dtype", settings.dtype, "--output_dir", folder]
    return shlex.join(["python", "ltp_extract_and_save.py", *map(str, flags)])


def extracted_text(
    folder: Path, row: Row, data: DataSet, work: Path
) -> tuple[dict[str, list[str]], dict[str, Path], dict[str, Any]]:
    """What `extract` has written for a row: the text of each function by table, files to train with, and the counts.

    The files are written to `work`, in the format of ltp_extract_and_save.py.
    """
    import pandas as pd

    found = json.loads((folder / "extraction.json").read_text(encoding="utf-8"))
    texts, tables, files = found["texts"][row.kind], found["tables"], {}
    for table in (TRAIN, VALIDATION):
        files[table] = work / f"{table}.csv"
        labels = data.frames[table]["label"].to_numpy()
        write_csv(files[table], pd.DataFrame({"label": labels, "code": texts[table]}))
    for table, own in tables.items():
        own["empty_functions"] = sum(not text.strip() for text in texts[table])
    return texts, files, {"keep_layer": found["keep_layer"], "tables": tables}


def _functions(data: DataSet, table: str) -> list[str]:
    return data.frames[table]["functionSource"].tolist()
