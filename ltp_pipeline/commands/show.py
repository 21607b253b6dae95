"""Shows, layer by layer, which tokens of functions a pruned model keeps: in the terminal, as HTML, PNG and JSON.

That a token is kept does not say that it decided. Line scores say which lines speak most for class 1.

  python ltp_test.py --model_name_or_path hard --validation_file Data/validation.csv

  python ltp_test.py --model_name_or_path hard --validation_file Data/test.csv --function_index 3 17 --output_dir seen
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from transformers.hf_argparser import HfArg

from ltp_pipeline.base.flags import parse_arguments
from ltp_pipeline.base.next_commands import EXTRACT, command, free_folder, given_flags, show_next
from ltp_pipeline.base.result_folder import check_addable
from ltp_pipeline.base.threads import use_threads
from ltp_pipeline.view.kept_tokens import PrunedModelArguments
from ltp_pipeline.view.line_results import CHOICES
from ltp_pipeline.view.line_results import HELP as LINE_SCORES_HELP
from ltp_pipeline.view.token_scores import DEFAULT

HIDDEN = ("pad_to_max_length", "temperature", "masking_mode")  # they have no effect


@dataclass
class ReportArguments(PrunedModelArguments):
    """Flags of ltp_test.py."""

    num_functions: int = HfArg(
        default=4,
        help="Number of functions to show: the first ones of the file, half with label 1 and half with label 0 "
        "(MNLI: with any label).",
    )
    function_index: list[int] | None = HfArg(
        default=None, help="Show these rows of the file instead; the first row after the header is 1."
    )
    num_sampled: int = HfArg(
        default=200, help="Number of functions, spread evenly over the file, in the figure of tokens per layer."
    )
    max_lines: int = HfArg(
        default=40, help="Maximum number of source lines printed for each layer; 0: all. The HTML page shows all."
    )
    line_scores: str = HfArg(default=DEFAULT, metadata={"choices": CHOICES}, help=LINE_SCORES_HELP)
    output_dir: str = HfArg(default="visualisation", help="Folder for visualisation.html, .png and .json.")
    no_color: bool = HfArg(
        default=False, help="Print without colours. They are also off without a terminal or if NO_COLOR is set."
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    (args,) = parse_arguments([ReportArguments], argv, __doc__, "ltp_test.py")
    check_addable(Path(args.output_dir))
    use_threads(args.num_threads)
    from ltp_pipeline.view.report import report_kept_tokens  # late: --help needs neither pandas nor matplotlib
    from ltp_pipeline.view.terminal import TerminalView

    report = report_kept_tokens(args, args.num_functions, args.function_index, args.num_sampled, args.line_scores)
    written = report.write(args.output_dir)  # before the functions are shown: the reader may leave, as with `| less`
    color = sys.stdout.isatty() and not args.no_color and not os.environ.get("NO_COLOR")
    view = TerminalView(color, args.max_lines)
    print(report.taught["ranking"], end="\n\n")
    for trace in report.shown:
        print(view.function(trace))
    print("written:", ", ".join(map(str, written)))
    files = {"train_file": args.train_file, "validation_file": args.validation_file}
    given = {item.name: item.default for item in fields(PrunedModelArguments) if item.name not in HIDDEN}
    how = given_flags(vars(args), given, [name for name in given if name not in files])
    show_next([command(EXTRACT, **how, **files, output_dir=free_folder("pruned_data"))])
