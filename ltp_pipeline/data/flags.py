"""Defines the flags for data, as dataclasses: which files, what labels mean, and how long functions are truncated."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields

from transformers.hf_argparser import HfArg

from ltp_pipeline.data.truncation import MODES


@dataclass(kw_only=True)
class ColumnArguments:
    """Which columns of a file hold the functions and their labels."""

    text_column: str | None = HfArg(
        default=None,
        help="Column with the code (default: functionSource, code, text, or that of a known layout: docs/data.md). "
        "Not for GLUE tasks.",
    )
    label_column: str | None = HfArg(
        default=None,
        help="Column with the label: 0 or 1, true or false, or one clear word for each class; for a GLUE task a "
        "number or a name (default: label, or that of a known layout: docs/data.md). For a folder: folder or name.",
    )
    label_map: str | None = HfArg(
        default=None,
        help="The class of each name in the column of labels, or of each folder of files: good=0,bad=1, or a JSON "
        "file with such an object. Not for GLUE tasks.",
    )


def columns_given(args: ColumnArguments) -> dict[str, str]:
    """The flags of `ColumnArguments` that were given, for another command that reads the same files."""
    return {item.name: value for item in fields(ColumnArguments) if (value := getattr(args, item.name)) is not None}


@dataclass(kw_only=True)
class ReadingArguments(ColumnArguments):
    """How rows of a file become functions and their labels."""

    on_bad_rows: str = HfArg(
        default="error",
        metadata={"choices": ("error", "skip")},
        help="What to do with a row that has no code or an unknown label: stop with an error, or skip the row "
        "and report it.",
    )
    add_fixed_functions: bool = HfArg(
        default=False,
        help="For files with the repaired form of each defective function in the same row (BigVul, MegaVul): read it, "
        "too, as a function of label 0 that makes a pair with the defective one. Not for GLUE tasks.",
    )


@dataclass(kw_only=True)
class TruncationArguments:
    """Which tokens of a function are read if it is longer than the model's input."""

    truncation: str | None = HfArg(
        default=None,
        metadata={"choices": MODES},
        help="Which tokens of a too long function are read: its head, its tail, half of each (head_tail), or all, in "
        "overlapping windows. Evaluation uses the window with the highest probability of class 1; training uses each "
        "window as an example with the function's label (default: as the checkpoint was trained, else head).",
    )
    window_stride: int | None = HfArg(
        default=None, help="Tokens between the starts of two neighbouring windows (default: half a window)."
    )


@dataclass
class DataArguments(ReadingArguments, TruncationArguments):
    """Which functions, or items of a GLUE task, the training scripts read, and how many of them."""

    _argument_group_name = "functions, or items of a GLUE task"

    train_file: str | None = HfArg(
        default=None,
        help="Functions to train on, with columns functionSource and label: CSV, TSV, JSON or JSON lines "
        "(each also .gz), or Parquet; or a folder of source files (docs/data.md, Folders). For a GLUE task, a file "
        "with that task's columns and label; a split without a file is read from the hub.",
    )
    validation_file: str | None = HfArg(default=None, help="Functions to evaluate on, in the same format.")
    validation_mismatched_file: str | None = HfArg(
        default=None, help="MNLI only: items of the mismatched genres, evaluated after --validation_file."
    )
    test_file: str | None = HfArg(
        default=None,
        help="Functions to evaluate the final model on, in the same format. Without labels they are only predicted.",
    )
    max_seq_length: int | None = HfArg(
        default=None,
        aliases=["--max_seq_len"],
        help="Cut functions to this many tokens (default: as the checkpoint was trained, else 1024).",
    )
    # The original commands use this flag. It has no effect, because padding is never computed.
    pad_to_max_length: bool = HfArg(default=False, help=argparse.SUPPRESS)
    max_train_samples: int | None = HfArg(default=None, help="Train only on the first N functions of the file.")
    max_eval_samples: int | None = HfArg(
        default=None, aliases=["--max_val_samples"], help="Evaluate only on the first N functions of the file."
    )
    max_test_samples: int | None = HfArg(default=None, help="Test only on the first N functions of the file.")
    overwrite_cache: bool = HfArg(
        default=False,
        help="Tokenize again and overwrite the tokens in the cache, and compute again what --rank_distillation needs.",
    )
