"""benchmarks.dtype_agreement: what it counts, and one run."""

import json

import numpy as np
import pytest

from benchmarks.dtype_agreement import differences, main
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.view.kept_tokens import PrunedFunction
from tests.pruned_checkpoint import THRESHOLDS, save_functions

# The largest differences of logits that are expected. In this tiny model one more token kept changes them a lot.
LARGEST = {"bfloat16": 0.1, "int8": 1.0}


def pruned(kept, logits):
    kept = np.array(kept, dtype=bool)
    return PrunedFunction(kept, np.zeros(kept.shape), np.array(logits))


def test_differences():
    before = [pruned([[1, 1, 1, 0], [1, 0, 1, 0]], [0.0, 1.0]), pruned([[1, 1], [1, 1]], [2.0, 0.0])]
    after = [pruned([[1, 1, 1, 1], [1, 1, 0, 0]], [0.5, 0.25]), pruned([[1, 1], [1, 1]], [2.0, 0.0])]
    report = differences(before, after, None)
    assert report["tokens"] == 6 and report["predictions_that_differ"] == 0.5
    assert report["largest_logit_difference"] == 0.75 and report["mean_logit_difference"] == 1.25 / 4
    first, second = report["layers"]
    assert first == {"layer": 1, "kept before": 5 / 6, "kept after": 1, "differs": 1 / 6}
    assert second == {"layer": 2, "kept before": 4 / 6, "kept after": 4 / 6, "differs": 2 / 6}
    assert differences(before, after, 0.4)["predictions_that_differ"] == 0  # 0.73 and 0.44 are both above


def test_a_checkpoint(pruned_checkpoint, tmp_path):
    save_functions(tmp_path / "test.csv")
    flags = f"--checkpoint {pruned_checkpoint} --test_file {tmp_path}/test.csv --max_length 96 --output_dir {tmp_path}"
    main([*flags.split(), "--max_functions", "5"])
    report = json.loads((tmp_path / "precision.json").read_text())
    assert report["functions"] == 5 and [row["dtype"] for row in report["dtypes"]][:2] == ["float32", "bfloat16"]
    assert [row["dtype"] for row in report["differences"]] == [row["dtype"] for row in report["dtypes"]][1:]
    for difference in report["differences"]:
        assert (
            len(difference["layers"]) == len(THRESHOLDS)
            and 0 < difference["largest_logit_difference"] < LARGEST[difference["dtype"]]
        )
    with pytest.raises(UserError, match="--max_functions 0: .*1 or more"):
        main([*flags.split(), "--max_functions", "0"])
