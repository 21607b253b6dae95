"""What bfloat16 changes in a pruned checkpoint: tokens kept, predictions, metrics, compute and time.

    python -m benchmarks.dtype_agreement --checkpoint CKPT --test_file Data/test.csv

The same functions go through the checkpoint in float32 and in bfloat16 (weights held in it, thresholds and importance
in float32). A token's state differs in a layer if one of the two has dropped it there or before and the other has not.
Writes precision.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_json
from ltp_pipeline.task.tasks import CODE

if TYPE_CHECKING:
    import pandas as pd

    from ltp_pipeline.view.kept_tokens import PrunedFunction

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
COMPARED = ("accuracy", "f1", "auc", "relative_flops", "functions_per_second")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None: the process's."""
    args = _parser().parse_args(argv)
    from ltp_pipeline.data.readers import read_labelled
    from ltp_pipeline.model.checkpoints import check_checkpoint

    check_checkpoint(args.checkpoint, "--checkpoint")
    for flag in ("max_functions", "rounds"):
        if getattr(args, flag) is not None and getattr(args, flag) < 1:
            raise UserError(f"--{flag} {getattr(args, flag)}: expected 1 or more")
    frame = read_labelled(args.test_file, CODE, flag="--test_file").head(args.max_functions)
    report = measure(args.checkpoint, frame, args.max_length, args.rounds)
    write_json(Path(args.output_dir) / "precision.json", {"test_file": args.test_file, **report})
    print(format_table(report["dtypes"]), format_table(report["layers"]), sep="\n\n")
    print(format_table([{name: value for name, value in report.items() if not isinstance(value, list)}]))
    print(f"written: {args.output_dir}/precision.json")


def measure(checkpoint: str, frame: pd.DataFrame, max_length: int, rounds: int = 1) -> dict[str, Any]:
    """Both dtypes' `dtypes` (a row each) and what differs between them: see `differences`.

    Raises UserError where the checkpoint is no pruning classifier of code.
    """
    from ltp_pipeline.comparison import compare

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pruned, rows = {}, []
    for name, dtype in DTYPES.items():
        pruned[name], threshold = _pruned(checkpoint, frame, max_length, dtype, device)
        (row,) = compare({name: checkpoint}, frame, max_length, {}, rounds, dtype, device)
        rows.append({"dtype": name} | {metric: row[metric] for metric in COMPARED if metric in row})
    return {"functions": len(frame), **differences(*pruned.values(), threshold), "dtypes": rows}


def differences(before: list[PrunedFunction], after: list[PrunedFunction], threshold: float | None) -> dict[str, Any]:
    """
    What differs between two passes over the same functions.

    Args:
        threshold: probability above which class 1 is predicted; None: the more probable class.

    Returns:
        `tokens`, `predictions_that_differ` (share of the functions), `largest_logit_difference`,
        `mean_logit_difference`, and `layers`: of each the shares of all tokens that the two passes have kept, and
        `differs`, of those that only one has.
    """
    from ltp_pipeline.task.decision import predicted_classes

    logits = [np.stack([function.logits for function in functions]) for functions in (before, after)]
    kept = [np.concatenate([function.kept for function in functions], axis=1) for functions in (before, after)]
    predictions = [predicted_classes(values, threshold) for values in logits]
    difference = np.abs(logits[0] - logits[1])
    return {
        "tokens": kept[0].shape[1],
        "predictions_that_differ": float((predictions[0] != predictions[1]).mean()),
        "largest_logit_difference": float(difference.max()),
        "mean_logit_difference": float(difference.mean()),
        "layers": [
            {
                "layer": layer,
                "kept before": float(a.mean()),
                "kept after": float(b.mean()),
                "differs": float((a != b).mean()),
            }
            for layer, (a, b) in enumerate(zip(*kept, strict=True), start=1)
        ],
    }


def _pruned(
    checkpoint: str, frame: pd.DataFrame, max_length: int, dtype: torch.dtype, device: torch.device
) -> tuple[list[PrunedFunction], float | None]:
    """What the checkpoint does with each function, in the order of `frame`, and its decision threshold."""
    from ltp_pipeline.model.precision import dtype_name
    from ltp_pipeline.task.decision import stored_threshold
    from ltp_pipeline.view.encode import encode
    from ltp_pipeline.view.kept_tokens import PrunedModelArguments, load_pruned_model, prune_functions

    flags = PrunedModelArguments(checkpoint, max_length=max_length, dtype=dtype_name(dtype), device=str(device))
    model, tokenizer = load_pruned_model(flags)
    encodings = encode(frame["functionSource"].tolist(), tokenizer, max_length)
    results = dict(prune_functions(model, encodings, description=dtype_name(dtype)))
    return [results[index] for index in range(len(frame))], stored_threshold(model.config)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dtype_agreement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--checkpoint", required=True, help="folder of a pruned checkpoint")
    parser.add_argument("--test_file", required=True, help="functions, with columns functionSource and label")
    parser.add_argument("--max_functions", type=int, help="take the first so many functions")
    parser.add_argument("--max_length", type=int, default=512, help="cut functions after this many tokens")
    parser.add_argument("--rounds", type=int, default=1, help="timed passes of each dtype")
    parser.add_argument("--output_dir", default="precision", help="folder for precision.json")
    return parser


if __name__ == "__main__":
    run_main(main)
