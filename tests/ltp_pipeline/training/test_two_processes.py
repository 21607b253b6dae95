"""Stages run by two processes give the results of one process."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, LongformerConfig, LongformerForSequenceClassification

from tests.ltp_pipeline.conftest import functions
from tests.ltp_pipeline.training import stages_in_turn
from tests.ltp_pipeline.training.conftest import log_history, results, without_times

STAGES = ["fine_tuned", "soft", "mixed", "budget", "lora", "hard"]


def save(frame, file):
    """Every third function is short, so that processes have unequal numbers of tokens."""
    frame.loc[::3, "functionSource"] = frame["functionSource"].str[:25]
    frame.to_csv(file, index=False)


@pytest.fixture(scope="module")
def place(longformer_dir, tmp_path_factory):
    """A folder with the results of one process in `one`, of two in `two`, and what the two showed."""
    folder = tmp_path_factory.mktemp("processes")
    torch.manual_seed(0)
    # Without dropout, as processes draw different masks; large weights, so that tokens differ in importance.
    settings = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.2}
    config = LongformerConfig.from_pretrained(longformer_dir, **settings)
    LongformerForSequenceClassification(config).save_pretrained(folder / "longformer")
    AutoTokenizer.from_pretrained(longformer_dir).save_pretrained(folder / "longformer")
    save(functions(24), folder / "train.csv")  # six batches of four
    # Three batches of four: the last is not full. Defective functions have flaw lines.
    save(functions(11, first=100).assign(flaw_lines="3 2"), folder / "test.csv")
    new = functions(7, first=200).drop(columns="label").assign(id=[f"f{i}" for i in range(7)])
    save(new, folder / "new.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", sys.argv)
        stages_in_turn.run_all("one", 4)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", stages_in_turn.__file__]
    done = subprocess.run([*command, "two", "2"], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "shown.txt").write_text(done.stdout)
    (folder / "shown_err.txt").write_text(done.stderr)
    return folder


def metrics(folder):
    """Without times and the operations that padding takes. Groups by length are divided into single numbers."""
    values = without_times(results(folder))
    values.pop("total_flos", None)
    for name in [name for name in values if name.endswith("by_length")]:
        for group in values.pop(name):
            values |= {f"{name} {group['tokens']} {key}": value for key, value in group.items() if key != "tokens"}
    return values


def losses(folder):
    return [entry["loss"] for entry in log_history(folder) if "loss" in entry]


@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_train_as_one_with_the_same_global_batch(place, stage):
    one, two = place / "one" / stage, place / "two" / stage
    assert len(losses(one)) == (3 if stage == "hard" else 6)
    assert losses(two) == pytest.approx(losses(one), abs=1e-4)
    weights = [load_file(folder / "model.safetensors") for folder in (one, two)]
    assert weights[1].keys() == weights[0].keys()
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, atol=1e-5, rtol=0, msg=name)
    for name, value in metrics(one).items():
        assert metrics(two)[name] == pytest.approx(value, abs=1e-4), name
    assert metrics(two).keys() == metrics(one).keys()


def test_thresholds_were_learned_in_the_soft_and_the_mixed_stage(place):
    for stage in ("soft", "mixed"):
        first, *later = metrics(place / "two" / stage)["eval_thresholds_per_layer"]
        assert first == 0
        assert all(abs(value - start) > 1e-3 for value, start in zip(later, (0.1, 0.2), strict=True)), stage


def test_one_process_alone_says_what_lora_trains(place):
    assert (place / "shown.txt").read_text().count("LoRA: 12 layers have adapters; ") == 1


def test_two_processes_meet_a_budget(place):
    assert metrics(place / "two" / "budget")["eval_relative_flops"] == pytest.approx(0.85, abs=0.01)


@pytest.mark.parametrize("name", ["evaluated", "evaluated_by_tokens"])
def test_two_processes_measure_a_checkpoint_as_one_although_its_functions_cannot_be_divided(place, name):
    one, two = metrics(place / "one" / name), metrics(place / "two" / name)
    assert one["eval_functions"] == two["eval_functions"] == 11
    # Of tiny functions the padding of attention's tiles is a good part of the FLOPs: the tokens tell of pruning.
    assert one["eval_relative_flops"] < 1
    assert one["eval_tokens_kept_per_layer"][1] < 0.9 * one["eval_tokens_kept_per_layer"][0]
    assert two.pop("eval_loss") == pytest.approx(one.pop("eval_loss"), abs=1e-6)
    assert two == one
    tables = [pd.read_csv(place / by / name / "predictions.csv") for by in ("one", "two")]
    assert len(tables[0]) == 11
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)


def test_two_processes_predict_a_file_without_labels_as_one(place):
    tables = [pd.read_csv(place / by / "predicted" / "test_predictions.csv") for by in ("one", "two")]
    assert list(tables[0].columns) == ["id", "prediction", "score"]
    assert tables[0]["id"].tolist() == [f"f{i}" for i in range(7)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)


def test_two_processes_share_batches_by_tokens(place):
    folder = place / "two" / "by_tokens"
    predictions = pd.read_csv(folder / "predictions.csv")
    scores = predictions["score"].where(predictions["label"] == 1, 1 - predictions["score"])
    assert metrics(folder)["eval_loss"] == pytest.approx(-np.log(scores).mean(), abs=1e-6)
    assert metrics(folder)["train_samples"] == 24
    assert predictions["label"].tolist() == pd.read_csv(place / "test.csv")["label"].tolist()


def test_two_processes_extract_the_same_files(place):
    for name in ("train_pruned.csv", "dev_pruned.csv", "extraction.json"):
        assert (place / "two" / "extracted" / name).read_bytes() == (place / "one" / "extracted" / name).read_bytes()
    counts = json.loads((place / "two" / "extracted" / "extraction.json").read_text())["files"]
    assert [file["functions"] for file in counts] == [24, 11]
    assert all(0.02 < file["share_kept"] < 0.98 for file in counts)


def test_only_the_main_process_speaks_and_writes(place):
    shown = (place / "shown.txt").read_text()
    for once in (*(f"two/{name}" for name in (*STAGES, "budget", "evaluated")), "written to two/extracted"):
        assert shown.count(f"\n{once}\n") == 1, once
    assert shown.count("step 6/6 ") == 5
    assert (place / "shown_err.txt").read_text().count("pruning test.csv: 100%") == 1
    assert not list(place.glob("two/**/checkpoint-*")) + list(place.glob("two*.unfinished"))
    kinds = {path.relative_to(place / "one") for path in (place / "one").glob("**/*")}
    assert {path.relative_to(place / "two") for path in (place / "two").glob("**/*")} == kinds
