"""Decision thresholds for a rate of false alarms: chosen on validation, stored, used, removed by more training."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import run_code_metrics
import run_glue_code_metrics
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.comparison import main as compare
from ltp_pipeline.task.decision import lowest_threshold, predicted_classes, stored_threshold
from ltp_pipeline.task.metrics import classification_metrics

FINE_TUNE = (
    "--model_name_or_path longformer --do_train --do_eval --train_file train.csv --validation_file test.csv "
    "--max_seq_length 96 --max_steps 2 --dtype float32"
)
STAGE = "--train_file train.csv --validation_file test.csv --max_steps 1 --no_load --masking_mode hard --dtype float32"


def read(folder, name):
    return json.loads(Path(folder, name).read_text())


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.1, 0.33, 0.5, 0.99])
def test_the_lowest_threshold_keeps_the_rate_and_a_lower_one_does_not(limit):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 400)
    scores = np.round(random.beta(2, 2, 400) + 0.2 * labels * random.random(400), 2).clip(0, 1)  # with ties
    threshold = lowest_threshold(scores, labels, limit)
    clean = scores[labels == 0]
    assert (clean > threshold).mean() <= limit
    lower = np.unique(scores[scores < threshold]).max(initial=0) - 0.005
    assert (clean > lower).mean() > limit
    assert not np.isclose(scores, threshold, atol=1e-4).any()  # in the middle between two


def test_thresholds_at_the_ends():
    scores, labels = np.array([0.2, 0.6, 0.9]), np.array([0, 0, 1])
    assert lowest_threshold(scores, labels, 0.0) == pytest.approx(0.75)
    assert lowest_threshold(scores, labels, 0.49) == pytest.approx(0.75)
    assert lowest_threshold(scores, labels, 0.5) == pytest.approx(0.4)
    assert lowest_threshold(np.array([0.9, 0.1]), labels[1:], 0.0) == pytest.approx(0.95)
    assert lowest_threshold(scores, labels, 1 - 1e-12) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("scores", "labels"),
    [([0.2, 0.6], [1, 1]), ([], []), ([np.nan, 0.6], [0, 1]), ([0.1, np.nan], [0, 1]), ([0.1, 1.5], [0, 1])],
)
def test_no_threshold_is_chosen_from_nothing(scores, labels):
    with pytest.raises(ValueError, match="class 0|not a probability"):
        lowest_threshold(np.array(scores), np.array(labels), 0.05)


@pytest.mark.parametrize("high", [1.0, np.nextafter(0.5, 1)])
def test_saturated_and_neighbouring_scores_keep_the_rate(high):
    scores, labels = np.array([high, np.nextafter(high, 0), 0.25]), np.array([1, 0, 0])
    threshold = lowest_threshold(scores, labels, 0.0)
    assert (scores > threshold).tolist() == [True, False, False]
    assert lowest_threshold(np.full(4, 1.0), np.array([0, 0, 1, 1]), 0.0) == 1
    assert lowest_threshold(np.full(4, 0.5), np.array([0, 0, 1, 1]), 0.4) == pytest.approx(0.75)  # all tie: none


@pytest.mark.parametrize("value", ["0.5", 1.5, -0.1, float("nan"), float("inf"), True, [0.5]])
def test_a_stored_threshold_is_a_probability(value):
    with pytest.raises(UserError, match="decision_threshold is .*expected a probability"):
        stored_threshold(SimpleNamespace(decision_threshold=value))
    for good in (None, 0, 0.0, 0.5, 1):
        assert stored_threshold(SimpleNamespace(decision_threshold=good)) == good


def test_metrics_follow_the_threshold_except_auc():
    logits = np.array([[0, 2.0], [0, 1.0], [0, -1.0], [0, 3.0]])
    labels = np.array([0, 1, 0, 1])
    plain, strict = classification_metrics(logits, labels), classification_metrics(logits, labels, 0.9)
    assert (plain["recall"], plain["false_alarm_rate"]) == (1, 0.5)
    assert (strict["recall"], strict["false_alarm_rate"], strict["accuracy"]) == (0.5, 0, 0.75)
    assert plain["auc"] == strict["auc"] == 0.75
    assert predicted_classes(logits, 0.9).tolist() == [0, 0, 0, 1]
    assert predicted_classes(logits, None).tolist() == [1, 1, 0, 1]


def test_it_is_chosen_on_validation_stored_and_used(workplace, capsys):
    run_glue_code_metrics.main(
        f"{FINE_TUNE} --max_false_alarm 0.2 --do_predict --test_file train.csv --output_dir out".split()
    )
    threshold = read("out", "config.json")["decision_threshold"]
    validation, test = pd.read_csv("out/predictions.csv"), pd.read_csv("out/test_predictions.csv")
    assert threshold == lowest_threshold(validation["score"].to_numpy(), validation["label"].to_numpy(), 0.2)
    for name, table in (("eval", validation), ("test", test)):
        assert (table["prediction"] == (table["score"] > threshold)).all()
        everything = read("out", "all_results.json")
        assert everything[f"{name}_decision_threshold"] == threshold
        assert everything[f"{name}_accuracy"] == pytest.approx((table["label"] == table["prediction"]).mean())
        false_alarms = table.loc[table["label"] == 0, "prediction"].mean()
        assert everything[f"{name}_false_alarm_rate"] == pytest.approx(false_alarms)
    assert read("out", "all_results.json")["eval_false_alarm_rate"] == pytest.approx(0.2)

    run_glue_code_metrics.main(
        "--model_name_or_path out --do_eval --validation_file train.csv --dtype float32 --output_dir again".split()
    )
    assert read("again", "all_results.json")["eval_accuracy"] == read("out", "all_results.json")["test_accuracy"]
    flags = "--checkpoints a=out --test_file train.csv --rounds 1 --max_length 96 --dtype float32"
    compare(f"{flags} --output_dir comparison".split())
    row = read("comparison", "comparison.json")["checkpoints"][0]
    assert row["accuracy"] == read("out", "all_results.json")["test_accuracy"]
    assert read("out", "config.json")["decision_threshold"] == threshold


def test_more_training_removes_it_unless_it_chooses_it_again(workplace, capsys):
    run_glue_code_metrics.main(f"{FINE_TUNE} --max_false_alarm 0.2 --output_dir out".split())
    capsys.readouterr()
    run_code_metrics.main(f"{STAGE} --restore out --output_dir dropped".split())
    assert "note: the decision threshold " in capsys.readouterr().out
    assert read("dropped", "config.json")["decision_threshold"] is None
    assert "eval_decision_threshold" not in read("dropped", "all_results.json")
    run_code_metrics.main(f"{STAGE} --restore out --max_false_alarm 0 --output_dir chosen".split())
    assert "note: the decision threshold " not in capsys.readouterr().out
    results = read("chosen", "all_results.json")
    assert read("chosen", "config.json")["decision_threshold"] == results["eval_decision_threshold"]
    assert results["eval_false_alarm_rate"] == 0
    evaluation = "--eval --restore chosen --validation_file test.csv --dtype float32 --output_dir evaluated"
    run_code_metrics.main(evaluation.split())
    assert read("evaluated", "all_results.json")["eval_false_alarm_rate"] == 0
