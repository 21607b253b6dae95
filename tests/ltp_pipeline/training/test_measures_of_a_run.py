"""A run, its card and a comparison report the measures of the field: pairs, groups of similar length, intervals."""

import json
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import ModelCard

from ltp_pipeline.comparison import main as compare
from ltp_pipeline.measures.pairs import pair_measures
from ltp_pipeline.task.metrics import classification_metrics
from tests.ltp_pipeline.training.conftest import fine_tune, results

EVALUATE = "--model_name_or_path longformer --do_eval --validation_file pairs.csv --max_seq_length 96 --dtype float32"
INTERVALS = ("accuracy", "f1", "mcc", "auc", "pr_auc", "vd_s_0.5", "recall_at_fpr_5", "pair_correct")


@pytest.fixture
def pairs(workplace):
    """The functions of test.csv in four pairs, one of them incomplete, and one function of more than 1024 tokens."""
    frame = pd.read_csv("test.csv")
    frame["pair"] = ["", "a", "a", "b", "b", "c", "c", "d", "", ""]
    frame.loc[8, "functionSource"] *= 20
    frame.to_csv("pairs.csv", index=False)
    return frame


def test_an_evaluation_reports_pairs_groups_and_intervals(pairs, capsys):
    fine_tune(f"{EVALUATE} --bootstrap 100 --output_dir out")
    everything = results("out")
    predictions = pd.read_csv("out/predictions.csv")["prediction"].to_numpy()
    expected = pair_measures(predictions, pairs["label"].to_numpy(), pairs["pair"].tolist())
    assert (expected["pairs"], expected["pairs_incomplete"]) == (3, 1)
    assert {name: everything[f"eval_{name}"] for name in expected} == expected
    groups = everything["eval_by_length"]
    assert [(group["tokens"], group["functions"], group["positives"]) for group in groups] == [
        ("up to 512", 9, 5),
        ("1025 to 2048", 1, 0),
    ]
    assert groups[0]["pairs"] == 3 and "pairs" not in groups[1]
    for name in INTERVALS:
        low, high = everything[f"eval_{name}_interval"]
        assert low <= everything[f"eval_{name}"] <= high
    assert json.loads(Path("out/eval_results.json").read_text()) == everything
    shown = capsys.readouterr().out
    for heading in ("VD-S", "P-C", "positives", "95 % interval"):
        assert heading in shown

    fine_tune(f"{EVALUATE} --bootstrap 100 --output_dir again")
    assert {k: v for k, v in results("again").items() if k.endswith("_interval")} == {
        k: v for k, v in everything.items() if k.endswith("_interval")
    }


def test_the_card_has_the_measures(pairs):
    fine_tune(f"{EVALUATE} --do_train --train_file train.csv --max_steps 1 --bootstrap 100 --output_dir out")
    everything, card = results("out"), ModelCard.load("out/README.md")
    low, high = everything["eval_mcc_interval"]
    assert f"| mcc | {everything['eval_mcc']:.4g} ({low:.4f} to {high:.4f}) |" in card.content
    assert f"| pair_correct | {everything['eval_pair_correct']:.4g} (" in card.content
    assert "| eval | 1025 to 2048 | 1 | 0 |" in card.content
    values = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert values["matthews_correlation"] == everything["eval_mcc"]
    assert values["average_precision"] == everything["eval_pr_auc"]


def test_a_comparison_reports_the_intervals_of_differences_to_the_first(pairs, trained):
    checkpoints = f"--checkpoints first=longformer same=longformer other={trained}/code_test"
    flags = "--test_file pairs.csv --max_length 96 --rounds 1 --dtype float32 --bootstrap 100 --output_dir out"
    compare(f"{checkpoints} {flags}".split())
    first, same, other = json.loads(Path("out/comparison.json").read_text())["checkpoints"]
    assert not any(name.endswith("difference_interval") for name in first)
    for name in INTERVALS:
        assert same[f"{name}_interval"] == first[f"{name}_interval"]
        assert same[f"{name}_difference_interval"] == [0, 0]
        low, high = other[f"{name}_difference_interval"]
        assert low <= other[name] - first[name] <= high
    assert first["pairs"] == 3 and [group["functions"] for group in first["by_length"]] == [9, 1]
    table = pd.read_csv("out/comparison.csv")
    assert table["pr_auc"].tolist() == pytest.approx([row["pr_auc"] for row in (first, same, other)])
    assert "by_length" not in table


def test_windows_of_a_long_function_are_one_function(pairs):
    fine_tune(f"{EVALUATE} --truncation windows --output_dir out")
    everything, predictions = results("out"), pd.read_csv("out/predictions.csv")
    assert [group["functions"] for group in everything["eval_by_length"]] == [9, 1]
    assert len(predictions) == 10
    scores = predictions["score"].to_numpy()
    logits = pd.DataFrame({"a": 0 * scores, "b": scores}).to_numpy()
    ranked = classification_metrics(logits, pairs["label"].to_numpy())
    assert everything["eval_vd_s_5"] == ranked["vd_s_5"]
