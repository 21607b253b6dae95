"""Whether files of labelled functions are sound to train on and to judge by.

    python -m ltp_pipeline.check_data Data/train_subset.csv Data/validation.csv Data/test.csv

Give the splits of one data set together, training first: what a file shares with an earlier one is told, too. Exit
status: 0 sound, 1 not (some finding is an error), 2 a file that cannot be read, or a wrong flag.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.code.code_tokens import code_tokens
from ltp_pipeline.code.languages import language_of
from ltp_pipeline.data.flags import add_flags
from ltp_pipeline.data.near_duplicates import check_threshold

if TYPE_CHECKING:
    from ltp_pipeline.data.data_findings import Finding, Functions

KINDS = (
    "bad_rows",
    "one_class",
    "rare_class",
    "long",
    "encoding",
    "duplicates",
    "duplicates_across",
    "label_conflict",
    "near_duplicates",
    "near_duplicates_across",
    "project_leak",
)
TOKENIZED_AT_ONCE = 512


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line `argv` (None: the process's); ends with status 1 where training would not be sound."""
    args = _parser().parse_args(argv)
    if args.max_length < 3:
        raise UserError(f"--max_length {args.max_length}: expected 3 or more")
    check_threshold(args.near_duplicates, off=0)
    wrong = [kind for kind in args.allow if kind not in KINDS]
    if wrong:
        raise UserError(f"--allow {wrong[0]}: no such kind of finding; expected {', '.join(KINDS)}")
    files, findings = check(args)
    sound = not any(finding.severity == "error" for finding in findings)
    _report(files, findings, sound, args)
    if not sound:
        sys.exit(1)


def check(args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[Finding]]:
    """What each file is, and what was found. Raises UserError for a file that cannot be read."""
    from ltp_pipeline.data import data_findings as find

    files = _read(args)
    findings = find.bad_row_findings(files)
    files = [file for file in files if len(file)]
    findings += find.balance_findings(files) + find.length_findings(files, args.max_length)
    findings += find.encoding_findings(files) + find.project_findings(files) + find.duplicate_findings(files)
    if args.near_duplicates and files:
        findings += _near_duplicates(files, args.near_duplicates)
    for finding in findings:
        if finding.kind in args.allow:
            finding.severity = "warning"
    findings.sort(key=lambda finding: finding.severity)
    return [_described(file, args.max_length) for file in files], findings


def _read(args: argparse.Namespace) -> list[Functions]:
    from ltp_pipeline.data.data_findings import Functions
    from ltp_pipeline.data.file_formats import BadRows
    from ltp_pipeline.data.readers import read_function_rows
    from ltp_pipeline.task.labels import parse_label_map

    tokenizer = None
    if args.tokenizer is not None:
        from ltp_pipeline.model.checkpoints import load_tokenizer

        tokenizer = load_tokenizer(args.tokenizer, flag="--tokenizer")
    files = []
    for path in args.files:
        bad_rows = BadRows(str(path), skip=True)
        label_map = parse_label_map(args.label_map)
        frame = read_function_rows(path, bad_rows, args.text_column, args.label_column, label_map)
        paths = frame["path"].fillna("") if "path" in frame.columns else [""] * len(frame)
        tokens = [code_tokens(text, language_of(str(path))) for text, path in zip(frame["functionSource"], paths)]
        lengths = (
            list(map(len, tokens)) if tokenizer is None else _lengths(frame["functionSource"].tolist(), tokenizer)
        )
        reasons = {row + 1: why for row, why in bad_rows.reasons.items()}
        files.append(Functions(str(path), frame, tokens, lengths, reasons))
    return files


def _lengths(texts: list[str], tokenizer: Any) -> list[int]:
    """Tokens of each text, special ones included."""
    from tqdm import tqdm

    lengths: list[int] = []
    for start in tqdm(range(0, len(texts), TOKENIZED_AT_ONCE), desc="tokenizing", disable=not sys.stderr.isatty()):
        chunk = texts[start : start + TOKENIZED_AT_ONCE]
        lengths += map(len, tokenizer(chunk, split_special_tokens=True, verbose=False)["input_ids"])
    return lengths


def _near_duplicates(files: list[Functions], threshold: float) -> list[Finding]:
    from tqdm import tqdm

    from ltp_pipeline.data.data_findings import near_duplicate_findings
    from ltp_pipeline.data.near_duplicates import NearDuplicates

    interval = 0.2 if sys.stderr.isatty() else 30
    with tqdm(total=sum(map(len, files)), desc="near duplicates", unit=" functions", mininterval=interval) as bar:
        return near_duplicate_findings(files, NearDuplicates(threshold), bar.update)


def _described(file: Functions, max_length: int) -> dict[str, Any]:
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


def _report(files: list[dict[str, Any]], findings: list[Finding], sound: bool, args: argparse.Namespace) -> None:
    from ltp_pipeline.base.files import format_table, write_json

    if files:
        kind = "its tokenizer's tokens" if args.tokenizer else "lexical tokens"
        print(f"{format_table(files)}\n(tokens: {kind}; max_length {args.max_length})\n")
    for finding in findings:
        print(f"{finding.severity} {finding.kind}: {finding.message}")
        for row in finding.rows:
            print(f"  {_place(row)}")
        if finding.count > len(finding.rows):
            print(f"  and {finding.count - len(finding.rows)} more")
        print(f"  right: {finding.right}")
    errors = sum(finding.severity == "error" for finding in findings)
    print("sound" if sound else f"not sound: {errors} error{'' if errors == 1 else 's'} above")
    if args.output_file is not None:
        report = {"sound": sound, "max_length": args.max_length, "tokenizer": args.tokenizer, "files": files}
        write_json(args.output_file, {**report, "findings": [finding.as_json() for finding in findings]})


def _place(row: dict[str, Any]) -> str:
    text = f"{row['file']} row {row['row']}"
    if "same_row" in row:
        text += f" is like {row.get('same_file', row['file'])} row {row['same_row']}"
    if "similarity" in row:
        text += f" ({row['similarity']:.1%})"
    if "label" in row:
        text += f" (label {row['label']}, there {row['other_label']})"
    return f"{text}: {row['why']}" if "why" in row else text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ltp_pipeline.check_data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="functions, the training split first")
    add_flags(parser, skip=("on_bad_rows",))
    parser.add_argument("--tokenizer", help="checkpoint whose tokens are counted (default: lexical tokens)")
    parser.add_argument("--max_length", type=int, default=1024, help="tokens that a model will read (default: 1024)")
    parser.add_argument(
        "--near_duplicates",
        type=float,
        default=0.85,
        metavar="SHARE",
        help="least share of common runs of four tokens (Jaccard), 0.7 to 1; 0: no search (default: 0.85)",
    )
    parser.add_argument(
        "--allow", nargs="+", default=[], metavar="KIND", help=f"findings that are warnings only: {', '.join(KINDS)}"
    )
    parser.add_argument("--output_file", type=Path, help="write the findings as JSON, too")
    return parser


if __name__ == "__main__":
    run_main(main)
