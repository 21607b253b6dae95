"""run.json: a run is resumed only with the flags, data, tokenizer and starting checkpoint that it began with."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.task.tasks import CODE
from ltp_pipeline.training import run as pipeline
from ltp_pipeline.training.arguments import StageTrainingArguments
from ltp_pipeline.training.run_record import read_record, settings
from tests.ltp_pipeline.conftest import fill, functions
from tests.ltp_pipeline.training.conftest import digests, fine_tune, outcome, prune

DATA = "--train_file train.csv --validation_file test.csv --dtype float32 --seed 5"
TUNE = (
    f"{DATA} --model_name_or_path longformer --do_train --do_eval --max_seq_length 96 --learning_rate 1e-3 "
    "--per_device_train_batch_size 4 --num_train_epochs 2 --save_strategy steps --save_steps 4 --save_total_limit 9"
)
SOFT = (
    f"{DATA} --restore longformer --masking_mode soft --lr 1e-3 --bs 4 --epoch 2 --save_step 4 --save_all --no_load "
    "--max_seq_len 96 --temperature 0.1 --lambda 0.1 --final_token_threshold 0.9 --lr_threshold 0.01"
)
LAST = "--resume_from_checkpoint last"
RUNS = {
    "tune": (fine_tune, TUNE),
    "constant": (fine_tune, f"{TUNE} --lr_scheduler_type constant"),
    "soft": (prune, SOFT),
}


@pytest.fixture(scope="module")
def finished(files, longformer_dir, tmp_path_factory):
    """A working directory with the complete run of each of `RUNS` that a test has asked for."""
    return fill(tmp_path_factory.mktemp("finished"), files, longformer_dir)


@pytest.fixture
def interrupted(finished, tmp_path, monkeypatch):
    """Makes, in a new working directory, what a run has left that was killed after step 8 of 12: `out.unfinished`."""

    def leave(name="tune", last=8):
        main, flags = RUNS[name]
        monkeypatch.chdir(finished)
        if not Path(name).exists():
            main(f"{flags} --output_dir {name}")
        place = shutil.copytree(finished, tmp_path / "place", ignore=shutil.ignore_patterns(*RUNS))
        work = shutil.copytree(finished / name, place / "out.unfinished", ignore=shutil.ignore_patterns("*.bin"))
        for checkpoint in work.glob("checkpoint-*"):
            if int(checkpoint.name.partition("-")[2]) > last:
                shutil.rmtree(checkpoint)
        monkeypatch.chdir(place)
        return lambda flags: main(f"{RUNS[name][1]} --output_dir out {LAST} {flags}")

    return leave


def refused(resume, flags, monkeypatch, *parts):
    """Asserts that resuming with `flags` is an error with these `parts`, before tokenization, and changes nothing."""
    before = digests(".")
    monkeypatch.setattr(pipeline, "tokenize_splits", None)
    with pytest.raises(UserError) as error:
        resume(flags)
    for part in ("--resume_from_checkpoint", "checkpoint-8", *parts):
        assert part in str(error.value)
    assert digests(".") == before


@pytest.mark.parametrize(
    "flag, now, before",
    [
        ("--seed", 7, 5),
        ("--data_seed", 7, "absent"),
        ("--per_device_train_batch_size", 8, 4),
        ("--gradient_accumulation_steps", 2, 1),
        ("--max_tokens_per_batch", 400, "absent"),
        ("--learning_rate", 0.002, 0.001),
        ("--lr_scheduler_type", "constant", "linear"),
        ("--warmup_steps", 0.5, 0),
        ("--weight_decay", 0.1, 0.0),
        ("--optim", "sgd", "adamw_torch"),
        ("--adam_epsilon", 0.001, 1e-08),
        ("--max_grad_norm", 2.0, 1.0),
        ("--dtype", "bfloat16", "float32"),
        ("--max_seq_length", 64, 96),
        ("--truncation", "tail", "absent"),
        ("--class_weights", "balanced", "none"),
        ("--label_smoothing_factor", 0.1, 0.0),
        ("--load_best_model_at_end", True, False),
        ("--max_false_alarm", 0.1, "absent"),
        ("--task", "VDISC", "CODE"),
        ("--window_size", 16, "absent"),
    ],
)
def test_another_flag_is_named_with_both_values(interrupted, monkeypatch, flag, now, before):
    spelled = {"--task": "--task_name vdisc", "--load_best_model_at_end": "--early_stopping_patience 3 --eval_steps 4"}
    flags = spelled.get(flag, f"{flag} {now}")
    refused(interrupted(), flags, monkeypatch, f"{flag} is {now}", f"was {before}")


@pytest.mark.parametrize(
    "flag, now, before",
    [
        ("--lambda", 0.2, 0.1),
        ("--lr_threshold", 0.02, 0.01),
        ("--weight_decay", 0.1, 0.0),
        ("--model_weight_decay", 0.1, 0.0),
        ("--temperature", 0.2, 0.1),
        ("--final_token_threshold", 0.1, 0.9),
        ("--score_normalization", "rel", "absent"),
        ("--target_flops", 0.5, "absent"),
        ("--rank_distillation", 0.3, 0.0),
        ("--masking_mode", "hard", "soft"),
        ("--bs", 8, 4),
        ("--lr", 0.002, 0.001),
    ],
)
def test_another_flag_of_a_stage_is_named_with_both_values(interrupted, monkeypatch, flag, now, before):
    refused(interrupted("soft"), f"{flag} {now}", monkeypatch, f"{flag} is {now}", f"was {before}")


@pytest.mark.parametrize("chooses", [True, False])
def test_when_steps_are_saved_matters_only_if_the_best_one_is_chosen(chooses):
    args = StageTrainingArguments(save_steps=4, no_load=not chooses)
    assert (settings((args,), CODE).get("--save_steps") == 4) is chooses


def test_other_rows_of_either_file_are_named(interrupted, monkeypatch):
    resume = interrupted()
    functions(24, first=50).to_csv("others.csv", index=False)
    rows = functions(24)
    rows.assign(label=1 - rows["label"]).to_csv("flipped.csv", index=False)
    for file in ("others.csv", "flipped.csv"):
        refused(resume, f"--train_file {file}", monkeypatch, "--train_file", "24 rows with sha256")
        refused(resume, f"--validation_file {file}", monkeypatch, "--validation_file", "24 rows", "10 rows")
    refused(resume, "--max_train_samples 20", monkeypatch, "--train_file", "20 rows", "--max_train_samples is 20")
    shutil.move("flipped.csv", "train.csv")  # the same name
    refused(resume, "", monkeypatch, "--train_file is 24 rows")


def test_another_starting_checkpoint_or_tokenizer_of_the_same_name_is_named(interrupted, monkeypatch):
    resume = interrupted()
    weights = load_file("longformer/model.safetensors")
    weights["classifier.out_proj.bias"] += 1
    shutil.copytree("longformer", "good")
    save_file(weights, "longformer/model.safetensors", metadata={"format": "pt"})
    refused(resume, "", monkeypatch, "--model_name_or_path is sha256")
    tokenizer = AutoTokenizer.from_pretrained("good")
    tokenizer.add_tokens(["strcpy"])
    tokenizer.save_pretrained("words")
    refused(resume, "--model_name_or_path good --tokenizer_name words", monkeypatch, "the tokenizer is sha256")


def test_what_changes_no_weight_may_differ(interrupted, finished, monkeypatch):
    resume = interrupted()
    pd.read_csv("train.csv").to_json("same.jsonl", orient="records", lines=True)
    shutil.move("longformer", "moved")
    resume(
        "--train_file same.jsonl --model_name_or_path moved --logging_steps 1 --save_steps 100 --save_total_limit 1 "
        "--per_device_eval_batch_size 3 --do_predict --test_file test.csv --on_bad_rows skip --disable_tqdm True "
        "--eval_strategy epoch --dataloader_num_workers 0 --num_threads 1"
    )
    assert outcome("out")["weights"] == outcome(finished / "tune")["weights"]
    record = json.loads(Path("out/run.json").read_text())
    assert "train.csv" in record["command"] and "same.jsonl" in record["resumed"][0]["command"]
    assert record["settings"]["--seed"] == 5 and record["resumed"][0]["from"] == "checkpoint-8"


@pytest.mark.parametrize("flags", ["--num_train_epochs 1", "--max_steps 8", "--num_train_epochs 0.5"])
def test_fewer_epochs_than_are_done_are_an_error(interrupted, monkeypatch, flags):
    refused(interrupted(), flags, monkeypatch, flags, "nothing is left to train")


def test_more_epochs_at_a_constant_rate_end_as_if_they_had_been_asked_for_at_once(interrupted, monkeypatch):
    resume = interrupted("constant", last=12)
    resume("--num_train_epochs 3")
    fine_tune(f"{RUNS['constant'][1]} --num_train_epochs 3 --output_dir three")
    assert outcome("out")["weights"] == outcome("three")["weights"]


def test_more_epochs_on_a_schedule_are_reported(interrupted, capsys):
    interrupted()("--num_train_epochs 3")
    assert "--num_train_epochs 3.0, but --num_train_epochs 2.0" in capsys.readouterr().out
    assert json.loads(Path("out/trainer_state.json").read_text())["global_step"] == 18
    assert "learning rate" in json.loads(Path("out/run.json").read_text())["resumed"][0]["notes"][0]


def test_other_versions_are_reported_and_a_run_without_a_record_goes_on(interrupted, capsys, monkeypatch):
    resume = interrupted()
    path = Path("out.unfinished/run.json")
    record = json.loads(path.read_text())
    record["versions"]["torch"] = "1.0"
    record["machine"]["threads"] = 2
    path.write_text(json.dumps(record))
    used = []
    monkeypatch.setattr("ltp_pipeline.training.run.use_threads_again", lambda *given: used.append(given))
    resume("")
    assert used == [("auto", 2)]
    assert "torch: " in (shown := capsys.readouterr().out) and "1.0" in shown
    shutil.rmtree("out")


@pytest.mark.parametrize("content", [None, "", '{"settings": {"--se'])
def test_a_run_without_a_readable_record_goes_on_and_says_so(interrupted, capsys, content):
    resume = interrupted()
    path = Path("out.unfinished/run.json")
    path.unlink() if content is None else path.write_text(content)
    resume("")
    assert "no readable run.json" in capsys.readouterr().out
    assert json.loads(Path("out/run.json").read_text())["settings"]["--seed"] == 5


def test_a_checkpoint_of_another_number_of_processes_is_not_passed_over(interrupted, monkeypatch):
    resume = interrupted()
    for checkpoint in Path("out.unfinished").glob("checkpoint-*"):
        for rank in range(2):
            shutil.copy(checkpoint / "rng_state.pth", checkpoint / f"rng_state_{rank}.pth")
        (checkpoint / "rng_state.pth").unlink()
    refused(resume, "", monkeypatch, "2 processes", "1")


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, "[]", '{"length": []}', '{"versions": 3}', '{"resumed": 3}', '{"settings": {"--lr": NaN}}'],
)
def test_a_damaged_record_is_no_record(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    assert read_record(tmp_path) is None
