"""The compute accounting against what PyTorch's FLOP counter sees executed.

    python -m benchmarks.flops --output_dir benchmark_flops

Classifiers with random weights, unpruned and pruned, with several windows and sets of global tokens, in float32 and
bfloat16. A row fails if `flops_ltp.executed_flops` and the counter differ by more than 1 %, or if a matrix product
was executed that the counter does not know. Writes flops.json; the exit status is 1 if a row fails.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import sys
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry, sdpa_flop_count

from benchmarks.speed.models import DTYPES, converted
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_json

TOLERANCE = 0.01
WINDOWS = {"64": [64] * 4, "256": [256] * 4, "16-128": [16, 32, 64, 128]}
GLOBALS = {"first": [0], "three": [0, 5, 9], "question": list(range(40)), "none": []}
PRUNING = {"none": None, "some": 0.9, "most": 1.05}  # threshold of relative scores in every layer
LENGTHS = {"one long": [900], "mixed": [700, 301, 64, 17], "short": [60, 50, 45, 41]}
# Parts of an operator's name by which a matrix product is known.
PRODUCT = re.compile(r"(^|_)(mm|\w*mm|matmul|mv|\w*mv|dot|linear|attention|conv\w*|einsum|gemm)(_|$)")


def _last_width_flops(x_shape, *args, out_shape=None, **kwargs) -> int:
    """A linear layer on `x` `[..., in]`, whatever its weight looks like."""
    return 2 * math.prod(x_shape) * out_shape[-1]


def _attention_flops(query, key, value, *args, **kwargs) -> int:
    return sdpa_flop_count(query, key, value)


def _vector_flops(matrix, vector, *args, **kwargs) -> int:
    return 2 * math.prod(matrix)


def _added_product_flops(bias, left, right, *args, **kwargs) -> int:
    return 2 * math.prod(left) * right[-1]


def flop_formulas() -> dict:
    """FLOPs of the operators that `FlopCounterMode` does not know itself, as far as this PyTorch has them."""
    known = {
        "mkldnn._linear_pointwise": _last_width_flops,
        "mkl._mkl_linear": _last_width_flops,
        "aten.mkldnn_linear": _last_width_flops,
        "aten._scaled_dot_product_flash_attention_for_cpu": _attention_flops,
        "aten._scaled_dot_product_fused_attention_overrideable": _attention_flops,
        "aten._addmm_activation": _added_product_flops,
        "aten.mv": _vector_flops,
        "aten.dot": lambda left, right, *args, **kwargs: 2 * math.prod(left),
    }
    found = {}
    for name, formula in known.items():
        library, operator = name.split(".")
        packet = getattr(getattr(torch.ops, library), operator, None)
        if packet is not None and packet not in flop_registry:
            found[packet] = formula
    return found


class ExecutedOperators(TorchDispatchMode):
    """Names the operators that run. Entered before a `FlopCounterMode`, it sees them as that has taken them apart."""

    def __init__(self):
        super().__init__()
        self.packets = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.packets.add(func.overloadpacket)
        return func(*args, **(kwargs or {}))


def counted_flops(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple[int, object]:
    """
    FLOPs that the counter sees in a forward pass, and its output.

    Raises:
        RuntimeError: a matrix product was executed for which there is no formula.
    """
    formulas = flop_formulas()
    executed = ExecutedOperators()
    with torch.no_grad(), executed, FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        output = model(**batch)
    unknown = sorted(
        str(packet)
        for packet in executed.packets
        if PRODUCT.search(packet.__name__) and packet not in flop_registry and packet not in formulas
    )
    if unknown:
        raise RuntimeError(
            f"executed and not counted: {', '.join(unknown)}; add a formula for it to flop_formulas in "
            "benchmarks/flops.py, or, if it is no matrix product, leave its name out of PRODUCT"
        )
    return counter.get_total_flops(), output


def make_model(window: list[int], threshold: float | None, dtype: str, attention: str | None) -> torch.nn.Module:
    """A classifier of 4 layers of 128 with random weights; every layer has the same threshold."""
    from transformer_revised import LTPConfig, LTPForSequenceClassification  # here: --help need not wait for it

    settings = {"prune_mode": None} if threshold is None else {"final_token_threshold": 0.0}
    if attention is not None:
        settings["attn_implementation"] = attention
    torch.manual_seed(0)
    config = LTPConfig(
        vocab_size=100, hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=256,
        max_position_embeddings=1026, type_vocab_size=1, attention_window=window, initializer_range=0.1,
        score_normalization="rel", **settings,
    )  # fmt: skip
    try:
        model = LTPForSequenceClassification(config).eval()
    except ValueError as error:
        raise UserError(f"--ltp_attn {attention}: {error}") from error
    if threshold is not None:
        for offset in model.learned_thresholds():
            torch.nn.init.constant_(offset, threshold)
    return converted(model, DTYPES[dtype])


def make_batch(lengths: list[int], global_columns: list[int]) -> dict[str, torch.Tensor]:
    """Random ids padded to the longest of `lengths`, with these columns global where there is a token."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    ids = torch.randint(4, 100, mask.shape, generator=generator).masked_fill(~mask, 1)
    globals_ = torch.zeros_like(ids)
    globals_[:, global_columns] = 1
    return {"input_ids": ids, "attention_mask": mask.long(), "global_attention_mask": globals_ * mask}


def compare(attention: str | None = None, dtypes: tuple[str, ...] = tuple(DTYPES)) -> list[dict]:
    """A row for every case: what the accounting says, what the counter saw, and whether they agree."""
    from transformer_revised.models.ltp.flops_ltp import executed_flops, layer_counts

    rows = []
    for dtype, pruning, window in itertools.product(dtypes, PRUNING, WINDOWS):
        model = make_model(WINDOWS[window], PRUNING[pruning], dtype, attention)
        for lengths, name in itertools.product(LENGTHS, GLOBALS):
            batch = make_batch(LENGTHS[lengths], GLOBALS[name])
            row = {"dtype": dtype, "pruning": pruning, "window": window, "functions": lengths, "global": name}
            try:
                seen, output = counted_flops(model, batch)
            except RuntimeError as error:
                rows.append(row | {"problem": str(error)})
                continue
            counts = layer_counts(output)
            said = int(executed_flops(model.config, counts).sum())
            problem = None if abs(said - seen) <= TOLERANCE * seen else f"differ by {said / seen - 1:+.2%}"
            tokens = int(sum(counts[-1].entered))
            row |= {"tokens": sum(LENGTHS[lengths]), "tokens in the last layer": tokens}
            rows.append(row | {"accounting": said, "counter": seen, "ratio": said / seen, "problem": problem})
    return rows


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None: the process's. Exits with 1 if a row fails."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.flops", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output_dir", type=Path, default=Path("benchmark_flops"), help="folder of flops.json")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=list(DTYPES), help="which (default: both)")
    parser.add_argument("--ltp_attn", help="attn_implementation of LTP; by default its own choice")
    args = parser.parse_args(argv)
    rows = compare(args.ltp_attn, tuple(args.dtype))
    failed = [row for row in rows if row["problem"]]
    report = {"torch": torch.__version__, "tolerance": TOLERANCE, "cases": len(rows), "failed": len(failed)}
    write_json(args.output_dir / "flops.json", report | {"rows": rows})
    print(format_table(rows))
    print(f"\n{len(rows) - len(failed)} of {len(rows)} cases agree within {TOLERANCE:.0%}")
    if failed:
        for problem in sorted({row["problem"] for row in failed}):
            print(f"error: {problem}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run_main(main)
