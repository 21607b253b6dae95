"""The flags of the speed benchmark, and the presets that set their default values."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.common import make_parser
from benchmarks.speed.models import DTYPES, INT8, MODELS, PEERS, SIZES, has_dtype
from benchmarks.speed.peers import check_packages
from benchmarks.speed.timing import Limits
from benchmarks.speed.work import LENGTHS_FILE, WORKS, batch_and_tokens, work_name
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.flags import check_positive

ONLY_BFLOAT16 = ("W5", "train")  # works that are run in bfloat16 only, unless --dtype is given


@dataclass(frozen=True)
class Preset:
    """Default values for one kind of machine."""

    size: str  # a name in `SIZES`
    device: str
    dtypes: tuple[str, ...]  # data types of W1 to W4
    w4_batches: int  # largest number of batches of W4
    limits: Limits
    memory: tuple[str, ...] = ("W1", "W3")  # works whose peak memory is measured


PRESETS = {
    "cpu": Preset(
        "base", "cpu", ("float32", "bfloat16"), 3, Limits(rounds=9, seconds=150, warm_ups=1, short=0.5, settled=20.0)
    ),
    "gpu": Preset("base", "cuda", ("bfloat16",), 8, Limits(rounds=15, seconds=60, warm_ups=4, short=0.5)),
    "quick": Preset(
        "tiny", "cpu", ("float32", "bfloat16"), 2, Limits(rounds=3, seconds=1, warm_ups=1, short=0.0), memory=()
    ),
}


def parse_flags(argv: list[str] | None, description: str) -> argparse.Namespace:
    """Parses the command line `argv`; None stands for that of this process.

    Returns the flags. Those that were not given have the values of the preset.
    Raises UserError if a value is out of range, or there is no such device.
    """
    args = _parser(description).parse_args(argv)
    preset = PRESETS[args.preset]
    for flag in ("size", "device", "w4_batches", "memory"):
        if getattr(args, flag) is None:
            setattr(args, flag, getattr(preset, flag))
    full = SIZES[args.size].full
    if args.train_tokens is None:
        args.train_tokens = 4 * full
    if args.lengths_file is None:
        args.lengths_file = LENGTHS_FILE
    args.models = sorted({*args.models, *(PEERS if args.peers else ())}, key=[*MODELS, *PEERS].index)
    args.dtype = args.dtype and list(dict.fromkeys(args.dtype))
    args.work = _works(args)
    if not 0 < args.relative_flops < 1:
        raise UserError(f"--relative_flops {args.relative_flops:g}: expected a share above 0 and below 1")
    check_positive(args, "repeats", "threads", "batch_size", "w4_batches")
    if args.train_tokens < full:
        raise UserError(f"--train_tokens {args.train_tokens}: expected at least {full}, the longest function")
    _check_device(args.device)
    _check_peers(args)
    args.threads = args.threads or torch.get_num_threads()
    return args


def dtypes_of_work(args: argparse.Namespace, work: str) -> list[str]:
    """Returns the data types in which a work is run. Not every model is run in each, see `has_dtype`."""
    if args.dtype:
        return [dtype for dtype in args.dtype if work != "train" or dtype != INT8]
    if work in ONLY_BFLOAT16:
        return ["bfloat16"]
    return [*PRESETS[args.preset].dtypes, *([INT8] if args.peers else [])]


def models_of_work(args: argparse.Namespace, work: str, dtype: str) -> list[str]:
    """Returns the models that run a work in `dtype`."""
    return [name for name in args.models if has_dtype(name, dtype) and (work != "train" or name not in PEERS)]


def _works(args: argparse.Namespace) -> list[str]:
    """Returns the works of --work, those of `WORKS` first; by default those that some model runs.

    Raises UserError if no model runs a work of --work, or it is longer than the models' positions.
    """
    size, known, works = SIZES[args.size], list(WORKS), []
    given = dict.fromkeys(args.work or known)
    for work in sorted(given, key=lambda work: known.index(work) if work in known else len(known)):
        dtypes = dtypes_of_work(args, work)
        if any(models_of_work(args, work, dtype) for dtype in dtypes):
            works.append(work)
        elif args.work:
            models = " ".join(args.models)
            raise UserError(f"--work {work}: none of --models {models} runs it in {' or '.join(dtypes) or 'int8'}")
        product = batch_and_tokens(work)
        if product and product[1] > size.longest:
            raise UserError(f"--work {work}: models of size {args.size} have {size.longest} positions")
    if args.price_per_hour is not None and not 0 <= args.price_per_hour < math.inf:
        raise UserError(f"--price_per_hour {args.price_per_hour:g}: expected a number from 0")
    if not works:
        raise UserError(f"--models {' '.join(args.models)}: none runs in --dtype {' '.join(args.dtype or ())}")
    return works


def _check_peers(args: argparse.Namespace) -> None:
    """Raises UserError if a model of `PEERS` cannot be run on the device, or a package is missing."""
    peers = [name for name in args.models if name in PEERS]
    if peers and args.device != "cpu":
        raise UserError(f"--models {peers[0]}: runs on a CPU only; expected --device cpu")
    check_packages(peers)


def _check_device(name: str) -> None:
    try:
        kind = torch.device(name).type
    except RuntimeError:
        kind = None
    if kind not in ("cpu", "cuda"):
        raise UserError(f"--device {name}: expected cpu, cuda or cuda:NUMBER")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {name}: PyTorch sees no GPU here; expected --device cpu")


def _parser(description: str) -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.speed", description)
    add = parser.add_argument
    add(
        "--preset", choices=PRESETS, default="cpu",
        help="cpu: base size, both dtypes, 1 to 2 hours on two cores; gpu: base size, bfloat16; quick: a tiny size, "
        "under a minute, to see that everything works",
    )  # fmt: skip
    add("--output_dir", type=Path, default=Path("benchmark_speed"), help="folder for the results")
    add(
        "--work", nargs="+", type=work_name, metavar="WORK",
        help=f"works to run: {', '.join(WORKS)}, or BATCHxTOKENS such as 1x200 (default: all but BATCHxTOKENS)",
    )  # fmt: skip
    add("--models", nargs="+", choices=[*MODELS, *PEERS], default=list(MODELS), help="models to run")
    add("--peers", action="store_true", help=f"also run {', '.join(PEERS)}, and the models that have it in int8")
    add("--isolate", action="store_true", help="one process for each model; they take turns, round by round")
    add(
        "--dtype", nargs="+", choices=[*DTYPES, INT8],
        help="data types of all works (default: the preset's). Models without a data type are not run in it",
    )  # fmt: skip
    add("--relative_flops", type=float, default=0.5, help="relative FLOPs that ltp_pruned executes")
    add("--repeats", type=int, help="rounds of each work (default: 3, and more if a work is short)")
    add("--threads", type=int, help="threads of PyTorch (default: PyTorch chooses)")
    add("--seed", type=int, default=0, help="seed of weights and token ids")
    add("--device", help="cpu, cuda or cuda:NUMBER (default: the preset's)")
    add("--size", choices=SIZES, help="size of the models (default: the preset's)")
    add("--ltp_attn", help="attn_implementation of LTP (default: the model chooses)")
    add("--batch_size", type=int, default=32, help="functions in a batch of W4")
    add("--w4_batches", type=int, help="largest number of batches of W4 (default: the preset's)")
    add("--train_tokens", type=int, help="computed tokens in a micro-batch of train (default: 4 full functions)")
    add("--lengths_file", type=Path, help="CSV file with the lengths of W4 in a column 'tokens' (default: the demo's)")
    add("--data_file", type=Path, help="data set, such as Data/test.csv, whose functions give the lengths instead")
    add("--tokenizer", default="code_test", help="folder of the tokenizer for --data_file")
    forward_works = [work for work in WORKS if work.startswith("W")]
    add("--memory", nargs="*", choices=forward_works, help="works to measure the memory of (default: the preset's)")
    add("--price_per_hour", type=float, help="price of the machine; adds the cost of a million functions")
    return parser
