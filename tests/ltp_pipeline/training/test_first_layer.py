"""--prune_first_layer: the first layer learns a threshold, too, and lower budgets can be met."""

import json
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import UserError
from tests.ltp_pipeline.training.conftest import prune, results
from transformer_revised import LTPForSequenceClassification

RUN = "--train_file train.csv --validation_file test.csv --max_seq_len 96 --max_steps 2 --no_load --dtype float32"
SOFT = f"--restore longformer {RUN} --masking_mode soft --target_flops 0.5 --rank_distillation 0 --output_dir soft"
HARD = f"--restore soft {RUN} --masking_mode hard --output_dir hard"


def offsets(folder):
    model = LTPForSequenceClassification.from_pretrained(folder)
    return [offset.item() for offset in model.learned_thresholds()]


def test_a_budget_that_was_impossible_is_met(workplace):
    with pytest.raises(UserError, match=r"--target_flops: 0.5 .*at least 0\.82, or less with prune_first_layer"):
        prune(SOFT)
    prune(f"{SOFT} --prune_first_layer")
    prune(HARD)
    for folder in ("soft", "hard"):
        assert json.loads(Path(folder, "config.json").read_text())["prune_first_layer"] is True
        assert results(folder)["eval_relative_flops"] == pytest.approx(0.5, abs=0.03)
        kept = results(folder)["eval_tokens_kept_per_layer"]
        assert kept[0] < 0.9 * results(folder)["eval_tokens"] / 10  # 10 functions
        found = results(folder)["eval_thresholds_per_layer"]
        base = json.loads(Path(folder, "config.json").read_text())["final_token_threshold"]
        assert found == pytest.approx([base * (i + 1) / 3 + offset for i, offset in enumerate(offsets(folder))])
    learned = offsets("soft")
    assert len({round(offset, 6) for offset in learned[:2]}) == 2  # trained, not only shifted
