r"""Writes the code that a pruned model keeps of each function: train_pruned.csv and dev_pruned.csv.

Their columns are label and code; for a GLUE task, label and the columns of the task. Files without labels give files
without the column label.

  python ltp_extract_and_save.py --model_name_or_path hard --train_file Data/train_subset.csv \
      --validation_file Data/validation.csv --output_dir pruned_data
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers.hf_argparser import HfArg

from ltp_pipeline.base.files import format_table
from ltp_pipeline.base.flags import parse_arguments
from ltp_pipeline.base.folder_lock import locked
from ltp_pipeline.base.next_commands import fine_tuning, show_next
from ltp_pipeline.base.result_folder import check_file_overwrite, place_of
from ltp_pipeline.base.threads import use_threads
from ltp_pipeline.files.file_formats import shortened
from ltp_pipeline.view.kept_tokens import PrunedModelArguments


@dataclass
class ExtractArguments(PrunedModelArguments):
    """Flags of ltp_extract_and_save.py."""

    output_dir: str = HfArg(
        default="pruned_data", help="Folder to write to. May also be given as the last argument, without the flag."
    )
    overwrite_output_dir: bool = HfArg(
        default=False, help="Replace an earlier result in --output_dir, after the new result is complete."
    )
    keep_layer: int | None = HfArg(
        default=None, help="Keep the tokens alive after this layer, counted from 1 (default: the last)."
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    positional = {"OUTPUT_DIR": {"nargs": "?", "help": "The same as --output_dir."}}
    args, words = parse_arguments([ExtractArguments], argv, __doc__, "ltp_extract_and_save.py", positional)
    from pandas import read_csv  # late: --help does not need it

    from ltp_pipeline.view.pruned_files import write_pruned_files

    output_dir = Path(words.OUTPUT_DIR or args.output_dir)
    check_file_overwrite(output_dir / "extraction.json", args.overwrite_output_dir)
    use_threads(args.num_threads)
    with locked(place_of(output_dir), " ".join(sys.argv), replaces=False):
        report = write_pruned_files(args, args.keep_layer, output_dir)
    if report is None:  # only the main process writes
        return
    files = report["files"]
    print(format_table([{**counts, "skipped_rows": len(counts["skipped_rows"])} for counts in files]))
    print(f"written to {output_dir}")
    for counts in files:
        if counts["skipped_rows"]:
            missing = shortened(counts["skipped_rows"])
            print(f"{counts['written']} lacks these rows of {counts['file']} (extraction.json): {missing}")
    print(report["ranking"])
    empty = sum(counts["empty_functions"] for counts in files)
    if empty:
        print(f"functions without any kept token of code: {empty}; their rows are written with empty code")
    if args.train_file is not None and args.validation_file is not None and args.task_name.upper() == "CODE":
        tables = (output_dir / "train_pruned.csv", output_dir / "dev_pruned.csv")
        if all("label" in read_csv(table, nrows=0).columns for table in tables):
            show_next([fine_tuning(*tables, output_dir="code_test_pruned")])
