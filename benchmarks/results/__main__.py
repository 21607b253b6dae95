"""Writes the tables and figures of the documents from the measurements that are stored in experiments/.

    python -m benchmarks.results
    python -m benchmarks.results --check
    python -m benchmarks.results --add OUT --name cpu --title "..." --about "..."
    python -m benchmarks.results --add demo_output/comparison.json

Without flags it fills the marked parts of README.md, docs/results.md, docs/accuracy.md and
experiments/pruning_costs/README.md, and draws the figures that are missing or of other numbers. --check changes
nothing: it fails if a page or a figure disagrees with the stored files. --add first stores what benchmarks.accuracy
or ltp_pipeline.comparison has written. docs/accuracy.md says more.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from benchmarks.common import ROOT, make_parser
from ltp_pipeline.base.errors import UserError, run_main


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process). Raises UserError if --check finds anything."""
    args = _parser().parse_args(argv)
    if args.check and args.add is not None:
        raise UserError("--check and --add: expected one of them")
    if args.bootstrap < 100:
        raise UserError(f"--bootstrap {args.bootstrap}: expected 100 or more")
    if args.add is not None:
        _add(args)
    from benchmarks.results.figures import figures_of, problem_of, save
    from benchmarks.results.pages import PAGES, filled, problems_of, unknown_intervals
    from benchmarks.results.stored import Store
    from ltp_pipeline.base.files import write_text

    store = Store(args.root)
    figures = figures_of(store)
    if not args.check:
        texts = {page: filled(store, page) for page in PAGES}  # all, before the first is written
        for page, text in texts.items():
            if (args.root / page).read_text(encoding="utf-8") != text:
                write_text(args.root / page, text)
                print(f"written: {page}")
        for path, drawing in figures.items():
            if problem_of(args.root / path, drawing):
                save(args.root / path, drawing)
                print(f"written: {path}")
    problems = [text for page in PAGES for text in problems_of(store, page) + unknown_intervals(store, page)]
    problems += [
        f"{path} {text}" for path, drawing in figures.items() if (text := problem_of(args.root / path, drawing))
    ]
    if problems:
        advice = "python -m benchmarks.results writes tables and figures anew; running text is changed by hand"
        raise UserError("\n".join([*problems, advice]))
    print(f"{len(PAGES)} pages and {len(figures)} figures agree with the stored measurements")


def _add(args: argparse.Namespace) -> None:
    """Stores what --add names. Raises UserError if it cannot."""
    from benchmarks.results.adding import stored_comparison, stored_costs
    from benchmarks.results.stored import COSTS, DEMO, write_stored

    if not args.add.exists():
        raise UserError(f"--add {args.add}: no such file or folder")
    if args.add.is_file():
        name = "comparison" if args.name is None else args.name
        path, found = DEMO / f"{name}.json", stored_comparison(args.add)
        found |= {"about": args.about} if args.about else {}
    else:
        missing = [flag for flag in ("name", "title", "about") if getattr(args, flag) is None]
        if missing:
            raise UserError(f"--add {args.add}: needs --{' --'.join(missing)}, too")
        name = args.name
        path = COSTS / f"{name}.json"
        found = stored_costs(args.add, args.title, args.about, args.bootstrap, args.commit)
    if not re.fullmatch(r"\w+", name):
        raise UserError(f"--name {name}: expected letters, digits and _")
    write_stored(args.root / path, found)
    print(f"written: {path}")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.results", __doc__)
    add = parser.add_argument
    add("--check", action="store_true", help="change nothing; fail if a page or a figure disagrees")
    add(
        "--add", type=Path, metavar="PATH", help="output folder of benchmarks.accuracy, or a comparison.json, to store"
    )
    add("--name", help="name of the stored file without .json (default for a comparison: comparison)")
    add("--title", help="heading of the tables of --add")
    add("--about", help="a paragraph about what was run, for the reader")
    add("--commit", help="commit of the code that made the cells of --add, for cells that do not say it")
    add("--bootstrap", type=int, default=1000, help="draws for the intervals of --add")
    add("--root", type=Path, default=ROOT, help="checkout whose files are read and written")
    return parser


if __name__ == "__main__":
    run_main(main)
