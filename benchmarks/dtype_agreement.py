"""Measures what bfloat16 and int8 change in a pruned checkpoint: kept tokens, predictions, metrics, FLOPs and time.

    python -m benchmarks.dtype_agreement --checkpoint CKPT --test_file Data/test.csv

The checkpoint reads the same functions in float32, in bfloat16 (bfloat16 weights; float32 thresholds and importance)
and, on an x86 CPU, in int8. Each is compared with float32. A token differs after a layer if it is alive in one of the
two dtypes only. Writes precision.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.common import make_output_folder, make_parser
from ltp_pipeline.base.errors import run_main
from ltp_pipeline.base.files import format_table, write_json
from ltp_pipeline.base.flags import check_positive
from ltp_pipeline.task.tasks import CODE

if TYPE_CHECKING:
    import pandas as pd

    from ltp_pipeline.view.kept_tokens import PrunedFunction

METRICS = ("accuracy", "f1", "auc", "relative_flops", "functions_per_second")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process."""
    parser = make_parser("benchmarks.dtype_agreement", __doc__)
    parser.add_argument("--checkpoint", required=True, help="folder of a pruned checkpoint")
    parser.add_argument("--test_file", required=True, help="functions, with columns functionSource and label")
    parser.add_argument("--max_functions", type=int, help="read only this many functions (default: all)")
    parser.add_argument("--max_length", type=int, default=512, help="cut functions to this many tokens")
    parser.add_argument("--rounds", type=int, default=1, help="number of timed passes in each dtype")
    parser.add_argument("--output_dir", type=Path, default=Path("precision"), help="folder for precision.json")
    args = parser.parse_args(argv)
    from ltp_pipeline.data.readers import read_task_file
    from ltp_pipeline.model.checkpoints import check_checkpoint

    check_checkpoint(args.checkpoint, "--checkpoint")
    check_positive(args, "max_functions", "rounds")
    frame = read_task_file(args.test_file, CODE, flag="--test_file").head(args.max_functions)
    make_output_folder(args.output_dir)
    report = compare_dtypes(args.checkpoint, frame, args.max_length, args.rounds)
    write_json(args.output_dir / "precision.json", {"test_file": args.test_file, **report})
    print(format_table(report["dtypes"]))
    for difference in report["differences"]:
        print(format_table(difference["layers"]), end="\n\n")
        print(format_table([{name: value for name, value in difference.items() if name != "layers"}]))
    print(f"written: {args.output_dir}/precision.json")


def compare_dtypes(checkpoint: str, frame: pd.DataFrame, max_length: int, rounds: int = 1) -> dict[str, Any]:
    """Returns the metrics of all dtypes in `dtypes`, one row each, and in `differences` for each other dtype what
    [`differences`] finds between float32 and it.

    Raises UserError if the checkpoint is not a pruned classifier of code.
    """
    from ltp_pipeline.comparison import compare
    from transformer_revised.models.ltp.int8_products import is_int8_supported

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names = ["float32", "bfloat16"] + ["int8"] * (device.type == "cpu" and is_int8_supported())
    pruned, rows = {}, []
    for name in names:
        dtype = getattr(torch, name)
        pruned[name], threshold = _prune(checkpoint, frame, max_length, name, device)
        (row,) = compare({name: checkpoint}, frame, max_length, {}, rounds, dtype, device)
        rows.append({"dtype": name} | {metric: row[metric] for metric in METRICS if metric in row})
    compared = [
        {"dtype": name, **differences(pruned["float32"], pruned[name], threshold)}
        for name in names
        if name != "float32"
    ]
    return {"functions": len(frame), "dtypes": rows, "differences": compared}


def differences(before: list[PrunedFunction], after: list[PrunedFunction], threshold: float | None) -> dict[str, Any]:
    """Compares two passes over the same functions.

    `threshold`: probability above which class 1 is predicted; None: the more probable class is predicted.

    Returns:
        `tokens`: number of tokens of all functions.
        `predictions_that_differ`: share of functions.
        `largest_logit_difference`, `mean_logit_difference`: absolute differences.
        `layers`: for each layer, the share of tokens alive after it in each pass, and in one pass only (`differs`).
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
                "kept before": float(first.mean()),
                "kept after": float(second.mean()),
                "differs": float((first != second).mean()),
            }
            for layer, (first, second) in enumerate(zip(*kept, strict=True), start=1)
        ],
    }


def _prune(
    checkpoint: str, frame: pd.DataFrame, max_length: int, dtype: str, device: torch.device
) -> tuple[list[PrunedFunction], float | None]:
    """Prunes each function of `frame`, in its order; also returns the checkpoint's decision threshold."""
    from ltp_pipeline.task.decision import stored_threshold
    from ltp_pipeline.view.encode import encode
    from ltp_pipeline.view.kept_tokens import PrunedModelArguments, load_pruned_model, prune_functions

    arguments = PrunedModelArguments(checkpoint, max_length=max_length, dtype=dtype, device=str(device))
    model, tokenizer = load_pruned_model(arguments)
    encodings = encode(frame["functionSource"].tolist(), tokenizer, max_length)
    results = dict(prune_functions(model, encodings, description=dtype))
    return [results[index] for index in range(len(frame))], stored_threshold(model.config)


if __name__ == "__main__":
    run_main(main)
