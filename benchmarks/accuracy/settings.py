"""The flags of the benchmark, and the presets that set their default values."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmarks.common import make_parser
from ltp_pipeline.base.errors import UserError, check_seed
from ltp_pipeline.base.flags import check_positive

LOWEST = "lowest"  # the budget at which every layer that can prune removes all tokens that it can
TEACHERS = ("none", "attention", "relevance", "magnitude")
TRUNCATIONS = ("head", "tail", "head_tail", "windows")
UNPRUNED = "unpruned"
UNPRUNED_LAYERS = 3  # the first layers, in which --prune_mode topk removes nothing


def _setting(
    default: Any, text: str, kind: type = int, several: bool = False, choices: tuple[str, ...] | None = None
) -> Any:
    options = {"help": text, "type": kind, "choices": choices, **({"nargs": "+"} if several else {})}
    metadata = {"options": options}
    return field(default_factory=lambda: list(default), metadata=metadata) if several else field(
        default=default, metadata=metadata
    )  # fmt: skip


@dataclass
class Settings:
    """What decides a result. The default values are those of the preset `cpu`."""

    hidden_size: int = _setting(256, "width of models with random weights, a multiple of 64")
    num_layers: int = _setting(6, "layers of models with random weights")
    attention_window: int = _setting(128, "attention window of models with random weights")
    vocab_size: int = _setting(8000, "tokens of the tokenizer that each data set gets")
    model_name_or_path: str | None = _setting(
        None, "converted or fine-tuned LTP or Longformer checkpoint to start from, instead of random weights", str
    )
    readings: list[str] = _setting(
        ["512"], "how functions are read: a length in tokens, maybe with a truncation, such as 512 4096 512:tail; "
        "each is compared on its own", str, several=True,
    )  # fmt: skip
    train_rows: int = _setting(3000, "training functions that are drawn of each data set; 0: all")
    validation_rows: int = _setting(500, "validation functions that are drawn; 0: all")
    test_rows: int = _setting(1500, "functions that are drawn of each test; 0: all")
    max_negatives: int = _setting(
        4, "functions of class 0 for each one of class 1 in every table, at most; further ones are left out before "
        "functions are drawn; 0: all stay",
    )  # fmt: skip
    base_epochs: float = _setting(3.0, "epochs of fine-tuning, from which every row of a seed starts", float)
    soft_epochs: float = _setting(1.0, "epochs of soft pruning", float)
    hard_epochs: float = _setting(1.0, "epochs of hard pruning", float)
    base_lr: float = _setting(2e-4, "learning rate of fine-tuning", float)
    stage_lr: float = _setting(1e-4, "learning rate of everything after it", float)
    batch_size: int = _setting(16, "functions in a training batch")
    dtype: str = _setting("auto", "data type", str, choices=("auto", "float32", "bfloat16"))
    budgets: list[str] = _setting(
        ["0.7", "0.5", "0.3", LOWEST], f"budgets of learned pruning, in relative FLOPs, or {LOWEST}", str, several=True
    )
    control_budgets: list[str] = _setting(["0.3"], "budgets of the controls", str, several=True)
    first_layer_budgets: list[str] = _setting(
        ["0.2"], "budgets of learned pruning that begins in the first layer (--prune_first_layer)", str, several=True
    )
    first_layer_teachers: list[str] = _setting(
        ["relevance"], "--teachers of these rows", str,
        several=True, choices=TEACHERS,
    )  # fmt: skip
    soft_budget: float = _setting(
        0.3, "budget of the soft stage that all budgets of a teacher share; 0: each has its own", float
    )
    extracted_budgets: list[str] = _setting(
        ["0.3"], "budgets of the models taught by relevance whose kept text a second model is trained on", str,
        several=True,
    )  # fmt: skip
    keep_layer: int = _setting(
        0, "layer, counted from 1, after which what is left of a text is extracted; 0: where the share of tokens that "
        "are left of validation functions is nearest to the budget",
    )  # fmt: skip
    teachers: list[str] = _setting(
        TEACHERS[:3], "how learned pruning ranks tokens: see --rank_teacher of run_code_metrics.py; none: without a "
        "teacher", str, several=True, choices=TEACHERS,
    )  # fmt: skip
    rank_weight: float = _setting(1.0, "--rank_distillation of taught rankings", float)
    seeds: list[int] = _setting([0, 1, 2], "seeds; every row has a cell for each", several=True)
    speed_functions: int = _setting(150, "test functions on which the speed is measured")
    speed_rounds: int = _setting(3, "timed passes over them")
    line_functions: int = _setting(200, "functions with flaw lines in each test whose tokens and lines are scored")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "hidden_size": 64, "attention_window": 32, "vocab_size": 1000, "readings": ["192"],
        "train_rows": 400, "validation_rows": 150, "test_rows": 300, "base_lr": 5e-4, "stage_lr": 2e-4,
        "budgets": ["0.5"], "control_budgets": ["0.5"], "extracted_budgets": ["0.5"], "soft_budget": 0.5, "seeds": [0],
        "speed_functions": 40, "line_functions": 40,
    },
    "cpu": {},
    "gpu": {
        "hidden_size": 768, "num_layers": 12, "attention_window": 512, "vocab_size": 32000, "readings": ["1024"],
        "train_rows": 0, "validation_rows": 0, "test_rows": 0, "max_negatives": 0, "base_lr": 5e-5, "stage_lr": 2e-5,
        "control_budgets": ["0.7", "0.5", "0.3", LOWEST], "soft_budget": 0.0, "speed_functions": 1000,
        "line_functions": 1000,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """How much of a function the model reads."""

    length: int  # tokens
    truncation: str  # one of TRUNCATIONS

    @property
    def name(self) -> str:
        """Such as `512` or `512tail`; a part of the name of a cell."""
        return f"{self.length}{'' if self.truncation == 'head' else self.truncation}"


def parse_reading(text: str) -> Reading:
    """The reading that `512` or `512:tail` means. Raises UserError."""
    length, _, truncation = text.partition(":")
    if not length.isdecimal() or int(length) < 8 or (truncation or "head") not in TRUNCATIONS:
        raise UserError(
            f"--readings {text}: expected a length of at least 8 tokens, maybe with one of {', '.join(TRUNCATIONS)}, "
            "such as 512 or 512:tail"
        )
    return Reading(int(length), truncation or "head")


def parse_flags(argv: list[str] | None, description: str) -> tuple[argparse.Namespace, Settings]:
    """Parses the command line `argv`; None stands for that of this process.

    Returns the flags that decide no result (output_dir, data_dir, only, list, tables_only, overwrite, bootstrap,
    reference), and the settings. Raises UserError if a value is out of range.
    """
    args = _parser(description).parse_args(argv)
    given = {each.name: getattr(args, each.name) for each in fields(Settings)}
    settings = Settings(**{**PRESETS[args.preset], **{name: v for name, v in given.items() if v is not None}})
    check_settings(settings)
    if args.bootstrap < 100:
        raise UserError(f"--bootstrap {args.bootstrap}: expected 100 or more")
    if args.data_dir is None and not args.tables_only:
        raise UserError("--data_dir is missing; expected a folder with a folder for each data set, or --tables_only")
    return args, settings


def check_settings(settings: Settings) -> None:
    """Raises UserError for a value out of range."""
    check_positive(settings, "attention_window", "batch_size", "speed_functions", "speed_rounds", "line_functions")
    if settings.num_layers <= UNPRUNED_LAYERS:
        raise UserError(f"--num_layers {settings.num_layers}: expected at least 4, as topk prunes from layer 4 on")
    if settings.hidden_size < 64 or settings.hidden_size % 64:
        raise UserError(f"--hidden_size {settings.hidden_size}: expected a multiple of 64, the width of a head")
    if settings.attention_window % 2:
        raise UserError(f"--attention_window {settings.attention_window}: expected an even number of tokens")
    if settings.vocab_size < 261:
        raise UserError(f"--vocab_size {settings.vocab_size}: expected 261 or more")
    for name in ("train_rows", "validation_rows", "test_rows", "max_negatives"):
        if getattr(settings, name) < 0:
            raise UserError(f"--{name} {getattr(settings, name)}: expected 0 for all, or more")
    for name in ("base_epochs", "soft_epochs", "hard_epochs", "base_lr", "stage_lr", "rank_weight"):
        if not (math.isfinite(getattr(settings, name)) and getattr(settings, name) > 0):
            raise UserError(f"--{name} {getattr(settings, name)}: expected a number above 0")
    for name in ("budgets", "control_budgets", "extracted_budgets", "first_layer_budgets"):
        for budget in getattr(settings, name):
            _check_budget(name, budget, lowest=name != "extracted_budgets")
    if settings.keep_layer < 0:
        raise UserError(f"--keep_layer {settings.keep_layer}: expected a layer, counted from 1, or 0")
    if not 0 <= settings.soft_budget <= 1:
        raise UserError(f"--soft_budget {settings.soft_budget}: expected relative FLOPs above 0, at most 1, or 0")
    for seed in settings.seeds:
        check_seed(seed)
    several = (
        "seeds",
        "readings",
        "budgets",
        "control_budgets",
        "extracted_budgets",
        "first_layer_budgets",
        "first_layer_teachers",
        "teachers",
    )
    for name in several:
        values = getattr(settings, name)
        if len(set(values)) < len(values):
            raise UserError(f"--{name} {' '.join(map(str, values))}: a value is given twice")
    for reading in settings.readings:
        parse_reading(reading)


def _check_budget(name: str, text: str, lowest: bool) -> None:
    if text == LOWEST and lowest:
        return
    try:
        possible = 0 < float(text) < 1
    except ValueError:
        possible = False
    if not possible:
        more = f", or {LOWEST}" if lowest else ""
        raise UserError(f"--{name} {text}: expected relative FLOPs above 0 and below 1{more}")


def _parser(description: str) -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.accuracy", description)
    add = parser.add_argument
    add("--data_dir", type=Path, help="folder with a folder for each data set")
    add("--output_dir", type=Path, default=Path("benchmark_accuracy"), help="folder of cells, models and tables")
    add(
        "--preset",
        choices=PRESETS,
        default="cpu",
        help="sizes: quick tries every kind of row; cpu: hours; gpu: base size",
    )
    add("--only", nargs="+", metavar="PATTERN", help="only cells whose name holds one of these, with * and ?")
    add("--list", action="store_true", help="print cells and their tokens; run nothing")
    add("--tables_only", action="store_true", help="only make tables and figure of finished cells")
    add("--overwrite", action="store_true", help="replace cells of other data or settings")
    add("--bootstrap", type=int, default=1000, help="draws for the intervals of the tables")
    add(
        "--reference", default=UNPRUNED,
        help="row that the others are compared with; READING/ROW compares with that of another reading",
    )  # fmt: skip
    defaults = Settings()
    for each in fields(Settings):
        options = dict(each.metadata["options"])
        value = getattr(defaults, each.name)
        shown = " ".join(map(str, value)) if isinstance(value, list) else value
        options["help"] += "" if value is None else f" (default of cpu: {shown})"
        add(f"--{each.name}", **options)
    return parser
