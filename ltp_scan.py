#!/usr/bin/env python3
"""Scans source files with a trained checkpoint: which functions, and which of their lines, to read first."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

from ltp_pipeline.base.errors import UserError, run_main


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    args = make_parser().parse_args(argv)
    from ltp_pipeline.scan.baseline import mark_new, read_baseline
    from ltp_pipeline.scan.exit_status import exit_status
    from ltp_pipeline.scan.outputs import STDOUT, WRITERS, check_outputs, write_outputs
    from ltp_pipeline.scan.settings import ScanSettings

    own = {field.name for field in fields(ScanSettings)}
    given = {name: value for name, value in vars(args).items() if name in own and value is not None}
    settings = ScanSettings(**given)
    outputs = {flag: getattr(args, flag) for flag in WRITERS}
    check_outputs(outputs)
    if args.fail_on is not None and not 0 <= args.fail_on <= 1:
        raise UserError(f"--fail_on {args.fail_on}: expected a probability from 0 to 1")
    if args.show < 0:
        raise UserError(f"--show {args.show}: expected 0 (all) or more")
    baseline = None if args.baseline is None else read_baseline(args.baseline)
    from ltp_pipeline.scan.engine import run_scan  # late: --help needs no torch
    from ltp_pipeline.scan.terminal import output_width, terminal_text, wants_color

    report = run_scan(args.PATH, args.model_name_or_path, settings)
    if baseline is not None:
        mark_new(report, baseline, args.baseline)
    write_outputs(report, outputs)  # before the findings are shown: the reader may leave, as with `| less`
    stream = sys.stderr if set(STDOUT) & set(outputs.values()) else sys.stdout
    text = terminal_text(report, wants_color(args.no_color, stream), output_width(stream), args.show)
    print(text, end="", file=stream)
    sys.exit(exit_status(report, args.fail_on))


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("PATH", nargs="+", help="Files and folders; -: reads a list of files from standard input.")
    add("--model_name_or_path", required=True, help="Folder or hub name of a classifier of functions.")
    add("--include", action="append", metavar="GLOB", help="Scan only files that match; may be repeated.")
    add("--exclude", action="append", metavar="GLOB", help="Leave out files and folders that match.")
    add("--no_gitignore", action="store_true", help="Scan files that .gitignore names, too.")
    add(
        "--granularity",
        help="function, file, or auto: whole files of PowerShell, functions of other languages (default).",
    )
    add("--threshold", type=float)
    add("--top", type=int)
    add("--max_length", type=int)
    add("--truncation")
    add("--line_scores")
    add("--dtype")
    add("--device")
    add("--max_tokens_per_batch", type=int)
    add("--num_workers", type=int)
    add("--html", metavar="FILE", help="Write a page that opens offline, with the findings to sort, filter and read.")
    add("--sarif", metavar="FILE", help="Write the findings as SARIF 2.1.0, for code hosts and editors.")
    add("--json", metavar="FILE", help="Write all that the scan knows as JSON.")
    add("--csv", metavar="FILE", help="Write a row for each finding.")
    add("--baseline", metavar="FILE", help="Earlier SARIF or JSON report: only findings that it lacks are new.")
    add("--show", type=int, default=10, metavar="N", help="Print the lines of N findings (default: 10); 0: all.")
    add("--fail_on", type=float, metavar="P", help="Status 1 only for new findings with at least this probability.")
    add("--no_color", action="store_true", help="Print without colours, which are off, too, if NO_COLOR is set.")
    add("--quiet", action="store_true")
    return parser


if __name__ == "__main__":
    run_main(main)
