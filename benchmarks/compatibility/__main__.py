"""Runs tests with other versions of Python, Transformers and PyTorch, and writes docs/compatibility.md.

    python -m benchmarks.compatibility --rows 3.11/5.17.0/2.13.0 3.11/newest/2.13.0
        --reuse_site_packages .venv/lib/python3.11/site-packages

Each row gets an environment (venv) of its own in --environments, which is kept for the next time. Other rows keep
their earlier result. Without --reuse_site_packages pip installs all packages: PyTorch alone is a download of
gigabytes. With it an environment installs only what differs, and rows without such a PyTorch are listed as not run.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, make_parser
from benchmarks.compatibility.environments import (
    EnvironmentFailed,
    Row,
    find_interpreter,
    make_environment,
    newest_version,
)
from benchmarks.compatibility.page import page
from benchmarks.compatibility.suites import SUITES, run_suite
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import parse_json, write_json, write_text

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
TRANSFORMERS = ("5.17.0", "newest")
TORCHES = ("2.11.0", "2.13.0")
NEWEST = "newest"
RECORD = "compatibility.json"


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process."""
    args = _parse(argv)
    newest = _newest() if NEWEST in " ".join(args.rows) or not args.rows else ""
    rows = [_row(text.replace(NEWEST, newest)) for text in args.rows] or [
        Row(python, newest if transformers == NEWEST else transformers, torch)
        for python, transformers, torch in product(PYTHONS, TRANSFORMERS, TORCHES)
    ]
    record = args.output_dir / RECORD
    results: dict[str, dict[str, Any]] = _read(record)
    for row in rows:
        if args.list:
            print(f"{row}: {find_interpreter(row.python) or 'no such Python at hand'}")
            continue
        results[str(row)] = run_row(row, args)
        write_json(record, results)
        write_text(args.output_dir / "compatibility.md", page(results))
        print(f"{row}: {summary(results[str(row)])}", flush=True)
    if not args.list:
        print(f"written: {args.output_dir / 'compatibility.md'}")


def run_row(row: Row, args: argparse.Namespace) -> dict[str, Any]:
    """The result of a row: `versions` and `suites` (counts by name of the suite), or `not_run`, the reason."""
    interpreter = find_interpreter(row.python)
    if interpreter is None:
        return {"not_run": f"Python {row.python} is not at hand"}
    try:
        environment = make_environment(row, interpreter, args.environments, args.reuse_site_packages)
    except EnvironmentFailed as error:
        return {"not_run": str(error)}
    suites = {}
    for name in args.suites:
        print(f"{row}: {name}", flush=True)
        suites[name] = run_suite(environment.python, name, args.threads)
    return {"date": time.strftime("%Y-%m-%d"), "commit": _commit(), "versions": environment.versions, "suites": suites}


def summary(result: dict[str, Any]) -> str:
    """A result in one line."""
    if "not_run" in result:
        return f"not run: {result['not_run']}"
    return "; ".join(
        f"{name} broken ({c['broken'].splitlines()[-1]})"
        if "broken" in c
        else f"{name} {c['passed']} passed, {c['failed']} failed"
        for name, c in result["suites"].items()
    )


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks.compatibility", __doc__)
    parser.add_argument(
        "--rows",
        nargs="+",
        default=[],
        metavar="PYTHON/TRANSFORMERS/TORCH",
        help=f"which rows to run; Transformers may be `newest` (default: all of Python {', '.join(PYTHONS)}, "
        f"Transformers {' and '.join(TRANSFORMERS)}, PyTorch {' and '.join(TORCHES)})",
    )
    parser.add_argument("--suites", nargs="+", default=list(SUITES), choices=[*SUITES, "all"], help="which tests")
    parser.add_argument("--environments", type=Path, default=Path("environments"), help="folder of the environments")
    parser.add_argument(
        "--reuse_site_packages",
        type=Path,
        metavar="DIR",
        help="site-packages of an environment with the packages of requirements-dev.txt. Rows with its Python and its "
        "PyTorch read them from there and install only Transformers and what it needs. Other rows are not run",
    )
    parser.add_argument("--threads", type=int, default=1, help="OMP_NUM_THREADS of the tests")
    parser.add_argument("--output_dir", type=Path, default=ROOT / "docs", help=f"folder of the page and of {RECORD}")
    parser.add_argument("--list", action="store_true", help="only list the rows and the interpreters found for them")
    return parser.parse_args(argv)


def _newest() -> str:
    try:
        return newest_version("transformers")
    except EnvironmentFailed as error:
        raise UserError(f"--rows: {error}; expected a version of Transformers instead of {NEWEST}") from error


def _row(text: str) -> Row:
    parts = text.split("/")
    if len(parts) != 3 or not all(parts):
        raise UserError(f"--rows {text}: expected PYTHON/TRANSFORMERS/TORCH, such as 3.11/5.17.0/2.13.0")
    return Row(*parts)


def _read(record: Path) -> dict[str, dict[str, Any]]:
    return parse_json(record.read_text(encoding="utf-8")) if record.exists() else {}


def _commit() -> str:
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    run_main(main)
