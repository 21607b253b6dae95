"""Long functions: what is read of them, in training, evaluation, comparison, extraction and on the page."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import run_glue_code_metrics
from ltp_pipeline.comparison import main as compare
from ltp_pipeline.data.truncation import Truncation, choose_single_reading, choose_truncation
from ltp_pipeline.model.window_logits import best_windows, summed_windows
from ltp_pipeline.task.tasks import CODE
from ltp_pipeline.view.encode import encode
from ltp_pipeline.view.kept_text import kept_text
from tests.pruned_checkpoint import make_tokenizer
from transformer_revised import LTPForSequenceClassification

SPECIAL = np.array([True, *[False] * 7, True])


@pytest.mark.parametrize(
    ("mode", "stride", "expected"),
    [
        ("head", None, [[0, 1, 2, 3, 8]]),
        ("tail", None, [[0, 5, 6, 7, 8]]),
        ("head_tail", None, [[0, 1, 2, 7, 8]]),
        ("windows", 3, [[0, 1, 2, 3, 8], [0, 4, 5, 6, 8], [0, 5, 6, 7, 8]]),
        ("windows", 2, [[0, 1, 2, 3, 8], [0, 3, 4, 5, 8], [0, 5, 6, 7, 8]]),
        ("windows", 9, [[0, 1, 2, 3, 8], [0, 4, 5, 6, 8], [0, 5, 6, 7, 8]]),  # at most a window: no token is skipped
        ("windows", None, [[0, i, i + 1, i + 2, 8] for i in range(1, 6)]),  # half a window of three is one
    ],
)
def test_what_is_read(mode, stride, expected):
    readings = [reading.tolist() for reading in Truncation(mode, stride).readings(SPECIAL, 5)]
    assert readings == expected
    assert [reading.tolist() for reading in Truncation(mode).readings(SPECIAL, 9)] == [list(range(9))]


def test_the_best_window_counts_and_compute_adds_up():
    logits = np.array([[0, 1.0], [0, 3.0], [0, 2.0], [5.0, 0], [0, 1.0], [0, 1.0]])
    functions = np.array([0, 1, 1, 2, 2, 2])
    assert best_windows(logits, functions).tolist() == [0, 1, 4]
    assert summed_windows(np.arange(6)[:, None], functions).tolist() == [[0], [3], [12]]


def flags(truncation=None):
    return SimpleNamespace(truncation=truncation, window_stride=None, max_length=96)


def test_what_flags_and_checkpoint_say():
    tokenizer, plain, trained = make_tokenizer(), SimpleNamespace(), SimpleNamespace(truncation="tail")
    assert choose_truncation(flags(), plain, CODE, tokenizer, 96) == Truncation("head")
    assert choose_truncation(flags(), trained, CODE, tokenizer, 96) == Truncation("tail")
    assert choose_truncation(flags("head"), trained, CODE, tokenizer, 96) == Truncation("head")
    windows = SimpleNamespace(truncation="windows", window_stride=200)
    assert choose_truncation(flags(), windows, CODE, tokenizer, 96) == Truncation("windows", 94)
    assert choose_single_reading(flags(), windows, CODE, tokenizer) == Truncation("head")


@pytest.mark.parametrize("mode", ["head", "tail", "head_tail"])
def test_kept_text_has_nothing_that_was_not_read(mode):
    source = "int first = 1; " + "skip(); " * 30 + "return last;"
    (encoding,) = encode([source], make_tokenizer(), 20, Truncation(mode))
    assert len(encoding) == 20 and encoding.full_length == len(make_tokenizer()(source)["input_ids"])
    text = kept_text(source, encoding, np.ones(20, dtype=bool))
    begin, end = text.startswith("int first"), text.endswith("return last;")
    assert (begin, end) == (mode != "tail", mode != "head")
    assert text.count("skip") < 5 and len(text) < 60
    if mode == "tail":
        assert source.endswith(text)


@pytest.fixture(scope="module")
def long_and_short(tmp_path_factory, files):
    """Functions of which every third is four times as long; the second row cannot be used."""
    frame = pd.read_csv(files["test"])
    frame.loc[::3, "functionSource"] = frame.loc[::3, "functionSource"] * 4
    frame.loc[1, "functionSource"] = ""
    path = tmp_path_factory.mktemp("long") / "long.csv"
    frame.to_csv(path, index=False)
    return path


def scores_by_hand(checkpoint, file, length, stride):
    """The largest probability of class 1 over each function's windows, one window at a time."""
    from transformers import AutoTokenizer

    model, tokenizer = (
        LTPForSequenceClassification.from_pretrained(checkpoint),
        AutoTokenizer.from_pretrained(checkpoint),
    )
    scores = []
    for text in pd.read_csv(file)["functionSource"].dropna():
        ids = tokenizer(text, verbose=False)["input_ids"][1:-1]
        last = max(len(ids) - (length - 2), 0)
        windows = [[0, *ids[start : start + length - 2], 2] for start in (*range(0, last, stride), last)]
        with torch.inference_mode():
            logits = [model.eval()(input_ids=torch.tensor([window])).logits for window in windows]
        scores.append(max(each.softmax(-1)[0, 1].item() for each in logits))
    return scores


def test_evaluation_and_comparison_take_the_best_window(longformer_dir, long_and_short, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    read = "--truncation windows --window_stride 20 --on_bad_rows skip --dtype float32"
    run_glue_code_metrics.main(
        f"--model_name_or_path {longformer_dir} --do_eval --validation_file {long_and_short} --max_seq_length 60 "
        f"--output_dir out {read}".split()
    )
    predictions = pd.read_csv("out/predictions.csv")
    assert predictions["row"].tolist() == [1, 3, 4, 5, 6, 7, 8, 9, 10]
    expected = scores_by_hand(longformer_dir, long_and_short, 60, 20)
    assert predictions["score"].tolist() == pytest.approx(expected, abs=1e-5)
    results = json.loads(Path("out/all_results.json").read_text())
    long = results["eval_windowed_functions"]
    assert results["eval_functions"] == 9 and long >= 4 and results["eval_windows"] > 2 * long
    assert results["eval_truncated_functions"] == 0 and results["eval_skipped_rows"] == 1
    assert f"eval, 9 rows: {long} are longer than 60 tokens and read in {results['eval_windows']} windows" in (
        capsys.readouterr().out
    )
    compare(
        f"--checkpoints a={longformer_dir} --test_file {long_and_short} --max_length 60 --batch_size 4 --rounds 1 "
        f"--output_dir compared {read}".split()
    )
    (row,) = json.loads(Path("compared/comparison.json").read_text())["checkpoints"]
    for name in ("accuracy", "f1", "auc", "gflops_per_function", "functions", "windows"):
        assert row[name] == pytest.approx(results[f"eval_{name}"]), name


def test_training_takes_every_window_and_the_checkpoint_remembers(longformer_dir, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = (
        f"--do_train --do_eval --train_file {files['train']} --validation_file {files['test']} --max_seq_length 40 "
        "--per_device_train_batch_size 8 --num_train_epochs 1 --overwrite_output_dir --dtype float32"
    )
    run_glue_code_metrics.main(
        f"--model_name_or_path {longformer_dir} {train} --truncation windows --output_dir windows".split()
    )
    config, results = (json.loads(Path("windows", name).read_text()) for name in ("config.json", "all_results.json"))
    assert config["truncation"] == "windows" and config["window_stride"] is None
    assert "\n| train | train.csv | 24 | 0 |" in Path("windows", "README.md").read_text()
    assert results["train_samples"] > 24 == results["train_windowed_functions"] and results["eval_functions"] == 10
    run_glue_code_metrics.main(
        f"--model_name_or_path windows --do_eval --validation_file {files['test']} --dtype float32 "
        "--output_dir again".split()
    )
    again = json.loads(Path("again/all_results.json").read_text())
    assert again["eval_loss"] == pytest.approx(results["eval_loss"])
    assert again["eval_windows"] == results["eval_windows"]
    run_glue_code_metrics.main(f"--model_name_or_path windows {train} --truncation head --output_dir head".split())
    assert json.loads(Path("head/config.json").read_text())["truncation"] == "head"
    assert json.loads(Path("head/all_results.json").read_text())["train_truncated_share"] == 1
