"""Where the data have flaw lines, runs and comparisons score lines, measure them and write them beside predictions."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.comparison import main as compare
from ltp_pipeline.measures.lines import line_measures
from ltp_pipeline.view import line_results
from ltp_pipeline.view.line_results import LineScoring, check_method
from tests.ltp_pipeline.training.conftest import HARD_DIR, fine_tune, prune, results, without_times

EVALUATE = "--do_eval --validation_file flaws.csv --max_seq_length 96 --dtype float32"
LONGFORMER = f"--model_name_or_path longformer {EVALUATE}"
PRUNED = "--eval --task CODE --validation_file flaws.csv --dtype float32"


@pytest.fixture
def flaws(workplace):
    """The functions of test.csv; of each with label 1 the lines 4 and 3 are flaw lines."""
    frame = pd.read_csv("test.csv")
    frame["id"] = [f"f{i}" for i in frame.index]
    frame["flaw_lines"] = np.where(frame["label"] == 1, "4 3", "")
    frame.to_csv("flaws.csv", index=False)
    return frame


def records(file):
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def check(folder, name, flaws):
    """Compares the measures in `folder` with those of the scores and predictions that are in it."""
    written, predictions = records(f"{folder}/{name}line_scores.jsonl"), pd.read_csv(f"{folder}/{name}predictions.csv")
    assert [record["row"] for record in written] == list(range(1, len(flaws) + 1))
    assert [record["id"] for record in written] == flaws["id"].tolist()
    scores = []
    for record, text in zip(written, flaws["functionSource"], strict=True):
        lines, values = zip(*record["lines"], strict=True)
        assert sorted(values, reverse=True) == list(values)
        assert set(lines) <= {i for i, line in enumerate(text.split("\n"), start=1) if line.strip()}
        scores.append(np.full(text.count("\n") + 1, -np.inf))
        scores[-1][np.array(lines) - 1] = values
    truth = [(4, 3) if label == 1 else () for label in flaws["label"]]
    expected = line_measures(
        scores, truth, predictions["score"].to_numpy(), predictions["prediction"].to_numpy(), flaws["label"].to_numpy()
    )
    split = name or "eval_"
    got = {key.removeprefix(split): value for key, value in results(folder).items() if key.startswith(f"{split}line_")}
    assert got.pop("line_by_length") == [{"tokens": "up to 512", "functions": 10, "positives": 5, **got}]
    assert got == pytest.approx(expected, abs=1e-4) and got["line_functions"] == 5


def test_an_evaluation_of_a_longformer(flaws, capsys):
    fine_tune(f"{LONGFORMER} --output_dir out")
    check("out", "", flaws)
    assert "Top-10" in capsys.readouterr().out
    fine_tune(f"{LONGFORMER} --line_scores none --output_dir none")
    assert not Path("none/line_scores.jsonl").exists()
    with_lines, without = without_times(results("out")), without_times(results("none"))
    assert {key: value for key, value in with_lines.items() if "_line_" not in key} == without
    assert Path("none/predictions.csv").read_bytes() == Path("out/predictions.csv").read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_evaluation_of_a_pruned_checkpoint(flaws, trained, dtype):
    flags = f"{PRUNED.replace('float32', dtype)} --restore {trained}/{HARD_DIR} --test_file flaws.csv"
    prune(f"{flags} --line_scores importance --output_dir importance")
    prune(f"{flags} --output_dir out")
    check("out", "test_", flaws)
    check("importance", "", flaws)
    assert records("out/line_scores.jsonl") != records("importance/line_scores.jsonl")


def test_a_training_evaluates_lines_in_windows(flaws):
    flags = f"{LONGFORMER.replace('96', '30')} --truncation windows --do_train --train_file train.csv --max_steps 1"
    fine_tune(f"{flags} --output_dir out")
    check("out", "", flaws)
    counts = [len(record["lines"]) for record in records("out/line_scores.jsonl")]
    texts = [[line for line in text.split("\n") if line.strip()] for text in flaws["functionSource"]]
    assert counts == list(map(len, texts)), "every line is in some window"


def test_nothing_changes_without_flaw_lines(flaws):
    for change, folder in (({"flaw_lines": ""}, "empty"), ({"label": 0}, "clean")):
        flaws.assign(**change).to_csv("flaws.csv", index=False)
        fine_tune(f"{LONGFORMER} --output_dir {folder}")
        assert not any("_line_" in name for name in results(folder))
        assert not Path(folder, "line_scores.jsonl").exists()


def test_a_comparison_measures_lines(flaws, trained):
    checkpoints = f"--checkpoints first=longformer hard={trained}/{HARD_DIR}"
    flags = "--test_file flaws.csv --max_length 96 --rounds 1 --dtype float32"
    compare(f"{checkpoints} {flags} --output_dir out".split())
    rows = json.loads(Path("out/comparison.json").read_text())["checkpoints"]
    prune(f"{PRUNED} --restore {trained}/{HARD_DIR} --output_dir hard")
    for name, value in results("hard").items():
        if name == "eval_line_by_length":
            assert (
                [row["line_functions"] for row in value] == [row["line_functions"] for row in rows[1][name[5:]]] == [5]
            )
        elif "_line_" in name:
            assert rows[1][name.removeprefix("eval_")] == pytest.approx(value, abs=1e-4)
    assert rows[0]["line_functions"] == 5
    compare(f"{checkpoints} {flags} --line_scores none --output_dir none".split())
    assert '"line_' not in Path("none/comparison.json").read_text()


def test_a_method_that_the_model_lacks_is_an_error_before_the_run(flaws):
    checkpoints = "--checkpoints first=longformer --test_file flaws.csv --max_length 96"
    for command, flags in (
        (fine_tune, f"{LONGFORMER} --output_dir out"),
        (lambda flags: compare(flags.split()), checkpoints),
    ):
        with pytest.raises(UserError, match="--line_scores importance: .*does not prune"):
            command(f"{flags} --line_scores importance")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "given, used",
    [((8, None), (2, None)), ((None, 4000), (None, 1000)), ((2, 10), (1, 2)), ((None, None), (None, 2048))],
)
def test_batches_have_a_quarter_of_the_size_of_an_evaluations(monkeypatch, given, used):
    monkeypatch.setattr(line_results, "line_scores", lambda *arguments: arguments[6:8])
    model, frame = SimpleNamespace(training=False, eval=list, train=bool), pd.DataFrame({"functionSource": ["a"]})
    assert LineScoring("attention", None, 96, None, *given).scores(model, frame) == used


def test_other_models_and_slow_tokenizers(capsys):
    bert, fast = SimpleNamespace(config=SimpleNamespace(model_type="bert")), SimpleNamespace(is_fast=True)
    assert check_method("gradient_x_input", bert, fast) == "gradient_x_input"
    with pytest.raises(UserError, match="--line_scores attention: .*ltp.*bert"):
        check_method("attention", bert, fast)
    assert check_method("gradient_x_input", bert, SimpleNamespace(is_fast=False)) == "none"
    assert "tokenizer.json" in capsys.readouterr().out
    t5 = SimpleNamespace(config=SimpleNamespace(model_type="t5", is_encoder_decoder=True))
    assert check_method("gradient_x_input", t5, fast) == "none"
    assert "t5" in capsys.readouterr().out
