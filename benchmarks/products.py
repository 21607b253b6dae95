"""Compares the two libraries that compute matrix products on a CPU: oneDNN, and the BLAS library of PyTorch.

    python -m benchmarks.products --output_dir products

The products are those of a layer of Longformer: attention projections and both halves of the feed-forward part, for
one to many tokens, without gradients and with a backward pass. Each round runs every product with both libraries, on
another input and on the weights of another layer. The ratio of a row is the median of the ratios within each round.
The last table has the geometric mean of all ratios of a dtype, which `product_choice.FASTER` follows. Run it on a
machine that does nothing else. Writes products.json.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.common import machine_facts, make_output_folder, make_parser, software_versions
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_json
from ltp_pipeline.base.flags import check_positive

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LAYERS = 4  # weights in turn, so that they come from the memory and not from the cache of the product before
PASSES = ("without gradients", "with gradients")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process."""
    parser = make_parser("benchmarks.products", __doc__)
    parser.add_argument("--output_dir", type=Path, default=Path("products"), help="folder for products.json")
    parser.add_argument(
        "--hidden_size", type=int, default=768, help="width of the layers; the feed-forward part has 4 times as many"
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=[8, 64, 208, 512], help="rows of the products")
    parser.add_argument("--rounds", type=int, default=9, help="number of measured rounds")
    parser.add_argument("--threads", type=int, help="threads of PyTorch (default: PyTorch chooses)")
    args = parser.parse_args(argv)
    from transformer_revised.models.ltp.product_choice import ONEDNN_DTYPES

    check_positive(args, "hidden_size", "rounds", "threads")
    if min(args.tokens) < 1:
        raise UserError(f"--tokens {min(args.tokens)}: expected 1 or more")
    if not ONEDNN_DTYPES:
        raise UserError("this PyTorch has no products through oneDNN: there is nothing to compare")
    make_output_folder(args.output_dir)
    if args.threads:
        torch.set_num_threads(args.threads)
    rows = compare_libraries(args.hidden_size, args.tokens, args.rounds)
    summary = summarise(rows)
    report = {"machine": machine_facts("cpu"), "versions": software_versions(), "threads": torch.get_num_threads()}
    write_json(args.output_dir / "products.json", {**report, "rounds": args.rounds, "rows": rows, "summary": summary})
    facts = report["machine"]
    print(f"{facts['cpu']}: {', '.join(facts['instructions'] or [])}; PyTorch uses {facts['cpu_capability']}")
    print(format_table(rows), format_table(summary), f"written: {args.output_dir / 'products.json'}", sep="\n\n")


def compare_libraries(hidden: int, tokens: list[int], rounds: int) -> list[dict[str, Any]]:
    """Returns a row for each dtype, pass, shape and number of rows, with GFLOP/s of both libraries."""
    from transformer_revised.models.ltp.product_choice import AUTO, BLAS, ONEDNN, ONEDNN_DTYPES, set_cpu_products

    dtypes = [name for name, dtype in DTYPES.items() if dtype in ONEDNN_DTYPES]
    shapes = [(hidden, hidden), (hidden, 4 * hidden), (4 * hidden, hidden)]
    cases = list(itertools.product(dtypes, PASSES, shapes, tokens))
    rows = []
    try:
        for dtype, which, (inputs, outputs), count in tqdm(cases, desc="products", leave=False):
            step = _step(DTYPES[dtype], which == PASSES[1], inputs, outputs, count)
            seconds: dict[str, list[float]] = {ONEDNN: [], BLAS: []}
            for turn in range(rounds + 1):
                for library in sorted(seconds, reverse=bool(turn % 2)):
                    set_cpu_products(library)
                    elapsed = step()
                    if turn:  # the first round compiles kernels
                        seconds[library].append(elapsed)
            flops = 2 * inputs * outputs * count * (3 if which == PASSES[1] else 1)
            rates = {f"{name} GFLOP/s": flops / statistics.median(values) / 1e9 for name, values in seconds.items()}
            ratio = statistics.median(b / a for a, b in zip(seconds[ONEDNN], seconds[BLAS]))
            shape = {"product": f"{inputs} x {outputs}", "tokens": count}
            rows.append({"dtype": dtype, "pass": which, **shape, **rates, "oneDNN is faster by": ratio})
    finally:
        set_cpu_products(AUTO)
    return rows


def _step(dtype: torch.dtype, with_gradients: bool, inputs: int, outputs: int, count: int) -> Callable[[], float]:
    """A call that computes a product on `LAYERS` layers and returns its mean seconds."""
    from transformer_revised.models.ltp.cpu_products import linear

    layers = [torch.nn.Linear(inputs, outputs, dtype=dtype) for _ in range(LAYERS)]

    def step() -> float:
        x = torch.randn(count, inputs, dtype=dtype, requires_grad=with_gradients)
        start = time.perf_counter()
        with torch.set_grad_enabled(with_gradients):
            for layer in layers:
                y = linear(layer, x)
                if with_gradients:
                    y.backward(torch.ones_like(y))
        return (time.perf_counter() - start) / LAYERS

    return step


def summarise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns for each dtype and pass the geometric mean of the ratios, the faster library, and that of the table."""
    from transformer_revised.models.ltp.product_choice import BLAS, ONEDNN, uses_onednn

    summary = []
    for dtype, which in dict.fromkeys((row["dtype"], row["pass"]) for row in rows):
        logs = [math.log(row["oneDNN is faster by"]) for row in rows if (row["dtype"], row["pass"]) == (dtype, which)]
        mean = math.exp(statistics.fmean(logs))
        table = ONEDNN if uses_onednn(DTYPES[dtype]) else BLAS
        faster = {"faster": ONEDNN if mean > 1 else BLAS, "used": table}
        summary.append({"dtype": dtype, "pass": which, "oneDNN is faster by": mean, **faster})
    return summary


if __name__ == "__main__":
    run_main(main)
