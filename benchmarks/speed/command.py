"""How fast LTP is beside Longformer, RoBERTa and ModernBERT of the same size: paired, interleaved runs in one process.

    python -m benchmarks.speed --preset cpu --output_dir benchmark_speed

Models have random weights, Longformer and LTP the same ones, and their logits are compared first. Works:
    W1     4 sequences of 1024 tokens
    W2     4 functions of 200 tokens; Longformer pads them to 1024
    W3     one sequence of 4096 tokens
    W4     functions of real lengths, cut at 1024, sorted by length, 32 a batch; Longformer pads them to 1024
    W5     one sequence of 256 to 16,384 tokens
    train  a training step on 32 functions of W4, with float32 weights, in bfloat16 under autocast as --bf16 trains
`ltp` does not prune; `ltp_pruned` has thresholds (quantiles of its scores) at which it executes --relative_flops.

Writes speed.json, speed.md (for docs/performance.md) and speed.png, and prints the tables. The exit status is 0 if all
was run, whether targets are reached or not, and 1 if something was not.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import platform
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers

from benchmarks.speed.memory import peak_in_new_process, peak_on_gpu
from benchmarks.speed.models import DTYPES, MODELS, SIZES, Size, build_models
from benchmarks.speed.pruning import executed, prune_to, set_thresholds
from benchmarks.speed.report import draw, markdown, printed
from benchmarks.speed.targets import TARGETS, check_targets
from benchmarks.speed.timing import Limits, Timed, matrix_products, ratios, spread, time_in_rounds
from benchmarks.speed.work import (
    LENGTHS_FILE,
    WORKS,
    Item,
    make_batch,
    micro_batches,
    padded_width,
    read_lengths,
    tokenized_lengths,
    work_items,
)
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import write_json, write_text

# A run's calls take other token ids in turn, of the same lengths. Inputs seen before would flatter LTP: other tokens
# leave of each new one, and oneDNN compiles products for the number of tokens they have.
INPUTS = 32
SAMPLED_TOKENS = 12_288  # about as many are used to set thresholds and to count FLOPs: one input, or several
PRACTICE = 16  # inputs that the pruned model has worked on before it is timed
AGREEMENT = 1e-5  # between float32 logits of LTP unpruned and Longformer


@dataclass(frozen=True)
class Preset:
    """
    Args:
        dtypes: of W1 to W4. The sweep and training are run in bfloat16 alone, unless --dtype is given.
        w4_batches: most batches of W4.
        repeats: most rounds of a work.
        seconds: what the rounds of a work may take, if that is enough for three.
        short, settled: seconds below which a run is repeated, or called once before, within its round.
        memory: works whose peak memory is measured.
    """

    size: str
    device: str
    dtypes: tuple[str, ...]
    w4_batches: int
    repeats: int
    seconds: float
    warm_ups: int
    short: float = 0.5
    settled: float = 0.0
    memory: tuple[str, ...] = ("W1", "W3")


PRESETS = {
    "cpu": Preset("base", "cpu", ("float32", "bfloat16"), 3, repeats=9, seconds=150, warm_ups=1, settled=20.0),
    "gpu": Preset("base", "cuda", ("bfloat16",), 8, repeats=15, seconds=60, warm_ups=4),
    "quick": Preset("tiny", "cpu", ("float32", "bfloat16"), 2, 3, seconds=1, warm_ups=1, short=0.0, memory=()),
}
KEPT_FOR_BFLOAT16 = ("W5", "train")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None: the process's. Exits with 1 if something did not run."""
    args = _arguments(argv)
    lengths = _lengths(args)
    report = run(args, lengths)
    write_json(args.output_dir / "speed.json", report)
    write_text(args.output_dir / "speed.md", markdown(report))
    draw(args.output_dir / "speed.png", report)
    print(printed(report))
    print(f"\nwritten: {args.output_dir / 'speed.json'}, speed.md, speed.png")
    if report["failures"]:
        for name, why in report["failures"].items():
            print(f"error: {name} did not run: {why}", file=sys.stderr)
        sys.exit(1)


def run(args: argparse.Namespace, lengths: np.ndarray) -> dict:
    """The whole benchmark; what `speed.json` holds."""
    torch.set_num_threads(args.threads)
    report = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(args.device),
        "versions": versions(args.device),
        "settings": {name: str(v) if isinstance(v, Path) else v for name, v in vars(args).items()},
        "works": {},
        "runs": [],
        "failures": {},
    }
    bench = Bench(args, SIZES[args.size], lengths)
    report["agreement"] = bench.check_agreement()
    for work in args.work:
        try:
            described, rows = bench.measure(work)
        except UserError:
            raise
        except Exception as error:  # the works before it are worth reporting
            traceback.print_exc()
            report["failures"][work] = f"{type(error).__name__}: {error}"
            continue
        report["works"][work] = described
        report["runs"] += rows
    keyed = {(row["item"], row["model"], row["dtype"]): row for row in report["runs"]}
    report["targets"] = check_targets(TARGETS[args.preset](bench.size, args.relative_flops), keyed)
    return report


class Bench:
    """The models and the works on them."""

    def __init__(self, args: argparse.Namespace, size: Size, lengths: np.ndarray):
        self.args, self.size, self.lengths = args, size, lengths
        self.device = torch.device(args.device)
        dtypes = {dtype for work in args.work for dtype in self._dtypes(work)} | {"float32"}
        self.models = build_models(
            {*args.models, "longformer", "ltp"}, sorted(dtypes, reverse=True), size, args.seed, args.ltp_attn
        )
        for model in self.models.values():
            model.to(self.device)

    def _dtypes(self, work: str) -> list[str]:
        if self.args.dtype:
            return self.args.dtype
        return ["bfloat16"] if work in KEPT_FOR_BFLOAT16 else list(PRESETS[self.args.preset].dtypes)

    @torch.no_grad()
    def check_agreement(self) -> dict:
        """
        Largest difference of the float32 logits of LTP unpruned and Longformer on two functions.

        Raises:
            RuntimeError: it is above `AGREEMENT`: there is nothing to compare the speed of.
        """
        full = self.size.full
        item = Item("agreement", "agreement", ((full, full // 5),), full)
        logits = {
            name: self.models[name, "float32"](**self._batches(item, name)[0]).logits for name in ("ltp", "longformer")
        }
        difference = (logits["ltp"] - logits["longformer"]).abs().max().item()
        if not difference <= AGREEMENT:
            raise RuntimeError(
                f"logits of LTP unpruned and Longformer differ by {difference:.2e} in float32; expected at most "
                f"{AGREEMENT:g} with the same weights"
            )
        return {"largest_logit_difference": difference, "bound": AGREEMENT}

    def measure(self, work: str) -> tuple[dict, list[dict]]:
        """Description and rows of one work."""
        items = work_items(work, self.size, self.lengths, self.args.batch_size, self.args.w4_batches)
        timed, rows = [], {}
        for item in items:
            for dtype in self._dtypes(work):
                for model in self.args.models:
                    run, row = (self._training if work == "train" else self._inference)(item, model, dtype)
                    timed.append(run)
                    rows[run.key] = row
                if work != "train":
                    timed.append(self._matrix_rate(item, dtype, rows))
        args = self.args
        times = time_in_rounds(timed, args.repeats, self._limits(), self.device)
        for key, row in rows.items():
            row |= {"seconds": times[key], "median_seconds": float(np.median(times[key]))}
        self._compare(times, rows)
        tokens = sum(item.tokens for item in items)
        functions = sum(item.functions for item in items)
        described = {
            "what": WORKS[work] if args.size == "base" else f"{WORKS[work]}, every length times {self.size.full}/1024",
            "batches": [batch for item in items for batch in item.batches],
            "functions": functions,
            "tokens": tokens,
            "rounds": len(next(iter(times.values()))),
        }
        if work in ("W4", "train"):
            mean = float(np.minimum(self.lengths, self.size.full).mean())
            described |= {"mean": tokens / functions, "data_mean": mean, "data_functions": len(self.lengths)}
        return described, list(rows.values())

    def _limits(self) -> Limits:
        preset = PRESETS[self.args.preset]
        return Limits(preset.repeats, preset.seconds, preset.warm_ups, preset.short, preset.settled)

    def _batches(self, item: Item, model: str, turn: int = 0) -> list[dict[str, torch.Tensor]]:
        width, seed = padded_width(model, item), self.args.seed + turn * len(item.batches)
        made = [make_batch(batch, self.size, seed + i, width) for i, batch in enumerate(item.batches)]
        return [{name: tensor.to(self.device) for name, tensor in batch.items()} for batch in made]

    def _inference(self, item: Item, name: str, dtype: str) -> tuple[Timed, dict]:
        model = self.models[name, dtype]
        turns = [self._batches(item, name, turn) for turn in range(INPUTS)]
        sampled = max(1, min(INPUTS, SAMPLED_TOKENS // item.tokens))
        sample = [batch for batches in turns[:sampled] for batch in batches]
        row = self._row(item, name, dtype)
        thresholds = None
        model.eval()
        if name.startswith("ltp"):
            if name == "ltp_pruned":
                thresholds = prune_to(model, sample, self.args.relative_flops, self.size.tolerance)
            row |= executed(model, sample)
            row["flops"] /= sampled

        def step(inputs):
            endless = itertools.cycle(inputs)

            def call():
                with torch.no_grad():
                    model(**next(endless))

            return call

        def prepare():
            model.eval()
            if thresholds is not None:
                set_thresholds(model, thresholds)

        run = Timed((item.label, name, dtype), [step(inputs) for inputs in zip(*turns)], prepare)
        run.practice = PRACTICE if name == "ltp_pruned" and self.device.type == "cpu" else 0
        if item.work in self.args.memory:
            prepare()
            row["peak_memory_bytes"] = self._memory(item, name, dtype, thresholds, run)
        return run, row

    def _memory(self, item: Item, name: str, dtype: str, thresholds: list[float] | None, run: Timed) -> int:
        if self.device.type == "cuda":
            return peak_on_gpu(run.steps[0])
        args = self.args
        return peak_in_new_process(
            name, dtype, args.size, args.seed, args.ltp_attn, thresholds, list(item.batches[0]),
            padded_width(name, item), args.threads,
        )  # fmt: skip

    def _training(self, item: Item, name: str, dtype: str) -> tuple[Timed, dict]:
        model, row = self.models[name, "float32"], self._row(item, name, dtype)
        parts = micro_batches(item.batches[0], name, item.full, self.args.train_tokens)
        width = padded_width(name, item)
        batches = [make_batch(part, self.size, self.args.seed + i, width) for i, part in enumerate(parts)]
        batches = [{key: tensor.to(self.device) for key, tensor in batch.items()} for batch in batches]
        thresholds = None
        if name.startswith("ltp"):
            model.eval()
            if name == "ltp_pruned":
                thresholds = prune_to(model, batches, self.args.relative_flops, self.size.tolerance)
            row["relative_flops"] = executed(model, batches)["relative_flops"]
        # At a rate of 0 a step costs the same, and the weights that other models share stay as they are.
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
        autocast = {"dtype": torch.bfloat16, "enabled": dtype == "bfloat16"}

        def step():
            for batch in batches:
                labels = torch.zeros(len(batch["input_ids"]), dtype=torch.long, device=self.device)
                with torch.autocast(self.device.type, **autocast):
                    loss = model(**batch, labels=labels).loss
                (loss * len(labels) / item.functions).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        def prepare():
            model.train()
            if thresholds is not None:
                set_thresholds(model, thresholds)

        row["micro_batches"] = len(parts)
        return Timed((item.label, name, dtype), [step], prepare), row

    def _row(self, item: Item, model: str, dtype: str) -> dict:
        row = {"item": item.label, "model": model, "dtype": dtype}
        return row | {"functions": item.functions, "tokens": item.tokens}

    def _matrix_rate(self, item: Item, dtype: str, rows: dict) -> Timed:
        calls, flops = matrix_products([sum(batch) for batch in item.batches], self.size, dtype, self.device)
        for (label, _, kind), row in rows.items():
            if (label, kind) == (item.label, dtype) and "flops" in row:
                row["matrix_flops"] = flops
        return Timed((item.label, "matrix products", dtype), calls)

    def _compare(self, times: dict, rows: dict) -> None:
        """Adds to every row how many times as fast it is as others, and its share of the matrix rate."""
        for (item, _, dtype), row in rows.items():
            row["speedup"] = {
                f"{model} {kind}": ratios(times[label, model, kind], row["seconds"])
                for label, model, kind in rows
                if label == item and (kind == dtype or kind == "float32")
            }
            if "matrix_flops" in row:
                products = times[item, "matrix products", dtype]
                matrix_flops = row.pop("matrix_flops")
                row["matrix_gflops_per_second"] = spread([matrix_flops / t / 1e9 for t in products])
                scale = row["flops"] / matrix_flops
                share = ratios(products, row["seconds"])
                row["share_of_matrix_rate"] = {name: scale * value for name, value in share.items()}


def machine(device: str) -> dict:
    """What the numbers depend on."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "load_before": load,
        "gpu": torch.cuda.get_device_name(torch.device(device)) if device.startswith("cuda") else None,
        "system": platform.platform(terse=True),
    }


def versions(device: str) -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__}
    found |= {"transformers": transformers.__version__}
    return found | ({"cuda": str(torch.version.cuda)} if device.startswith("cuda") else {})


def _lengths(args: argparse.Namespace) -> np.ndarray:
    """Lengths of the functions of W4, scaled to the size."""
    if args.data_file is not None:
        lengths = tokenized_lengths(args.data_file, args.tokenizer)
    else:
        lengths = read_lengths(args.lengths_file)
    return np.maximum(3, lengths * SIZES[args.size].full // SIZES["base"].full)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    args = _parser().parse_args(argv)
    preset = PRESETS[args.preset]
    for name in ("size", "device", "w4_batches", "memory"):
        if getattr(args, name) is None:
            setattr(args, name, getattr(preset, name))
    if args.train_tokens is None:
        args.train_tokens = 4 * SIZES[args.size].full
    args.work = sorted(set(args.work), key=list(WORKS).index)
    args.models = sorted(set(args.models), key=MODELS.index)
    if not 0 < args.relative_flops < 1:
        raise UserError(f"--relative_flops {args.relative_flops:g}: expected a share above 0 and below 1")
    for name, least in (("repeats", 1), ("threads", 1), ("batch_size", 1), ("w4_batches", 1), ("train_tokens", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UserError(f"--{name} {value}: expected at least {least}")
    if args.train_tokens < SIZES[args.size].full:
        raise UserError(
            f"--train_tokens {args.train_tokens}: expected at least {SIZES[args.size].full}, the longest function"
        )
    _check_device(args.device)
    args.threads = args.threads or torch.get_num_threads()
    return args


def _check_device(name: str) -> None:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name}: expected cpu, cuda or cuda:NUMBER") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name}: expected cpu, cuda or cuda:NUMBER")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {name}: PyTorch sees no GPU here; expected one, or --device cpu")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--preset", choices=PRESETS, default="cpu",
        help="cpu: base size, both dtypes, 1 to 2 hours on two cores; gpu: base size, bfloat16; quick: a tiny size, "
        "under a minute, to see that it works (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--output_dir", type=Path, default=Path("benchmark_speed"), help="folder of the results")
    parser.add_argument("--work", nargs="+", choices=WORKS, default=list(WORKS), help="which works (default: all)")
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=list(MODELS), help="which models (default: all)"
    )
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, help="of all works; in training bfloat16 is autocast")
    parser.add_argument(
        "--relative_flops", type=float, default=0.5, help="what ltp_pruned executes (default: %(default)s)"
    )
    parser.add_argument("--repeats", type=int, help="rounds of each work; by default 3 and more, where they are short")
    parser.add_argument("--threads", type=int, help="of PyTorch (default: what it takes by itself)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and token ids (default: %(default)s)")
    parser.add_argument("--device", help="cpu or cuda; by default the preset's")
    parser.add_argument("--size", choices=SIZES, help="of the models; by default the preset's")
    parser.add_argument("--ltp_attn", help="attn_implementation of LTP; by default its own choice")
    parser.add_argument("--batch_size", type=int, default=32, help="functions a batch of W4 (default: %(default)s)")
    parser.add_argument(
        "--w4_batches", type=int, help="how many batches of W4, chosen over all lengths; by default the preset's"
    )
    parser.add_argument(
        "--train_tokens", type=int,
        help="most tokens that a micro-batch of training computes, padding included (default: 4 full functions)",
    )  # fmt: skip
    parser.add_argument(
        "--lengths_file", type=Path, default=LENGTHS_FILE,
        help="CSV file whose column 'tokens' has the lengths of W4 (default: those of the demo's test functions)",
    )  # fmt: skip
    parser.add_argument(
        "--data_file", type=Path, help="data set whose functions are tokenized for W4 instead, such as Data/test.csv"
    )
    parser.add_argument("--tokenizer", default="code_test", help="for --data_file (default: %(default)s, the demo's)")
    parser.add_argument(
        "--memory", nargs="*", choices=[work for work in WORKS if work != "train"],
        help="works whose peak memory is measured, on the first batch; by default W1 and W3, in quick none",
    )  # fmt: skip
    parser.add_argument("--price_per_hour", type=float, help="of the machine, to tell the cost of a million functions")
    return parser
