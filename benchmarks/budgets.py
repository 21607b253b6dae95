"""What lambda does to the thresholds, and whether a compute budget is met, on the demo's data.

    bash demo.sh
    python -m benchmarks.budgets --folder demo_output --output_dir benchmark_training

Runs `run_code_metrics.py` from the demo's fine-tuned checkpoint: the soft stage for every `--lambdas`, soft and hard
stages for every `--targets` with no other flag of pruning set. Stages that are complete already are not run
again, so an interrupted benchmark goes on. Writes training.json, lambdas.csv, budgets.csv and training.png.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_csv, write_json

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ("accuracy", "f1", "auc", "relative_flops", "full_relative_flops")
SHOWN = ("run", *(f"{split} {name}" for split in ("eval", "test") for name in MEASURED[:4]), "tokens")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None: the process's."""
    args = _parser().parse_args(argv)
    import pandas as pd

    args.folder = args.folder.resolve()
    for path in (args.folder / "code_test" / "config.json", args.folder / "data" / "train_subset.csv"):
        if not path.is_file():
            raise UserError(f"--folder {args.folder}: {path.name} is missing; expected what `bash demo.sh` makes")
    args.output_dir = args.output_dir.resolve()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    start = args.folder / "code_test"
    unpruned = {"run": "unpruned", **evaluated(args, start)}
    lambdas = [learned_with(args, start, value) for value in args.lambdas]
    budgets = [row for target in args.targets for row in kept_to(args, start, target)]
    for name, rows in (("lambdas", lambdas), ("budgets", budgets)):
        write_csv(args.output_dir / f"{name}.csv", pd.DataFrame([unpruned, *rows]))
        print(f"\n{name}\n{format_table([unpruned, *rows], SHOWN)}")
    write_json(
        args.output_dir / "training.json",
        {"unpruned": unpruned, "lambdas": lambdas, "budgets": budgets, "stage_flags": _stage_flags(args)},
    )
    _draw(args.output_dir / "training.png", unpruned, lambdas, budgets)


def learned_with(args: argparse.Namespace, start: Path, weight: float) -> dict:
    """The soft stage with the demo's settings and one lambda: what it executes and how good it is, pruned hard."""
    flags = ["--masking_mode", "soft", "--lambda", str(weight), "--temperature", "0.03"]
    flags += ["--final_token_threshold", "0.05", "--lr_threshold", str(args.lr_threshold)]
    result = stage(args, start, args.output_dir / f"lambda_{weight}", flags)
    return {"run": f"lambda {weight:g}", "lambda": weight, **result}


def kept_to(args: argparse.Namespace, start: Path, target: float) -> list[dict]:
    """Soft and hard stage with a budget; the hard one reads it from the checkpoint."""
    soft_dir = args.output_dir / f"target_{target}"
    soft = stage(args, start, soft_dir, ["--masking_mode", "soft", "--target_flops", str(target)])
    hard = stage(args, soft_dir, args.output_dir / f"target_{target}_hard", ["--masking_mode", "hard"])
    return [
        {"run": f"target {target:g}, {name}", "target": target, "stage": name, **measured}
        for name, measured in (("soft", soft), ("hard", hard))
    ]


def stage(args: argparse.Namespace, restore: Path, output: Path, flags: list[str]) -> dict:
    """Runs one stage unless its result is there; its metrics on validation and test."""
    if not (output / "all_results.json").is_file():
        data = ["--train_file", "data/train_subset.csv", "--no_load", "--output_dir", str(output)]
        _run(args, ["--restore", str(restore), *data, *flags, *_stage_flags(args)])
    return _measured(output / "all_results.json")


def evaluated(args: argparse.Namespace, checkpoint: Path) -> dict:
    """Metrics of a checkpoint as it is."""
    output = args.output_dir / "unpruned"
    if not (output / "all_results.json").is_file():
        _run(args, ["--restore", str(checkpoint), "--eval", "--output_dir", str(output), *_stage_flags(args)])
    return _measured(output / "all_results.json")


def _measured(path: Path) -> dict:
    results = json.loads(path.read_text(encoding="utf-8"))
    row = {f"{split} {name}": results.get(f"{split}_{name}") for split in ("eval", "test") for name in MEASURED}
    return row | {
        "thresholds": results.get("eval_thresholds_per_layer"),
        "tokens": results["eval_tokens_kept_per_layer"],
    }


def _stage_flags(args: argparse.Namespace) -> list[str]:
    files = ["--validation_file", "data/validation.csv", "--test_file", "data/test.csv"]
    sizes = ["--bs", "16", "--per_device_eval_batch_size", "32", "--lr", "1e-4", "--epoch", str(args.epochs)]
    limits = [] if args.max_samples is None else ["--max_train_samples", str(args.max_samples)]
    limits += [] if args.max_samples is None else ["--max_eval_samples", str(args.max_samples)]
    limits += [] if args.max_samples is None else ["--max_test_samples", str(args.max_samples)]
    return [*files, *sizes, *limits, "--seed", str(args.seed), *(["--bf16"] if args.bf16 else [])]


def _run(args: argparse.Namespace, flags: list[str]) -> None:
    command = [sys.executable, str(ROOT / "run_code_metrics.py"), *flags]
    print(f"$ {shlex.join(['python', 'run_code_metrics.py', *flags])}", flush=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    status = subprocess.run(command, cwd=args.folder, env=environment, check=False).returncode
    if status:
        raise UserError(f"run_code_metrics.py ended with status {status}; the command is above")


def _draw(path: Path, unpruned: dict, lambdas: list[dict], budgets: list[dict]) -> None:
    """FLOPs and F1 over lambda, and FLOPs and F1 of every budget."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    ticks = range(len(lambdas))
    left.plot(ticks, [row["eval relative_flops"] for row in lambdas], "o-", label="relative FLOPs")
    left.plot(ticks, [row["eval f1"] for row in lambdas], "s--", label="F1")
    left.axhline(unpruned["eval f1"], color="grey", linewidth=0.8, label="F1 unpruned")
    left.set(xlabel="lambda", ylim=(0, 1), title="Validation, after soft training, pruned hard")
    left.set_xticks(list(ticks), [f"{row['lambda']:g}" for row in lambdas])
    left.legend()
    right.plot([0, 1], [0, 1], color="grey", linewidth=0.8, label="met exactly")
    for name, mark in (("soft", "o"), ("hard", "x")):
        rows = [row for row in budgets if row["stage"] == name]
        targets = [row["target"] for row in rows]
        right.plot(targets, [row["eval relative_flops"] for row in rows], mark, label=f"relative FLOPs, {name} stage")
        right.plot(targets, [row["eval f1"] for row in rows], f"{mark}:", label=f"F1, {name} stage")
    right.set(xlabel="--target_flops", xlim=(0, 1), ylim=(0, 1), title="Validation, with a budget")
    right.legend()
    temporary = path.with_name(f".{path.name}.tmp.png")
    figure.savefig(temporary, dpi=120)
    os.replace(temporary, path)
    pyplot.close(figure)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.budgets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=Path("demo_output"), help="what `bash demo.sh` has made")
    parser.add_argument("--output_dir", type=Path, default=Path("benchmark_training"), help="folder of the results")
    parser.add_argument("--lambdas", type=float, nargs="*", default=[0.0, 0.01, 0.03, 0.1, 0.3], help="weights to try")
    parser.add_argument("--targets", type=float, nargs="*", default=[0.7, 0.5, 0.3], help="relative FLOPs to try")
    parser.add_argument("--lr_threshold", type=float, default=0.003, help="thresholds' rate in the lambda runs")
    parser.add_argument("--epochs", type=float, default=1, help="epochs of each stage")
    parser.add_argument(
        "--max_samples", type=int, help="use the first so many functions of each file, for a quick try"
    )
    parser.add_argument("--seed", type=int, default=42, help="of every run")
    parser.add_argument("--bf16", action="store_true", help="train and evaluate in bfloat16")
    return parser


if __name__ == "__main__":
    run_main(main)
