"""Compares the speed of LTP with Longformer, RoBERTa and ModernBERT of the same size.

    python -m benchmarks.speed --preset cpu --output_dir benchmark_speed

All models have random weights; LTP has Longformer's, and the logits of these two are compared first. Works:
    W1     4 sequences of 1024 tokens
    W2     4 functions of 200 tokens; Longformer pads them to 1024
    W3     one sequence of 4096 tokens
    W4     functions of real lengths, cut at 1024, sorted by length, 32 a batch; Longformer pads them to 1024
    W5     one sequence of 256 to 16,384 tokens
    8x200  8 functions of 200 tokens (or any BATCHxTOKENS); Longformer pads them to a multiple of 1024
    latency  64 functions of real lengths, one in a batch: median and 95th percentile of milliseconds
    train  a training step on 32 functions of W4, with float32 weights and bfloat16 autocast, as --bf16 trains
`ltp` does not prune. `ltp_pruned` has thresholds (quantiles of its scores) with which it executes --relative_flops.
--peers adds RoBERTa in ONNX Runtime and in OpenVINO, Longformer with torch.compile, and int8 for the models that have
it. They need the packages of requirements-benchmarks.txt.

Prints tables, and writes speed.json, speed.md (for docs/performance.md) and speed.png. The exit status is 1 if a work
could not be run. A missed target does not change it.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import traceback
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import machine_facts, make_output_folder, software_versions
from benchmarks.speed.bench import Bench
from benchmarks.speed.flags import parse_flags
from benchmarks.speed.models import SIZES
from benchmarks.speed.peers import peer_versions
from benchmarks.speed.report import draw, markdown_report, text_report
from benchmarks.speed.targets import TARGETS, check_targets
from benchmarks.speed.work import batch_and_tokens, read_lengths, tokenized_lengths
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import write_json, write_text


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process. Exits with 1 if a work could not be run."""
    args = parse_flags(argv, __doc__)
    lengths = _function_lengths(args)
    make_output_folder(args.output_dir)
    report = run_benchmark(args, lengths)
    write_json(args.output_dir / "speed.json", report)
    write_text(args.output_dir / "speed.md", markdown_report(report))
    draw(args.output_dir / "speed.png", report)
    print(text_report(report))
    print(f"\nwritten: {args.output_dir / 'speed.json'}, speed.md, speed.png")
    if report["failures"]:
        for work, why in report["failures"].items():
            print(f"error: {work} did not run: {why}", file=sys.stderr)
        sys.exit(1)


def run_benchmark(args: argparse.Namespace, lengths: np.ndarray) -> dict:
    """Runs all works; returns the content of speed.json. `lengths`: `[N]`, tokens of the functions of W4, uncut."""
    torch.set_num_threads(args.threads)
    report = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine_facts(args.device),
        "versions": software_versions() | peer_versions(args.models),
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
        "works": {},
        "runs": [],
        "failures": {},
    }
    if args.device.startswith("cuda"):
        report["versions"]["cuda"] = str(torch.version.cuda)
    bench = Bench(args, lengths)
    try:
        _measure_works(bench, args.work, report)
    finally:
        bench.close()
    rows_by_key = {(row["item"], row["model"], row["dtype"]): row for row in report["runs"]}
    targets = TARGETS[args.preset](bench.size, args.relative_flops)
    targets = [target for target in targets if target.work in args.work or batch_and_tokens(target.work) is None]
    report["targets"] = check_targets(targets, rows_by_key)
    return report


def _measure_works(bench: Bench, works: list[str], report: dict) -> None:
    """Checks the models, runs all works, and adds what was found to `report`."""
    report["agreement"] = bench.check_agreement() | {"peers": bench.add_peers()}
    report["left_out"] = bench.left_out
    for work in works:
        try:
            description, rows = bench.measure(work)
        except UserError:
            raise
        except Exception as error:  # the other works are still worth reporting
            traceback.print_exc()
            report["failures"][work] = f"{type(error).__name__}: {error}"
        else:
            report["works"][work] = description
            report["runs"] += rows


def _function_lengths(args: argparse.Namespace) -> np.ndarray:
    """Tokens of the functions of W4, scaled to the size of the models."""
    if args.data_file is not None:
        lengths = tokenized_lengths(args.data_file, args.tokenizer)
    else:
        lengths = read_lengths(args.lengths_file)
    return np.maximum(3, lengths * SIZES[args.size].full // SIZES["base"].full)


if __name__ == "__main__":
    run_main(main)
