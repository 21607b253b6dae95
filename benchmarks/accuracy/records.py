"""Finished cells and shared models: how they are kept, and whether they are of the present data and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.accuracy.cells import BAG, DENSE, LEARNED, TWO_STAGES, Cell
from benchmarks.accuracy.settings import Settings
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import parse_json, write_text

FORMAT = 1  # increase it when cells of an earlier version cannot be compared with new ones
DATA = ("train_rows", "validation_rows", "test_rows", "max_negatives")
MODEL = ("hidden_size", "num_layers", "attention_window", "vocab_size")
BASE = (*MODEL, "model_name_or_path", "base_epochs", "base_lr", "batch_size", "dtype")
SOFT = ("soft_epochs", "stage_lr")
MEASURED = ("speed_functions", "speed_rounds", "line_functions")


def identity(cell: Cell, settings: Settings, hashes: dict[str, str], shared: str | None = None) -> dict[str, Any]:
    """What a cell, or with `shared` the shared model of that name, depends on. A change of it changes the result.

    `hashes`: SHA-256 of each table: `train`, `validation`, `test` and the names of further tests.
    """
    row, stage = cell.row, (shared or "").partition("_")[0]
    names: tuple[str, ...] = () if row.kind == BAG else BASE
    learned = row.pruned.kind == LEARNED
    taught = row.pruned.kind in TWO_STAGES and row.pruned.teacher != "none"
    if shared == "base":
        tables = ("train", "validation")
    elif shared is not None:
        names += SOFT if stage == "soft" else (*SOFT, "hard_epochs")
        tables = tuple(hashes) if stage == "text" else ("train", "validation")
    else:
        names += () if row.kind == BAG else (*SOFT, "hard_epochs", *MEASURED)
        tables = tuple(hashes)
    if shared != "base":
        names += ("soft_budget",) if learned else ()
        names += ("rank_weight",) if taught else ()
    if row.is_extracted and stage in ("", "text"):
        names += ("keep_layer",)
    if row.kind == DENSE and shared is None:
        names = tuple(name for name in names if name != "attention_window")
    if settings.model_name_or_path is not None:
        names = tuple(name for name in names if name not in MODEL)
    values = {name: getattr(settings, name) for name in names}
    return {"format": FORMAT, "settings": values, "data": {name: hashes[name] for name in tables}}


def difference(kept: dict[str, Any], present: dict[str, Any]) -> str:
    """How a kept identity differs from the present one, in words; "" if it does not."""
    if kept.get("format") != present["format"]:
        return f"it has format {kept.get('format')}, now {present['format']}"
    found = []
    for part, prefix in (("settings", "--"), ("data", "the table ")):
        one, other = kept.get(part, {}), present[part]
        for name in [*other, *(name for name in one if name not in other)]:
            if one.get(name) != other.get(name):
                values = (_shown(each.get(name), part) for each in (one, other))
                found.append(f"{prefix}{name} was {next(values)}, now {next(values)}")
    return "; ".join(found)


def _shown(value: Any, part: str) -> str:
    return "missing" if value is None else f"sha256 {value[:12]}" if part == "data" else str(value)


def read_record(path: Path, present: dict[str, Any] | None, overwrite: bool) -> dict[str, Any] | None:
    """The record at `path`; None if there is none, or if it is of other data or settings and may be overwritten.

    `present`: the identity that it must have; None: any. Raises UserError if it differs, or cannot be read.
    """
    if not path.is_file():
        return None
    try:
        record = parse_json(path.read_text(encoding="utf-8"))
        kept = record["identity"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if overwrite:
            return None
        raise UserError(f"{path}: is no record of a cell; expected to read one, or --overwrite") from error
    differs = "" if present is None else difference(kept, present)
    if not differs:
        return record
    if overwrite:
        return None
    raise UserError(
        f"{path}: is of other data or settings: {differs}; expected the same, --overwrite to replace it, or another "
        "--output_dir"
    )


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Writes a record whole. Lists of numbers stay on one line."""
    lines = [f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in record.items()]
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def cell_file(output: Path, cell: Cell) -> Path:
    return output / "cells" / f"{cell.name}.json"
