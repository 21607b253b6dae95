"""Measures two settings of pruning on the demo's data: what the weight lambda does, and whether a budget is met.

    bash demo.sh
    python -m benchmarks.budgets --folder demo_output --output_dir benchmark_training

Runs `run_code_metrics.py` from the demo's fine-tuned checkpoint: a soft stage for each of `--lambdas`, and a soft and
a hard stage for each budget in `--targets`, with no other pruning flag. A stage whose result is in the output folder
is not run again, so an interrupted benchmark can be continued. Writes training.json, lambdas.csv, budgets.csv and
training.png.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

from benchmarks.common import ROOT, make_output_folder, make_parser, save_figure
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_csv, write_json

METRICS = ("accuracy", "f1", "auc", "relative_flops", "full_relative_flops")
COLUMNS = ("run", *(f"{split} {name}" for split in ("eval", "test") for name in METRICS[:4]), "tokens")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process."""
    args = _parser().parse_args(argv)
    import pandas as pd

    args.folder, args.output_dir = args.folder.resolve(), args.output_dir.resolve()
    for path in (args.folder / "code_test" / "config.json", args.folder / "data" / "train_subset.csv"):
        if not path.is_file():
            raise UserError(f"--folder {args.folder}: {path.name} is missing; expected what `bash demo.sh` makes")
    make_output_folder(args.output_dir)
    start = args.folder / "code_test"
    unpruned_flags = ["--restore", str(start), "--eval"]
    unpruned = {"run": "unpruned", **_run_once(args, args.output_dir / "unpruned", unpruned_flags)}
    lambdas = [run_lambda(args, start, weight) for weight in args.lambdas]
    budgets = [row for target in args.targets for row in run_budget(args, start, target)]
    for name, rows in (("lambdas", lambdas), ("budgets", budgets)):
        write_csv(args.output_dir / f"{name}.csv", pd.DataFrame([unpruned, *rows]))
        print(f"\n{name}\n{format_table([unpruned, *rows], COLUMNS)}")
    report = {"unpruned": unpruned, "lambdas": lambdas, "budgets": budgets, "stage_flags": _common_flags(args)}
    write_json(args.output_dir / "training.json", report)
    _draw(args.output_dir / "training.png", report)


def run_lambda(args: argparse.Namespace, start: Path, weight: float) -> dict:
    """Runs a soft stage with the demo's settings and one value of lambda; returns the metrics, with hard pruning."""
    flags = ["--masking_mode", "soft", "--lambda", str(weight), "--temperature", "0.03"]
    flags += ["--final_token_threshold", "0.05", "--lr_threshold", str(args.lr_threshold)]
    metrics = run_stage(args, start, args.output_dir / f"lambda_{weight}", flags)
    return {"run": f"lambda {weight:g}", "lambda": weight, **metrics}


def run_budget(args: argparse.Namespace, start: Path, target: float) -> list[dict]:
    """Runs a soft and a hard stage with one budget; returns the metrics of both. The checkpoint holds the budget."""
    folder = args.output_dir / f"target_{target}"
    flags = ["--masking_mode", "soft", "--target_flops", str(target), "--rank_distillation", "0"]
    soft = run_stage(args, start, folder, flags)
    hard = run_stage(args, folder, args.output_dir / f"target_{target}_hard", ["--masking_mode", "hard"])
    return [
        {"run": f"target {target:g}, {name}", "target": target, "stage": name, **metrics}
        for name, metrics in (("soft", soft), ("hard", hard))
    ]


def run_stage(args: argparse.Namespace, start: Path, output: Path, flags: list[str]) -> dict:
    """Runs one stage from the checkpoint `start`; returns its metrics on the validation and the test file."""
    return _run_once(
        args, output, ["--restore", str(start), "--train_file", "data/train_subset.csv", "--no_load", *flags]
    )


def _run_once(args: argparse.Namespace, output: Path, flags: list[str]) -> dict:
    """Runs the script, unless `output` holds its result already; returns the metrics."""
    path = output / "all_results.json"
    if not path.is_file():
        _run(args, [*flags, "--output_dir", str(output), *_common_flags(args)])
    results = json.loads(path.read_text(encoding="utf-8"))
    row = {f"{split} {name}": results.get(f"{split}_{name}") for split in ("eval", "test") for name in METRICS}
    return row | {
        "thresholds": results.get("eval_thresholds_per_layer"),
        "tokens": results["eval_tokens_kept_per_layer"],
    }


def _common_flags(args: argparse.Namespace) -> list[str]:
    flags = ["--validation_file", "data/validation.csv", "--test_file", "data/test.csv"]
    flags += ["--bs", "16", "--per_device_eval_batch_size", "32", "--lr", "1e-4", "--epoch", str(args.epochs)]
    if args.max_samples is not None:
        for split in ("train", "eval", "test"):
            flags += [f"--max_{split}_samples", str(args.max_samples)]
    return [*flags, "--seed", str(args.seed), *(["--bf16"] if args.bf16 else [])]


def _run(args: argparse.Namespace, flags: list[str]) -> None:
    print(f"$ {shlex.join(['python', 'run_code_metrics.py', *flags])}", flush=True)
    command = [sys.executable, str(ROOT / "run_code_metrics.py"), *flags]
    status = subprocess.run(command, cwd=args.folder, check=False).returncode
    if status:
        raise UserError(f"run_code_metrics.py ended with status {status}; the command is above")


def _draw(path: Path, report: dict) -> None:
    """Draws relative FLOPs and F1 for each lambda on the left, and for each budget on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    lambdas = report["lambdas"]
    ticks = range(len(lambdas))
    left.plot(ticks, [row["eval relative_flops"] for row in lambdas], "o-", label="relative FLOPs")
    left.plot(ticks, [row["eval f1"] for row in lambdas], "s--", label="F1")
    left.axhline(report["unpruned"]["eval f1"], color="grey", linewidth=0.8, label="F1 unpruned")
    left.set(xlabel="lambda", ylim=(0, 1), title="Validation, hard pruning after a soft stage")
    left.set_xticks(list(ticks), [f"{row['lambda']:g}" for row in lambdas])
    right.plot([0, 1], [0, 1], color="grey", linewidth=0.8, label="budget met exactly")
    for stage, mark in (("soft", "o"), ("hard", "x")):
        rows = [row for row in report["budgets"] if row["stage"] == stage]
        targets = [row["target"] for row in rows]
        right.plot(targets, [row["eval relative_flops"] for row in rows], mark, label=f"relative FLOPs, {stage} stage")
        right.plot(targets, [row["eval f1"] for row in rows], f"{mark}:", label=f"F1, {stage} stage")
    right.set(xlabel="--target_flops", xlim=(0, 1), ylim=(0, 1), title="Validation, with a budget")
    for axes in (left, right):
        axes.legend()
    save_figure(path, figure)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.budgets", __doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo_output"), help="what `bash demo.sh` has made")
    parser.add_argument("--output_dir", type=Path, default=Path("benchmark_training"), help="folder for the results")
    parser.add_argument(
        "--lambdas", type=float, nargs="*", default=[0.0, 0.01, 0.03, 0.1, 0.3], help="values of lambda"
    )
    parser.add_argument("--targets", type=float, nargs="*", default=[0.7, 0.5, 0.3], help="budgets, in relative FLOPs")
    parser.add_argument("--lr_threshold", type=float, default=0.003, help="learning rate of thresholds, with lambda")
    parser.add_argument("--epochs", type=float, default=1, help="epochs of each stage")
    parser.add_argument("--max_samples", type=int, help="read only this many functions of each file, for a quick try")
    parser.add_argument("--seed", type=int, default=42, help="seed of every stage")
    parser.add_argument("--bf16", action="store_true", help="train and evaluate in bfloat16")
    return parser


if __name__ == "__main__":
    run_main(main)
