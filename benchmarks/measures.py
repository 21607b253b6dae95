"""Measures the processor time of the measures of an evaluation.

python -m benchmarks.measures
"""

import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.common import make_parser
from ltp_pipeline.measures.detection import detection_measures
from ltp_pipeline.task.breakdown import breakdown, resampled
from ltp_pipeline.task.metrics import positive_scores
from ltp_pipeline.task.tasks import CODE


def seconds(compute: Callable[[], object], repeats: int = 5) -> float:
    """The median processor time of `compute`, after one call that imports what it needs."""
    compute()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        compute()
        times.append(time.process_time() - start)
    return float(np.median(times))


def main(counts: Sequence[int] = (2000, 20_000)) -> None:
    """Prints a line for each part, for each number of functions."""
    for count in counts:
        for name, compute in parts(count).items():
            print(f"{count} functions, {name}: {1000 * seconds(compute):.1f} ms")


def parts(count: int) -> dict[str, Callable[[], object]]:
    """What is computed for `count` functions, half of them defective and half in pairs, of 10 to 4,000 tokens."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    logits = rng.normal(size=(count, 2)) + np.stack([1 - labels, labels], axis=1)
    pairs = np.array([str(i // 2) if i < count // 2 else "" for i in range(count)], dtype=object)
    lengths, scores, predictions = rng.integers(10, 4000, count), positive_scores(logits), logits.argmax(axis=1)
    return {
        "all metrics of functions": lambda: CODE.measure(logits, labels),
        "MCC, PR-AUC and VD-S": lambda: detection_measures(scores, predictions, labels),
        "pairs and groups": lambda: breakdown(CODE, logits, labels, None, lengths, pairs),
        "--bootstrap 1000": lambda: resampled(CODE, logits, labels, None, pairs, 1000, 0),
    }


if __name__ == "__main__":
    make_parser("benchmarks.measures", __doc__).parse_args()
    main()
