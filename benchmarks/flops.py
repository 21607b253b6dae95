"""Compares the FLOPs that this project reports with those that PyTorch's FLOP counter sees.

    python -m benchmarks.flops --output_dir benchmark_flops

The cases are classifiers with random weights: unpruned and pruned, with several windows and sets of global tokens, in
float32 and in bfloat16. A case fails if `flops_ltp.executed_flops` and the counter differ by more than 1 %. It also
fails if the model executes a matrix product that the counter does not know. Writes flops.json. The exit status is 1 if
a case fails.

On a CPU the model adds rows of zeros to a product, so that their number is a multiple of 16: at most 15 for all
functions of a batch. The reports do not count these, and this command switches them off.
"""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry, sdpa_flop_count

from benchmarks.common import make_output_folder, make_parser, software_versions
from benchmarks.speed.models import DTYPES, cast_weights, new_ltp
from ltp_pipeline.base.errors import run_main
from ltp_pipeline.base.files import format_table, write_json

TOLERANCE = 0.01
WINDOWS = {"64": [64] * 4, "256": [256] * 4, "16-128": [16, 32, 64, 128]}
GLOBALS = {"first": [0], "three": [0, 5, 9], "question": list(range(40)), "none": []}
PRUNING = {"none": None, "some": 0.9, "most": 1.05}  # threshold of all layers, for scores normalised by "rel"
LENGTHS = {"one long": [900], "mixed": [700, 301, 64, 17], "short": [60, 50, 45, 41]}
# The name of an operator has one of these parts if the operator computes a matrix product.
PRODUCT = re.compile(r"(^|_)(mm|\w*mm|matmul|mv|\w*mv|dot|linear|attention|conv\w*|einsum|gemm)(_|$)")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process. Exits with 1 if a case fails."""
    parser = make_parser("benchmarks.flops", __doc__)
    parser.add_argument("--output_dir", type=Path, default=Path("benchmark_flops"), help="folder for flops.json")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=list(DTYPES), help="data types of the models")
    parser.add_argument("--ltp_attn", help="attn_implementation of LTP (default: the model chooses)")
    args = parser.parse_args(argv)
    make_output_folder(args.output_dir)
    rows = compare_counts(args.ltp_attn, tuple(args.dtype))
    failed = [row for row in rows if row["problem"]]
    report = {"torch": software_versions()["torch"], "tolerance": TOLERANCE}
    report |= {"cases": len(rows), "failed": len(failed), "rows": rows}
    write_json(args.output_dir / "flops.json", report)
    print(format_table(rows))
    print(f"\n{len(rows) - len(failed)} of {len(rows)} cases agree within {TOLERANCE:.0%}")
    if failed:
        for problem in sorted({row["problem"] for row in failed}):
            print(f"error: {problem}", file=sys.stderr)
        sys.exit(1)


def compare_counts(attention: str | None = None, dtypes: tuple[str, ...] = tuple(DTYPES)) -> list[dict]:
    """Returns a row for each case: the reported FLOPs, the FLOPs of the counter, and the problem if there is one.

    `attention`: `attn_implementation` of LTP; None: the model chooses.
    """
    from transformer_revised.models.ltp.flops_ltp import executed_flops, layer_counts

    rows = []
    for dtype, pruning, window in itertools.product(dtypes, PRUNING, WINDOWS):
        model = random_classifier(WINDOWS[window], PRUNING[pruning], dtype, attention)
        for lengths, global_tokens in itertools.product(LENGTHS, GLOBALS):
            case = {
                "dtype": dtype, "pruning": pruning, "window": window, "functions": lengths, "global": global_tokens
            }  # fmt: skip
            try:
                with without_added_rows():
                    counted, output = counted_flops(model, random_batch(LENGTHS[lengths], GLOBALS[global_tokens]))
            except RuntimeError as error:
                rows.append(case | {"problem": str(error)})
                continue
            counts = layer_counts(output)
            reported = int(executed_flops(model.config, counts).sum())
            agree = abs(reported - counted) <= TOLERANCE * counted
            rows.append(
                case
                | {
                    "tokens": sum(LENGTHS[lengths]),
                    "tokens in the last layer": int(sum(counts[-1].entered)),
                    "accounting": reported,
                    "counter": counted,
                    "ratio": reported / counted,
                    "problem": None if agree else f"differ by {reported / counted - 1:+.2%}",
                }
            )
    return rows


@contextmanager
def without_added_rows() -> Iterator[None]:
    """In the block, products on a CPU have as many rows as there are tokens."""
    from transformer_revised.models.ltp import cpu_products

    step, cpu_products.ROW_STEP = cpu_products.ROW_STEP, 1
    try:
        yield
    finally:
        cpu_products.ROW_STEP = step


def random_classifier(
    window: list[int], threshold: float | None, dtype: str, attention: str | None
) -> torch.nn.Module:
    """Returns a classifier of 4 layers of width 128 with random weights.

    `threshold`: the same in all layers; None: the model does not prune.
    Raises UserError if LTP does not know the attention implementation.
    """
    torch.manual_seed(0)
    model = new_ltp(
        attention, vocab_size=100, hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=256,
        max_position_embeddings=1026, type_vocab_size=1, attention_window=window, initializer_range=0.1,
        score_normalization="rel", **({"prune_mode": None} if threshold is None else {"final_token_threshold": 0.0}),
    ).eval()  # fmt: skip
    if threshold is not None:
        for offset in model.learned_thresholds():
            torch.nn.init.constant_(offset, threshold)
    return cast_weights(model, DTYPES[dtype])


def random_batch(lengths: list[int], global_columns: list[int]) -> dict[str, torch.Tensor]:
    """Returns random token ids, padded to the longest of `lengths`. Real tokens in `global_columns` are global."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    ids = torch.randint(4, 100, mask.shape, generator=generator).masked_fill(~mask, 1)
    is_global = torch.zeros_like(ids)
    is_global[:, global_columns] = 1
    return {"input_ids": ids, "attention_mask": mask.long(), "global_attention_mask": is_global * mask}


def counted_flops(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple[int, object]:
    """Returns the FLOPs that the counter sees in a forward pass, and the output of that pass.

    Raises RuntimeError if the model executed a matrix product for which there is no formula.
    """
    formulas = flop_formulas()
    executed = ExecutedOperators()
    with torch.no_grad(), executed, FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        output = model(**batch)
    unknown = sorted(
        str(operator)
        for operator in executed.operators
        if PRODUCT.search(operator.__name__) and operator not in flop_registry and operator not in formulas
    )
    if unknown:
        raise RuntimeError(
            f"no formula for {', '.join(unknown)}: add one to flop_formulas in benchmarks/flops.py, or, if the "
            "operator computes no matrix product, exclude its name from PRODUCT"
        )
    return counter.get_total_flops(), output


class ExecutedOperators(TorchDispatchMode):
    """Collects the operators that run. Enter it before a `FlopCounterMode`, which splits composite operators first."""

    def __init__(self):
        super().__init__()
        self.operators = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operators.add(func.overloadpacket)
        return func(*args, **(kwargs or {}))


def flop_formulas() -> dict:
    """Returns FLOP formulas, by operator, of those that this PyTorch has and its `FlopCounterMode` does not know."""
    formulas = {
        "mkldnn._linear_pointwise": _linear_flops,
        "mkl._mkl_linear": _linear_flops,
        "aten.mkldnn_linear": _linear_flops,
        "aten._scaled_dot_product_flash_attention_for_cpu": _attention_flops,
        "aten._scaled_dot_product_fused_attention_overrideable": _attention_flops,
        "aten._addmm_activation": _addmm_flops,
        "aten.mv": _first_operand_flops,
        "aten.dot": _first_operand_flops,
    }
    found = {}
    for name, formula in formulas.items():
        library, operator_name = name.split(".")
        operator = getattr(getattr(torch.ops, library), operator_name, None)
        if operator is not None and operator not in flop_registry:
            found[operator] = formula
    return found


def _linear_flops(x_shape, *args, out_shape=None, **kwargs) -> int:
    """A linear layer on `[..., in]`. The shape of its prepacked weight says nothing, so the output's is used."""
    return 2 * math.prod(x_shape) * out_shape[-1]


def _attention_flops(query, key, value, *args, **kwargs) -> int:
    return sdpa_flop_count(query, key, value)


def _addmm_flops(bias, left, right, *args, **kwargs) -> int:
    return 2 * math.prod(left) * right[-1]


def _first_operand_flops(first, *args, **kwargs) -> int:
    """A matrix or a vector, times a vector: one multiply-add for each element of the first operand."""
    return 2 * math.prod(first)


if __name__ == "__main__":
    run_main(main)
