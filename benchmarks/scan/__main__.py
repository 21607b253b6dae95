"""Times a scan from files to findings, against its model alone and against RoBERTa in the library's pipeline.

    python -m benchmarks.scan FOLDER --model_name_or_path CHECKPOINT --preset cpu --output_dir benchmark_scan

    scan     ltp_scan.py without a cache: reads, tokenizes, classifies, and explains the --top findings; with loading
    model    the checkpoint's model alone, on the same token ids in the same batches
    roberta  a RoBERTa of the same size with random weights in `pipeline("text-classification")`: 512 tokens of each
             text, truncated; the fastest of three batch sizes

Each run is a process of its own. A round has every run once, in rotating order. Functions that the tree has several
times count once, for all runs alike. Other work on the machine lengthens seconds, hardly processor seconds.
Memory is the highest sum over the processes of a run, with the loaded libraries.

Prints tables, and writes scan.json and scan.md. A missed target does not change the exit status.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.common import ROOT, machine_facts, make_parser, software_versions
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_json, write_text
from ltp_pipeline.base.flags import check_positive

RUNS = ("scan", "model", "roberta")
PRESETS = {"quick": {"functions": 200, "rounds": 1}, "cpu": {"functions": 10_000, "rounds": 3}}
MOST_TIME, LEAST_SPEED = 1.25, 5.0  # of the scan: times the model alone, functions a second of RoBERTa
READING_PERIOD = 0.1  # seconds between two readings of memory
MIB = 2**20


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process."""
    args = _parser().parse_args(argv)
    if args.run is not None:
        from benchmarks.scan.runs import run

        run(args.run, args.work)
        return
    for name, value in PRESETS[args.preset].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    check_positive(args, "functions", "rounds", "top", "batch_size")
    report = measure(args)
    write_json(args.output_dir / "scan.json", report)
    write_text(args.output_dir / "scan.md", _as_text(report, markdown=True) + "\n")
    print(f"{_as_text(report)}\n\nwritten: {args.output_dir / 'scan.json'}, scan.md")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.scan", __doc__)
    parser.add_argument("tree", nargs="?", metavar="FOLDER", help="source tree to scan")
    parser.add_argument("--model_name_or_path", metavar="CHECKPOINT", help="folder or hub name of a checkpoint")
    parser.add_argument("--preset", choices=PRESETS, default="quick", help="how much is measured")
    parser.add_argument(
        "--functions", type=int, help="functions to scan: 200 (quick) or 10,000 (cpu), if so many exist"
    )
    parser.add_argument("--rounds", type=int, help="measured rounds: 1 (quick) or 3 (cpu)")
    parser.add_argument("--top", type=int, default=100, help="findings that the scan explains")
    parser.add_argument("--num_workers", type=int, help="of the scan (default: as in ltp_scan.py)")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="of all models")
    parser.add_argument("--batch_size", type=int, help="of the library's pipeline (default: the fastest of 1, 8, 32)")
    parser.add_argument("--output_dir", type=Path, default=Path("benchmark_scan"), help="folder for the files")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)  # the process of one run, with its folder
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    return parser


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Runs all rounds; returns the content of scan.json."""
    if args.tree is None or args.model_name_or_path is None:
        raise UserError("FOLDER, --model_name_or_path: both are needed, a source tree and a checkpoint")
    from benchmarks.scan.runs import prepare  # late: it imports torch

    with tempfile.TemporaryDirectory() as folder:
        work = prepare(args, Path(folder))
        facts = {**software_versions(), **machine_facts(work["device"]), "threads": work["threads"]}
        rows: dict[str, list[dict]] = {name: [] for name in RUNS}
        with tqdm(total=args.rounds * len(RUNS), desc="runs", leave=False) as progress:
            for number in range(args.rounds):
                for place in range(len(RUNS)):
                    name = RUNS[(number + place) % len(RUNS)]
                    rows[name].append(_run_in_process(name, Path(folder)))
                    progress.update()
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    return {
        "machine": facts,
        "settings": {name: value for name, value in settings.items() if name not in ("run", "work")},
        "work": {name: work[name] for name in ("functions", "tokens", "read", "dtype", "lines", "files")},
        "runs": rows,
        "targets": _targets(rows),
    }


def _run_in_process(name: str, folder: Path) -> dict[str, Any]:
    """Starts the process of one run. Returns what it wrote, and `peak_mib` of it and the processes that it started."""
    import psutil

    command = [sys.executable, "-m", "benchmarks.scan", "--run", name, "--work", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT)
    watched, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        total = 0
        try:
            for each in (watched, *watched.children(recursive=True)):
                total += each.memory_info().rss
        except psutil.NoSuchProcess:  # it ended meanwhile
            pass
        peak = max(peak, total)
        time.sleep(READING_PERIOD)
    if process.returncode:
        raise UserError(f"the run {name} failed; its message is above")
    return {**json.loads((folder / f"{name}.json").read_text()), "peak_mib": peak / MIB}


def _targets(rows: dict[str, list[dict]]) -> list[dict]:
    """The ratios within each round, and whether their medians reach the targets."""
    times, speeds = _ratios(rows, "scan", "model"), _ratios(rows, "roberta", "scan")
    share = statistics.median(row["relative_flops"] or 1 for row in rows["scan"])
    what = f"scan, time over the model alone ({share:.2f} of the FLOPs)"
    return [
        {"what": what, "target": f"at most {MOST_TIME:g}", **times, "reached": times["measured"] <= MOST_TIME},
        {
            "what": "scan, functions a second over RoBERTa's",
            "target": f"at least {LEAST_SPEED:g}",
            **speeds,
            "reached": speeds["measured"] >= LEAST_SPEED,
        },
    ]


def _ratios(rows: dict[str, list[dict]], above: str, below: str) -> dict[str, float]:
    """The time of one run over that of another: median, smallest and largest; and the median in processor seconds."""
    values, processor = (
        [one[name] / other[name] for one, other in zip(rows[above], rows[below])]
        for name in ("seconds", "cpu_seconds")
    )
    median = statistics.median
    return {"measured": median(values), "min": min(values), "max": max(values), "processor": median(processor)}


def _as_text(report: dict[str, Any], markdown: bool = False) -> str:
    work, machine = report["work"], report["machine"]
    table = []
    for name, rows in report["runs"].items():
        seconds = statistics.median(row["seconds"] for row in rows)
        table.append(
            {
                "run": name,
                "seconds": seconds,
                "functions/s": work["functions"] / seconds,
                "processor seconds": statistics.median(row["cpu_seconds"] for row in rows),
                "peak MiB": statistics.median(row["peak_mib"] for row in rows),
                "batch size": rows[0].get("batch_size"),
            }
        )
    where = f"{machine['cpu']} ({', '.join(machine['instructions'] or ['unknown instructions'])})"
    about = (
        f"{work['functions']:,} functions of {work['files']:,} files, {work['lines']:,} lines, "
        f"{work['tokens']:,} tokens ({work['read']:,} read in windows); {work['dtype']}, "
        f"{machine['threads']} threads; {where}; {len(report['runs']['scan'])} rounds"
    )
    targets = [{**row, "reached": "reached" if row["reached"] else "missed"} for row in report["targets"]]
    return "\n\n".join([about, format_table(table, markdown=markdown), format_table(targets, markdown=markdown)])


if __name__ == "__main__":
    run_main(main)
