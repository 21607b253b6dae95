"""Prepares the runs of the speed benchmark, has them timed, and computes what follows from their times."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.speed.flags import PRESETS, dtypes_of_work, models_of_work
from benchmarks.speed.isolated import ModelProcess
from benchmarks.speed.memory import peak_in_new_process, peak_on_gpu
from benchmarks.speed.models import DTYPES, PEERS, SIZES, Size, build_models, has_dtype
from benchmarks.speed.peers import build_peer
from benchmarks.speed.pruning import measure_flops, prune_to_budget, set_thresholds
from benchmarks.speed.timing import TimedRun, median_and_range, round_ratios, time_in_rounds
from benchmarks.speed.work import Item, describe_work, make_batch, micro_batches, padded_width, work_items

# Inputs of a run, with other token ids but the same lengths. One repeated input would make LTP faster than it is: the
# number of tokens that it keeps depends on the input, and oneDNN compiles a product for each number of tokens.
INPUTS = 32
SAMPLED_TOKENS = 12_288  # approximate number of tokens on which thresholds are set and FLOPs are counted
PRACTICE = 16  # inputs that the pruned model computes on a CPU before it is timed
PEER_AGREEMENT = 1e-3  # largest difference of float32 logits between a model of `PEERS` and the one it was made from
AGREEMENT = 1e-5  # largest difference of float32 logits between LTP without pruning and Longformer
MATRIX_PRODUCTS = "matrix products"  # stands for a model in the keys of times


class Bench:
    """All models, and how each work is run with them. `lengths`: `[N]`, tokens of the functions of W4, uncut."""

    def __init__(self, args: argparse.Namespace, lengths: np.ndarray):
        self.args, self.lengths = args, lengths
        self.size, self.device = SIZES[args.size], torch.device(args.device)
        models = [] if args.isolate else args.models  # `add_peers` then starts a process for each
        asked = set[str]().union(*(dtypes_of_work(args, work) for work in args.work))
        self.peers = [(name, dtype) for name in models if name in PEERS for dtype in sorted(asked)]
        self.peers = [peer for peer in self.peers if has_dtype(*peer)]
        sources = {name.partition("_")[0] for name, _ in self.peers}
        names = {*models, *sources, "longformer", "ltp"}.difference(PEERS)  # check_agreement needs the last two
        dtypes = ["float32", *sorted(asked - {"float32"} if models else ())]
        self.models = build_models(names, dtypes, self.size, args.seed, args.ltp_attn)
        for model in self.models.values():
            model.to(self.device)
        self.left_out: dict[str, str] = {}  # model and dtype -> why it cannot be run
        self.processes: list[ModelProcess] = []  # with `--isolate`, one for each model

    @torch.no_grad()
    def check_agreement(self) -> dict:
        """Compares the float32 logits of LTP without pruning and of Longformer on two functions.

        Raises RuntimeError if they differ by more than `AGREEMENT`, so that a comparison of their speed says nothing.
        """
        full, logits = self.size.full, []
        for name in ("ltp", "longformer"):
            (batch,) = self._batches([(full, full // 5)], name)
            logits.append(self.models[name, "float32"](**batch).logits)
        difference = (logits[0] - logits[1]).abs().max().item()
        if not difference <= AGREEMENT:
            raise RuntimeError(
                f"logits of LTP unpruned and Longformer differ by {difference:.2e} in float32; expected at most "
                f"{AGREEMENT:g} with the same weights"
            )
        return {"largest_logit_difference": difference, "bound": AGREEMENT}

    @torch.no_grad()
    def add_peers(self) -> dict[str, float]:
        """Builds the models of `PEERS`. Returns the largest difference of their logits to PyTorch's in float32.

        `left_out` gets those that torch.compile cannot compile here. Raises RuntimeError if one in float32 differs by
        more than `PEER_AGREEMENT`.
        """
        differences = {}
        if self.args.isolate:
            for name in self.args.models:
                self.processes.append(process := ModelProcess(self.args, self.lengths, name))
                differences |= process.differences
                self.left_out |= process.left_out
        for name, dtype in self.peers:
            try:
                model = build_peer(name, dtype, self.models, self.size, self.args.threads)
                differences[f"{name} {dtype}"] = difference = self._difference(model, name)
            except Exception as error:
                if name != "longformer_compiled":
                    raise
                self.left_out[f"{name} {dtype}"] = why = (
                    f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
                )
                print(f"warning: {name} in {dtype} is left out: {why}", file=sys.stderr)
                continue
            if dtype == "float32" and not difference <= PEER_AGREEMENT:
                raise RuntimeError(
                    f"float32 logits of {name} differ from those of the PyTorch model by {difference:.2e}; expected "
                    f"at most {PEER_AGREEMENT:g}"
                )
            self.models[name, dtype] = model
        return differences

    def close(self) -> None:
        """Ends the processes of models."""
        for process in self.processes:
            process.close()

    def _difference(self, model: nn.Module, name: str) -> float:
        """Largest difference of the logits of a model of `PEERS` to those of the model from which it was made."""
        full = self.size.full
        lengths: tuple[int, ...] = (full // 5, full // 8)
        if name == "longformer_compiled":  # it is compiled for this shape, so that of the first work
            work = next((work for work in self.args.work if work != "train"), "W2")
            lengths = self._items(work)[0].batches[0]
        (batch,) = self._batches([lengths], name)
        expected = self.models[name.partition("_")[0], "float32"](**batch).logits
        return (model(**batch).logits.float() - expected).abs().max().item()

    def _items(self, work: str) -> list[Item]:
        return work_items(work, self.size, self.lengths, self.args.batch_size, self.args.w4_batches)

    def prepare(self, work: str) -> tuple[list[TimedRun], dict[tuple, dict]]:
        """Returns the runs of a work with the models of this process, and what is known of each before it is timed."""
        runs, rows = [], {}
        prepare_run = self._training_run if work == "train" else self._forward_run
        for item, dtype in itertools.product(self._items(work), dtypes_of_work(self.args, work)):
            for name in models_of_work(self.args, work, dtype):
                if f"{name} {dtype}" not in self.left_out:
                    run, rows[item.label, name, dtype] = prepare_run(item, name, dtype)
                    runs.append(run)
        return runs, rows

    def _prepare_all(self, work: str) -> tuple[list, dict[tuple, dict]]:
        """As [`prepare`], with `--isolate` of the processes of all models."""
        if not self.processes:
            return self.prepare(work)
        runs, rows = [], {}
        for process in self.processes:
            of_process = process.prepare(work)
            runs += of_process[0]
            rows |= of_process[1]
        return runs, rows

    def measure(self, work: str) -> tuple[dict, list[dict]]:
        """Times one work; returns its description and a row for each run, as speed.json holds them."""
        args, limits = self.args, PRESETS[self.args.preset].limits
        items, matrix_flops = self._items(work), {}
        runs, rows = self._prepare_all(work)
        for item, dtype in itertools.product(items, dtypes_of_work(args, work)):
            if work != "train" and dtype in DTYPES:
                tokens = [sum(batch) for batch in item.batches]
                products, matrix_flops[item.label, dtype] = matrix_products(tokens, self.size, dtype, self.device)
                runs.append(TimedRun((item.label, MATRIX_PRODUCTS, dtype), products))
        times = time_in_rounds(runs, args.repeats, limits, self.device)
        for key, row in rows.items():
            row |= {"seconds": times[key], "median_seconds": float(np.median(times[key]))}
        for run in runs:
            if run.key in rows and (seconds := run.step_seconds):
                rows[run.key]["milliseconds"] = _milliseconds(seconds)
        _add_ratios(rows, times, matrix_flops)
        return self._describe(work, items, rounds=len(times[runs[0].key])), list(rows.values())

    def _describe(self, work: str, items: list[Item], rounds: int) -> dict:
        full, tokens = self.size.full, sum(item.tokens for item in items)
        functions = sum(item.functions for item in items)
        description = {
            "what": describe_work(work, full),
            "batches": [batch for item in items for batch in item.batches],
            "functions": functions,
            "tokens": tokens,
            "rounds": rounds,
        }
        if work in ("W4", "latency", "train"):
            mean = float(np.minimum(self.lengths, full).mean())
            description |= {"mean": tokens / functions, "data_mean": mean, "data_functions": len(self.lengths)}
        return description

    def _batches(self, batches: Sequence[Sequence[int]], name: str, turn: int = 0) -> list[dict[str, torch.Tensor]]:
        """Inputs of one model, for batches of these lengths. Another `turn` has other token ids."""
        seed, width = self.args.seed + turn * len(batches), padded_width(name, self.size)
        made = [make_batch(lengths, self.size, seed + index, width) for index, lengths in enumerate(batches)]
        return [{name: tensor.to(self.device) for name, tensor in batch.items()} for batch in made]

    def _forward_run(self, item: Item, name: str, dtype: str) -> tuple[TimedRun, dict]:
        """The forward passes of one model over the batches of an item, and what is known of them before timing."""
        model, row, thresholds = self.models[name, dtype], _row(item, name, dtype), None
        turns = [self._batches(item.batches, name, turn) for turn in range(INPUTS)]
        model.eval()
        if name.startswith("ltp"):
            sampled = max(1, min(INPUTS, SAMPLED_TOKENS // item.tokens))
            sample = [batch for batches in turns[:sampled] for batch in batches]
            if name == "ltp_pruned":
                thresholds = prune_to_budget(model, sample, self.args.relative_flops, self.size.tolerance)
            row |= measure_flops(model, sample)
            row["flops"] /= sampled
        steps = [_forward_step(model, inputs) for inputs in zip(*turns)]
        run = TimedRun((item.label, name, dtype), steps, partial(_prepare, model, thresholds, training=False))
        if name == "ltp_pruned" and self.device.type == "cpu":
            run.practice = PRACTICE if item.work != "latency" else 1  # which computes 64 inputs
        run.clock_steps = item.work == "latency"
        if item.work in self.args.memory and name not in PEERS:
            run.prepare()
            row["peak_memory_bytes"] = self._peak_memory(item, run, thresholds)
        return run, row

    def _peak_memory(self, item: Item, run: TimedRun, thresholds: list[float] | None) -> int:
        """Peak memory in bytes of the first batch."""
        if self.device.type == "cuda":
            return peak_on_gpu(run.steps[0])
        (_, name, dtype), args = run.key, self.args
        return peak_in_new_process(
            name, dtype, args.size, args.seed, args.ltp_attn, thresholds, item.batches[0],
            padded_width(name, self.size), args.threads,
        )  # fmt: skip

    def _training_run(self, item: Item, name: str, dtype: str) -> tuple[TimedRun, dict]:
        """One training step of a model with float32 weights; `dtype` bfloat16 stands for autocast."""
        model, row, thresholds = self.models[name, "float32"], _row(item, name, dtype), None
        parts = micro_batches(item.batches[0], name, self.size.full, self.args.train_tokens)
        batches = self._batches(parts, name)
        if name.startswith("ltp"):
            model.eval()
            if name == "ltp_pruned":
                thresholds = prune_to_budget(model, batches, self.args.relative_flops, self.size.tolerance)
            row["relative_flops"] = measure_flops(model, batches)["relative_flops"]
        row["micro_batches"] = len(parts)
        step = _training_step(model, batches, item.functions, dtype, self.device)
        return TimedRun((item.label, name, dtype), [step], partial(_prepare, model, thresholds, training=True)), row


def _row(item: Item, name: str, dtype: str) -> dict:
    return {
        "item": item.label, "model": name, "dtype": dtype, "functions": item.functions, "tokens": item.tokens
    }  # fmt: skip


def _prepare(model: nn.Module, thresholds: list[float] | None, training: bool) -> None:
    model.train(training)
    if thresholds is not None:
        set_thresholds(model, thresholds)


def _forward_step(model: nn.Module, inputs: Sequence[dict[str, torch.Tensor]]) -> Callable[[], None]:
    """A call that computes the next of `inputs`, and after the last the first."""
    endless = itertools.cycle(inputs)

    def step() -> None:
        with torch.no_grad():
            model(**next(endless))

    return step


def _training_step(
    model: nn.Module, batches: list[dict[str, torch.Tensor]], functions: int, dtype: str, device: torch.device
) -> Callable[[], None]:
    """A call that computes all micro-batches forward and backward, and one step of AdamW."""
    # A step with a learning rate of 0 takes as long, and does not change weights that other models share.
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)

    def step() -> None:
        for batch in batches:
            labels = torch.zeros(len(batch["input_ids"]), dtype=torch.long, device=device)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
                loss = model(**batch, labels=labels).loss
            (loss * len(labels) / functions).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def matrix_products(tokens: Sequence[int], size: Size, dtype: str, device: torch.device) -> tuple[list[Callable], int]:
    """The matrix products of one layer as plain `linear` calls: four of the attention, two of the feed-forward part.

    `tokens`: packed tokens of each batch.
    Returns a call for each batch, and the FLOPs of all calls.
    """
    shapes = [(size.hidden, size.hidden)] * 4 + [(size.hidden, size.intermediate), (size.intermediate, size.hidden)]
    options = {"dtype": DTYPES[dtype], "device": device}
    layers = [(torch.randn(out, in_, **options) * 0.02, torch.zeros(out, **options)) for in_, out in shapes]
    inputs = {width: torch.randn(max(tokens), width, **options) for width in (size.hidden, size.intermediate)}

    def products(count: int) -> Callable[[], None]:
        def call() -> None:
            for (in_, _), (weight, bias) in zip(shapes, layers):
                F.linear(inputs[in_][:count], weight, bias)

        return call

    flops = sum(2 * count * in_ * out for count in tokens for in_, out in shapes)
    return [products(count) for count in tokens], flops


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile of the milliseconds of calls."""
    return {"median": float(np.median(seconds)) * 1e3, "p95": float(np.percentile(seconds, 95)) * 1e3}


def _add_ratios(rows: dict[tuple, dict], times: dict[tuple, list[float]], matrix_flops: dict[tuple, int]) -> None:
    """Adds to each row the speed relative to the other runs of its item, and its share of the matrix rate.

    Args:
        times: seconds in each round of all runs, by item, model and dtype.
        matrix_flops: FLOPs of `matrix_products`, by item and dtype.
    """
    for (item, _, dtype), row in rows.items():
        row["speedup"] = {
            f"{other} {other_dtype}": round_ratios(times[other_item, other, other_dtype], row["seconds"])
            for other_item, other, other_dtype in rows
            if other_item == item and other_dtype in (dtype, "float32")
        }
        if "flops" in row and (item, MATRIX_PRODUCTS, dtype) in times:
            products, flops = times[item, MATRIX_PRODUCTS, dtype], matrix_flops[item, dtype]
            row["matrix_gflops_per_second"] = median_and_range([flops / seconds / 1e9 for seconds in products])
            scale = row["flops"] / flops
            ratios = round_ratios(products, row["seconds"])
            row["share_of_matrix_rate"] = {name: scale * value for name, value in ratios.items()}
