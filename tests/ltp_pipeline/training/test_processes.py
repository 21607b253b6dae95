"""The stages by two processes against one; how processes share work, meet and end."""

import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, LongformerConfig, LongformerForSequenceClassification

import run_code_metrics
from ltp_pipeline.base import processes
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.result_folder import new_result
from tests.ltp_pipeline.conftest import functions
from tests.ltp_pipeline.training import stages_in_turn

STAGES = ["fine_tuned", "soft", "mixed", "budget", "hard"]
NOT_THE_SAME = ("runtime", "per_second", "per_sample", "total_flos", "preparation_time")  # time, and padding computed


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
    save(functions(11, first=100), folder / "test.csv")  # three batches of four: the last is not full
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
    everything = json.loads((folder / "all_results.json").read_text())
    return {name: value for name, value in everything.items() if not name.endswith(NOT_THE_SAME)}


def losses(folder):
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_train_as_one_with_the_same_global_batch(place, stage):
    one, two = place / "one" / stage, place / "two" / stage
    assert len(losses(one)) == (3 if stage == "hard" else 6)
    assert losses(two) == pytest.approx(losses(one), abs=1e-4)
    weights = [load_file(folder / "model.safetensors") for folder in (one, two)]
    for name, weight in weights[0].items():
        # The bias of a key moves no probability: it goes where rounding takes it.
        if not name.endswith(("key.bias", "key_global.bias")):
            torch.testing.assert_close(weights[1][name], weight, atol=1e-4, rtol=0, msg=name)
    for name, value in metrics(one).items():
        assert metrics(two)[name] == pytest.approx(value, abs=1e-4), name
    assert metrics(two).keys() == metrics(one).keys()


def test_thresholds_were_learned_in_the_soft_and_the_mixed_stage(place):
    for stage in ("soft", "mixed"):
        first, *later = metrics(place / "two" / stage)["eval_thresholds_per_layer"]
        assert first == 0
        assert all(abs(value - start) > 1e-3 for value, start in zip(later, (0.1, 0.2), strict=True)), stage


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
    assert shown.count("step 6/6 ") == 4
    assert (place / "shown_err.txt").read_text().count("pruning test.csv: 100%") == 1
    assert not list(place.glob("two/**/checkpoint-*")) + list(place.glob("two*.unfinished"))
    kinds = {path.relative_to(place / "one") for path in (place / "one").glob("**/*")}
    assert {path.relative_to(place / "two") for path in (place / "two").glob("**/*")} == kinds


@pytest.fixture
def two(tmp_path):
    """Runs a `main` in two processes that know of each other as torchrun's do, but have no launcher to end them.

    Returns of each its status, standard output and standard error.
    """
    fork = multiprocessing.get_context("fork")

    def run(main, parallel=True):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": "2"}

        def process(index):
            os.environ.update(address, RANK=str(index), LOCAL_RANK=str(index))
            sys.stdout, sys.stderr = (open(tmp_path / f"{name}{index}", "w") for name in ("out", "err"))
            run_main(main, parallel)

        started = [fork.Process(target=process, args=(index,)) for index in range(2)]
        for each in started:
            each.start()
        for each in started:
            each.join(timeout=60)
        for each in started:
            each.kill()
        texts = [[(tmp_path / f"{name}{index}").read_text() for name in ("out", "err")] for index in range(2)]
        return [(each.exitcode, *text) for each, text in zip(started, texts, strict=True)]

    return run


@pytest.mark.parametrize("failing", [[0], [1], [0, 1]])
def test_a_mistake_that_any_process_finds_ends_all_with_one_message(two, failing):
    def main():
        if processes.process_index() in failing:
            raise UserError("--train_file none.csv: no such file")
        processes.agree()
        print("work begins")

    ended = two(main)
    assert [status for status, _, _ in ended] == [2, 2]
    assert "".join(error for _, _, error in ended) == "error: --train_file none.csv: no such file\n"
    assert "".join(shown for _, shown, _ in ended) == ""


def test_a_misspelt_flag_is_told_once(two):
    ended = two(lambda: run_code_metrics.main(["--restore", "here", "--lerning_rate", "1"]))
    assert [status for status, _, _ in ended] == [2, 2]
    assert "".join(error for _, _, error in ended).count("error: unrecognized arguments: --lerning_rate 1") == 1


def test_a_result_folder_is_made_and_moved_once(two, tmp_path):
    def main():
        with new_result(tmp_path / "result") as work:
            (work / f"file_{processes.process_index()}").touch()
            processes.agree()
        assert {path.name for path in (tmp_path / "result").iterdir()} == {"file_0", "file_1"}

    assert two(main) == [(0, "", "")] * 2
    assert not (tmp_path / "result.unfinished").exists()


def test_a_result_folder_that_another_machine_does_not_see(two, tmp_path, monkeypatch):
    def main():
        place = tmp_path / "here" if processes.is_main() else tmp_path / "there"
        with new_result(place):
            print("work begins")

    (status, shown, _), (other, _, error) = two(main)
    assert (status, shown, other) == (2, "", 2)
    assert re.match("error: --output_dir .*there: process 1, on .*, does not see what the first one makes", error)
    assert not (tmp_path / "here.unfinished").exists()


def test_work_for_one_process_is_done_by_one(two):
    def main():
        processes.agree()
        print(processes.process_count(), "at work")

    assert two(main, parallel=False) == [(0, "1 at work\n", ""), (0, "", "")]


def test_only_the_first_of_several_speaks_and_gets_what_all_have_found(two):
    def main():
        processes.connect()
        print(processes.gather(processes.process_index() + 10))

    assert two(main) == [(0, "[10, 11]\n", ""), (0, "", "")]


def test_dealt_hands_are_of_about_the_same_weight():
    weights = [1000, 700, 400, 300, 200, 100, 100, 50, 20, 10]
    hands = processes.deal(weights, 3)
    assert sorted(item for hand in hands for item in hand) == list(range(10))
    totals = [sum(weights[item] for item in hand) for hand in hands]
    assert totals == [1000, 950, 930]
    assert processes.deal([3], 2) == [[0], []]


def test_without_a_launcher_there_is_one_process(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "4")  # as some clusters set it for their own ends
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert (processes.process_count(), processes.process_index(), processes.is_main()) == (1, 0, True)
    processes.agree()
    assert processes.gather("mine") == ["mine"]
    processes.fail("error: something")
    assert capsys.readouterr() == ("", "error: something\n")
