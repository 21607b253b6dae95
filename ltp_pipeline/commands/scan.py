"""Scans source files with a trained checkpoint: which functions, and which of their lines, to read first.

    python ltp_scan.py src --model_name_or_path hard --html report.html

    python ltp_scan.py . --model_name_or_path hard --changed_since main --sarif new.sarif --baseline old.sarif

Exit status: 0 nothing found; 1 findings (see --fail_on); 2 the scan could not run. docs/scan.md explains more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.extras import check_installed
from ltp_pipeline.base.parser import CommandParser
from ltp_pipeline.base.threads import AUTO, HELP, chosen_threads


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    args = _parse(sys.argv[1:] if argv is None else list(argv))
    check_installed("a scan", "scan", "pathspec")
    from ltp_pipeline.scan.engine import run_scan  # late: --help needs none of it
    from ltp_pipeline.scan.reports.exit_status import exit_status
    from ltp_pipeline.scan.reports.outputs import STDOUT, WRITERS, check_outputs, write_outputs
    from ltp_pipeline.scan.reports.terminal import output_width, terminal_text, wants_color
    from ltp_pipeline.scan.settings import ScanSettings

    args.num_threads = chosen_threads(args.num_threads, args.quiet)
    given = {name: value for name, value in vars(args).items() if name in ScanSettings.__dataclass_fields__}
    settings = ScanSettings(**{name: value for name, value in given.items() if value is not None})
    outputs = {flag: getattr(args, flag) for flag in WRITERS}
    check_outputs(outputs)
    if args.fail_on is not None and not 0 <= args.fail_on <= 1:
        raise UserError(f"--fail_on {args.fail_on}: expected a probability from 0 to 1")
    if args.show < 0:
        raise UserError(f"--show {args.show}: expected 0 (all) or more")
    report = run_scan(args.PATH, args.model_name_or_path, settings)
    write_outputs(report, outputs)  # before the findings are shown: the reader may leave, as with `| less`
    stream = sys.stderr if set(STDOUT) & set(outputs.values()) else sys.stdout
    text = terminal_text(report, wants_color(args.no_color, stream), output_width(stream), args.show)
    print(text, end="", file=stream)
    sys.exit(exit_status(report, args.fail_on))


def _parse(argv: list[str]) -> argparse.Namespace:
    """The flags and the PATHs, which may stand before, between and after flags; after `--` everything is a PATH."""
    parser = make_parser()
    end = argv.index("--") if "--" in argv else len(argv)
    args = parser.parse_intermixed_args(parser.expand(argv[:end]))  # with `--` in it, it fails before Python 3.12
    args.PATH += argv[end + 1 :]
    if not args.PATH:
        parser.error("expected a PATH: a file or folder to scan")
    return args


def make_parser() -> CommandParser:
    """The parser of the command line. The flags of `ScanSettings` have its names."""
    parser = CommandParser(command="ltp_scan.py", description=__doc__)
    parser.add_argument(
        "PATH", nargs="*", help="files and folders; -: a list of them on standard input, one a line or NUL-separated"
    )
    parser.add_argument(
        "--model_name_or_path", required=True, metavar="CHECKPOINT", help="folder or hub name of a trained checkpoint"
    )
    _add_what_is_read(parser.add_argument_group("what is scanned"))
    _add_what_is_found(parser.add_argument_group("what is a finding"))
    _add_reports(parser.add_argument_group("reports"))
    _add_speed(parser.add_argument_group("speed"))
    return parser


def _add_what_is_read(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--include", action="append", metavar="GLOB", help="scan only files that match; may be repeated")
    add("--exclude", action="append", metavar="GLOB", help="leave out files and folders that match; may be repeated")
    add("--no_gitignore", action="store_true", help="scan also files that Git ignores")
    add(
        "--granularity",
        choices=("auto", "function", "file"),
        help="classify each function, or each file as a whole (default: auto, which is file for PowerShell, whose "
        "scripts have most code outside functions, and function for other languages)",
    )
    add("--changed_since", metavar="REF", help="scan only functions that `git diff REF` touches")
    add("--max_length", type=int, metavar="N", help="tokens that the model reads at once (default: as it was trained)")
    add(
        "--truncation",
        choices=("head", "tail", "head_tail", "windows"),
        help="which tokens of a longer function are read: its head, its tail, half of each (head_tail), or all, in "
        "overlapping windows of which the highest probability counts (default: windows)",
    )


def _add_what_is_found(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--threshold",
        type=float,
        metavar="P",
        help="a function is a finding if its probability is above P (default: the checkpoint's decision threshold, "
        "else 0.5)",
    )
    add("--top", type=int, metavar="N", help="take the N functions with the highest probability instead")
    add(
        "--line_scores",
        metavar="METHOD",
        help="how the lines of findings are scored (docs/line_scores.md), or none (default: gradient_x_input)",
    )
    add("--suppressions", metavar="FILE", help="findings to hide (default: .ltpignore in the current folder)")
    add("--baseline", metavar="FILE", help="an earlier SARIF or JSON report: only findings that it lacks count")
    add(
        "--fail_on",
        type=float,
        metavar="P",
        help="exit with status 1 only for new findings with a probability of at least P (default: any new finding)",
    )


def _add_reports(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--html", metavar="FILE", help="write a page that opens offline, with the findings to sort, filter and read")
    add("--sarif", metavar="FILE", help="write the findings as SARIF 2.1.0, for code hosts and editors")
    add("--json", metavar="FILE", help="write all that the scan knows as JSON")
    add("--csv", metavar="FILE", help="write a row for each finding")
    add("--show", type=int, default=10, metavar="N", help="findings to print with their lines; 0: all (default: 10)")
    add("--no_color", action="store_true", help="print without colours, which are off, too, if NO_COLOR is set")
    add("--quiet", action="store_true", help="no progress bar and no notes")


def _add_speed(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--num_workers", type=int, metavar="N", help="processes that read and tokenize (default: half the cores)")
    add("--num_threads", default=AUTO, metavar="N", help=HELP)
    add("--max_tokens_per_batch", type=int, metavar="N", help="tokens in a batch (default: 8192)")
    add(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "int8"),
        help="of the computation (default: auto, which is bfloat16 if the processor or the GPU multiplies it; int8: "
        "on an x86 CPU)",
    )
    add("--device", metavar="NAME", help="such as cpu or cuda:0 (default: a GPU if there is one)")
    add("--cache_dir", metavar="FOLDER", help="where results are kept (default: ~/.cache/ltp/scan)")
    add("--no_cache", action="store_true", help="compute everything, and keep no results")
