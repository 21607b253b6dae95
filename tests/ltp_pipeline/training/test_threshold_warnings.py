"""A run warns of thresholds that remove everything or that did not move."""

import re
from pathlib import Path

import pytest

from tests.ltp_pipeline.training.conftest import prune, results

SOFT = (
    "--restore longformer --train_file train.csv --validation_file test.csv --max_seq_len 96 --bs 4 --epoch 1 "
    "--no_load --masking_mode soft --lr 1e-3 --dtype float32 --output_dir out"
)
MOVES = "--temperature 0.1 --lambda 0.1 --lr_threshold 0.003 --final_token_threshold 0.3"


def warnings(capsys, flags):
    """What a run warns of, after a check that report, JSON and model card say the same."""
    prune(flags)
    found = results("out").get("warnings", [])
    shown = capsys.readouterr().out
    assert re.findall("^warning: (.*)$", shown, re.MULTILINE) == found
    assert shown.partition("\nNext:")[0].endswith("out")
    if "--eval" not in flags:
        card = Path("out/README.md").read_text()
        assert ("## Warnings" in card) == bool(found) and all(f"- {text}\n" in card for text in found)
    return found


def test_thresholds_that_learn_give_no_warning(workplace, capsys):
    assert warnings(capsys, f"{SOFT} {MOVES}") == []


@pytest.mark.parametrize("flags", ["--lr_threshold 1e-12", "--temperature 1e-9"])
def test_thresholds_that_do_not_move(workplace, capsys, flags):
    (said,) = warnings(capsys, f"{SOFT} {MOVES} {flags}")
    assert said.startswith("the thresholds of layers 2 and 3 did not move")
    assert "--lr_threshold" in said and "--temperature" in said


def test_with_a_budget_the_common_shift_is_no_movement(workplace, capsys):
    (said,) = warnings(capsys, f"{SOFT} --target_flops 0.85 --lr_threshold 1e-12")
    assert "layers 2 and 3 did not move" in said
    assert results("out")["eval_relative_flops"] < 0.9


def test_no_threshold_at_all(workplace, capsys):
    (said,) = warnings(capsys, f"{SOFT} {MOVES} --final_token_threshold 0")
    assert "no layer learned a threshold" in said and "--final_token_threshold" in said


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_thresholds_that_would_remove_all_but_the_global_token(workplace, capsys, mode):
    (said,) = warnings(capsys, f"{SOFT} {MOVES} --final_token_threshold 3 --masking_mode {mode}")
    assert (
        said.startswith("layer 2: ")
        and "only the global token (<s>) is kept" in said
        and "--final_token_threshold" in said
        and "--target_flops" in said
    )
    assert results("out")["eval_tokens_kept_per_layer"][1] == 1


def test_layers_are_counted_from_1():
    from ltp_pipeline.training.threshold_warnings import layers_text

    assert layers_text([1]) == "layer 2"
    assert layers_text([1, 2, 4]) == "layers 2, 3 and 5"
