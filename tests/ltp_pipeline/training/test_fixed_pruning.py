"""--prune_mode topk and threshold remove the tokens that their flag asks for, or are refused."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer, LongformerConfig, LongformerForSequenceClassification

from ltp_pipeline.base.errors import UserError
from tests.ltp_pipeline.training.conftest import prune, results

RUN = "--restore five --validation_file test.csv --max_seq_len 96 --dtype float32 --bs 4"
TRAIN = f"{RUN} --train_file train.csv --max_steps 2 --masking_mode hard --no_load --lr 1e-5"


@pytest.fixture
def five(workplace, longformer_dir):
    """`five`, a Longformer of five layers with random weights that make some tokens more important than others."""
    torch.manual_seed(1)
    config = LongformerConfig.from_pretrained(longformer_dir, num_hidden_layers=5, attention_window=[8] * 5)
    config.initializer_range = 0.2
    LongformerForSequenceClassification(config).save_pretrained("five")
    AutoTokenizer.from_pretrained(longformer_dir).save_pretrained("five")
    return workplace


def lengths():
    tokenizer = AutoTokenizer.from_pretrained("five")
    return [min(len(ids), 96) for ids in tokenizer(pd.read_csv("test.csv")["functionSource"].tolist())["input_ids"]]


@pytest.mark.parametrize("flags", [f"{TRAIN} --output_dir out", f"{RUN} --eval --output_dir out"])
def test_topk_keeps_the_share_of_the_flag(five, flags):
    prune(f"{flags} --prune_mode topk --token_keep_rate 0.4")
    kept = results("out")["eval_tokens_kept_per_layer"]
    # The share falls from 1 after three layers to 0.4 after the fifth: 0.7 after the fourth.
    assert kept[2] == pytest.approx(sum(lengths()) / 10)
    assert kept[3] == pytest.approx(sum(round(0.7 * length) for length in lengths()) / 10, abs=0.01)
    assert results("out")["eval_relative_flops"] < 1


def test_threshold_removes_what_is_below_the_flag_in_every_layer(five):
    relative, first = [], []
    for threshold in ("0.05", "0.5"):
        prune(f"{RUN} --eval --prune_mode threshold --token_threshold {threshold} --output_dir at_{threshold}")
        found = results(f"at_{threshold}")
        relative.append(found["eval_relative_flops"])
        first.append(found["eval_tokens_kept_per_layer"][0])
        assert found["eval_thresholds_per_layer"] == [pytest.approx(float(threshold))] * 5
    assert relative[1] < relative[0]
    assert first[1] < first[0] <= sum(lengths()) / 10


def test_a_later_stage_takes_the_number_of_the_checkpoint(five):
    prune(f"{TRAIN} --prune_mode topk --token_keep_rate 0.4 --output_dir out")
    prune(f"{TRAIN.replace('--restore five', '--restore out')} --output_dir next")
    assert results("next")["eval_tokens_kept_per_layer"] == results("out")["eval_tokens_kept_per_layer"]


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--prune_mode topk", "--prune_mode topk: .*--token_keep_rate, above 0 and below 1"),
        ("--prune_mode threshold", "--prune_mode threshold: .*--token_threshold, above 0 and at most 1"),
        ("--prune_mode topk --eval", "--prune_mode topk: .*--token_keep_rate"),
        *(
            (f"--prune_mode topk --token_keep_rate {n}", f"--token_keep_rate {n}")
            for n in ("0.0", "1.0", "-1.0", "nan")
        ),
        *((f"--prune_mode threshold --token_threshold {n}", f"--token_threshold {n}") for n in ("0.0", "1.5", "inf")),
        ("--token_keep_rate 0.5", "--token_keep_rate 0.5: expected --prune_mode topk, not absolute_threshold"),
        (
            "--prune_mode topk --token_threshold 0.5",
            "--token_threshold 0.5: expected --prune_mode threshold, not topk",
        ),
        ("--prune_mode topk --token_keep_rate 0.5 --masking_mode soft", "--masking_mode soft: .*topk"),
        ("--prune_mode topk --token_keep_rate 0.5 --restore longformer", "--prune_mode topk: .* 3 layers"),
    ],
)
def test_what_would_remove_nothing_is_refused(five, flags, message):
    with pytest.raises(UserError, match=message):
        prune(f"{TRAIN} --output_dir out {flags}")
    assert not list(Path(".").glob("out*"))


@pytest.mark.parametrize("flags", ["--prune_mode topk --token_keep_rate 0.4", "--prune_mode threshold"])
def test_a_checkpoint_with_a_budget_is_trained_in_no_other_mode(five, flags):
    path = Path("five/config.json")
    own = {"model_type": "ltp", "prune_mode": "absolute_threshold", "target_flops": 0.5}
    path.write_text(json.dumps(json.loads(path.read_text()) | own))
    message = f"{flags[:16]}.*: --restore five .*target_flops 0.5.*--prune_mode absolute_threshold"
    with pytest.raises(UserError, match=message):
        prune(f"{TRAIN} --output_dir out {flags}")
    assert not list(Path(".").glob("out*"))
