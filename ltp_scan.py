"""Scans source files with a trained checkpoint: which functions, and which of their lines, to read first."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from ltp_pipeline.base.errors import run_main


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    args = make_parser().parse_args(argv)
    from ltp_pipeline.base.files import write_json
    from ltp_pipeline.scan.settings import ScanSettings

    own = {field.name for field in fields(ScanSettings)}
    given = {name: value for name, value in vars(args).items() if name in own and value is not None}
    settings = ScanSettings(**given)
    from ltp_pipeline.scan.engine import run_scan  # late: --help needs no torch

    report = run_scan(args.PATH, args.model_name_or_path, settings)
    if args.json:
        write_json(args.json, asdict(report))
    for finding in report.findings:
        unit = finding.unit
        print(f"{finding.probability:.6f}  {unit.path}:{unit.first_line}-{unit.last_line}  {unit.name}")
    print(
        f"{len(report.findings)} findings in {report.units} functions of {report.files} files "
        f"in {report.seconds:.1f} s ({report.cached} from the cache)"
    )
    if any(finding.probability >= (args.fail_on or 0) for finding in report.findings):
        sys.exit(1)


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
    add("--json", type=Path)
    add("--fail_on", type=float)
    add("--quiet", action="store_true")
    return parser


if __name__ == "__main__":
    run_main(main)
