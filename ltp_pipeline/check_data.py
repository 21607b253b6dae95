"""Checks files of labelled functions for problems that make training or evaluation on them misleading.

    python -m ltp_pipeline.check_data Data/train_subset.csv Data/validation.csv Data/test.csv

Give the splits of one data set together, the training split first: each file is also compared with those before it.
Exit status: 0 no finding is an error, 1 some finding is an error, 2 a file cannot be read or a flag is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.hf_argparser import HfArg

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.flags import parse_arguments
from ltp_pipeline.base.next_commands import SPLIT, command, fine_tuning, free_folder, show_next
from ltp_pipeline.data.flags import ColumnArguments, columns_given
from ltp_pipeline.quality.data_findings import RIGHT, Finding, FunctionFile, find_all
from ltp_pipeline.quality.leak_findings import leak_findings
from ltp_pipeline.quality.near_duplicates import THRESHOLD, NearDuplicates, check_threshold

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENIZED_AT_ONCE = 512
FILES = {"nargs": "+", "metavar": "FILE", "help": "files of functions, the training split first"}


@dataclass
class CheckArguments(ColumnArguments):
    """What is checked, and what counts as an error."""

    tokenizer: str | None = HfArg(
        default=None, help="Checkpoint whose tokenizer counts the tokens (default: lexical tokens)."
    )
    max_length: int = HfArg(default=1024, help="Tokens that a model will read.")
    near_duplicates: float = HfArg(
        default=THRESHOLD,
        metadata={"metavar": "SIMILARITY"},
        help="Functions are near duplicates if their sets of four-token runs have at least this Jaccard "
        "similarity (0.7 to 1); 0: no search.",
    )
    allow: list[str] = HfArg(
        default_factory=list,
        metadata={"metavar": "KIND"},
        help=f"Kinds of findings to report only as warnings: {', '.join(RIGHT)}.",
    )
    group_by: list[str] = HfArg(
        default_factory=list,
        metadata={"metavar": "COLUMN"},
        help="Columns such as commit_id: a value that is in two files is an error. The column of projects is always "
        "compared.",
    )
    output_file: Path | None = HfArg(default=None, help="JSON file to which the findings are written.")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process). Exits with status 1 if the files are not sound."""
    args, given = parse_arguments(
        (CheckArguments,), argv, __doc__, command="-m ltp_pipeline.check_data", positional={"files": FILES}
    )
    if args.max_length < 3:
        raise UserError(f"--max_length {args.max_length}: expected 3 or more")
    check_threshold(args.near_duplicates, off=0)
    wrong = [kind for kind in args.allow if kind not in RIGHT]
    if wrong:
        raise UserError(f"--allow {wrong[0]}: no such kind of finding; expected {', '.join(RIGHT)}")
    files = read_files(given.files, args)
    findings = find_in(files, args)
    sound = not any(finding.severity == "error" for finding in findings)
    summaries = [_summary(file, args.max_length) for file in files if len(file)]
    try:
        _write_report(summaries, findings, sound, args)  # first: the reader of the lines may leave, as with `| head`
    finally:
        _print_report(summaries, findings, sound, args)
    if not sound:
        sys.exit(1)
    how = columns_given(args)
    if len(given.files) > 1:
        show_next([fine_tuning(*given.files[:3], **how)])
    else:
        show_next([command(SPLIT, *given.files, **how, output_dir=free_folder("splits"))])


def read_files(paths: Sequence[str], args: CheckArguments) -> list[FunctionFile]:
    """Reads the files and counts tokens. Raises UserError for a file that cannot be read."""
    from ltp_pipeline.data.readers import read_function_rows
    from ltp_pipeline.files.file_formats import BadRows
    from ltp_pipeline.model.checkpoints import load_tokenizer
    from ltp_pipeline.quality.row_groups import check_group_columns, row_tokens

    tokenizer = None if args.tokenizer is None else load_tokenizer(args.tokenizer, flag="--tokenizer")
    files = []
    for path in paths:
        bad_rows = BadRows(path, skip=True)
        frame = read_function_rows(path, args, bad_rows)
        check_group_columns(frame, args.group_by, path)
        tokens = row_tokens(frame)
        texts = frame["functionSource"].tolist()
        lengths = list(map(len, tokens)) if tokenizer is None else _count_tokens(texts, tokenizer)
        reasons = {row + 1: why for row, why in bad_rows.reasons.items()}
        files.append(FunctionFile(path, frame, tokens, lengths, reasons))
    return files


def _count_tokens(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The number of tokens of each text, including special tokens."""
    from ltp_pipeline.base.progress import progress_bar

    lengths: list[int] = []
    for start in progress_bar(range(0, len(texts), TOKENIZED_AT_ONCE), desc="tokenizing"):
        chunk = texts[start : start + TOKENIZED_AT_ONCE]
        lengths += map(len, tokenizer(chunk, split_special_tokens=True, verbose=False)["input_ids"])
    return lengths


def find_in(files: Sequence[FunctionFile], args: CheckArguments) -> list[Finding]:
    """All findings, errors first; the kinds in `--allow` are warnings."""
    from ltp_pipeline.base.progress import progress_bar

    functions = sum(map(len, files))
    near = NearDuplicates(args.near_duplicates) if args.near_duplicates and functions else None
    disable = near is None
    with progress_bar(total=functions, seconds=30, desc="near duplicates", unit="function", disable=disable) as bar:
        findings = find_all(files, args.max_length, near, bar.update)
    findings += leak_findings(files, args.group_by)
    for finding in findings:
        if finding.kind in args.allow:
            finding.severity = "warning"
    return sorted(findings, key=lambda finding: finding.severity)


def _summary(file: FunctionFile, max_length: int) -> dict[str, Any]:
    import numpy as np

    return {
        "file": file.name,
        "functions": len(file),
        "bad_rows": len(file.bad_rows),
        "positive": float(np.mean(file.labels)),
        "tokens_median": float(np.median(file.lengths)),
        "tokens_90th": float(np.percentile(file.lengths, 90)),
        "tokens_max": max(file.lengths),
        "longer_than_max_length": float(np.mean(np.array(file.lengths) > max_length)),
    }


def _write_report(files: list[dict[str, Any]], findings: list[Finding], sound: bool, args: CheckArguments) -> None:
    from ltp_pipeline.base.files import write_json

    if args.output_file is not None:
        report = {"sound": sound, "max_length": args.max_length, "tokenizer": args.tokenizer, "files": files}
        write_json(args.output_file, {**report, "findings": [asdict(finding) for finding in findings]})


def _print_report(files: list[dict[str, Any]], findings: list[Finding], sound: bool, args: CheckArguments) -> None:
    from ltp_pipeline.base.files import format_table

    if files:
        kind = "of the tokenizer" if args.tokenizer else "lexical"
        print(f"{format_table(files)}\n(tokens: {kind}; max_length {args.max_length})\n")
    for finding in findings:
        print(f"{finding.severity} {finding.kind}: {finding.message}")
        for row in finding.rows:
            print(f"  {_row_text(row)}")
        if finding.count > len(finding.rows):
            print(f"  and {finding.count - len(finding.rows)} more")
        print(f"  expected: {finding.right}")
    errors = sum(finding.severity == "error" for finding in findings)
    print("sound" if sound else f"not sound: {errors} error{'' if errors == 1 else 's'} above")


def _row_text(row: dict[str, Any]) -> str:
    text = f"{row['file']} row {row['row']}"
    if "same_row" in row:
        text += f" is like {row.get('same_file', row['file'])} row {row['same_row']}"
    if "similarity" in row:
        text += f" ({row['similarity']:.1%})"
    if "label" in row:
        text += f" (labels {row['label']} and {row['other_label']})"
    return f"{text}: {row['why']}" if "why" in row else text


if __name__ == "__main__":
    run_main(main)
