"""No run destroys what another run has made, and none replaces or removes anything unasked."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import ltp_extract_and_save
import run_glue_code_metrics
from ltp_pipeline import train_tokenizer
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.folder_lock import locked
from ltp_pipeline.training import run as pipeline
from ltp_pipeline.training.trainer import ClassifierTrainer
from tests.ltp_pipeline.training.conftest import HARD, HARD_DIR, SOFT, SOFT_DIR, digests, fine_tune, prune

TUNE = (
    "--model_name_or_path longformer --do_train --do_eval --train_file train.csv --validation_file test.csv "
    "--max_seq_length 96 --per_device_train_batch_size 4 --max_steps 2 --save_strategy steps --save_steps 1 "
    "--dtype float32 --output_dir out"
)


def during_evaluation(monkeypatch, act):
    """Makes the next run call `act` once it is trained, before its evaluation: its checkpoints are still there."""
    evaluate = pipeline.evaluate_split

    def acting(*args):
        monkeypatch.setattr(pipeline, "evaluate_split", evaluate)
        act()
        return evaluate(*args)

    monkeypatch.setattr(pipeline, "evaluate_split", acting)


def interrupted(monkeypatch, flags=TUNE):
    """A run that ends by Ctrl-C after its last checkpoint. Returns the names in the working directory."""

    def interrupt():
        raise KeyboardInterrupt

    during_evaluation(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(flags)
    return {path.name for path in Path.cwd().iterdir()}


def test_a_second_run_ends_at_once_and_names_the_first(workplace, monkeypatch):
    done = []

    def start_second():
        before = digests("out.unfinished")
        command = [sys.executable, run_glue_code_metrics.__file__, *TUNE.split(), "--seed", "2"]
        command += ["--overwrite_output_dir"]
        done.append(subprocess.run(command, capture_output=True, text=True, timeout=120))
        assert digests("out.unfinished") == before and before

    during_evaluation(monkeypatch, start_second)
    fine_tune(TUNE)
    assert done[0].returncode == 2
    assert f"--output_dir out: another run is writing this folder: process {os.getpid()} on " in done[0].stderr
    assert done[0].stderr.count("\n") == 1 and done[0].stderr.startswith("error: ")
    assert {path.name for path in Path().iterdir()} == {"out", "longformer", "train.csv", "test.csv"}
    assert Path("out/all_results.json").is_file()


@pytest.mark.parametrize("flags", ["--overwrite_output_dir", "--resume_from_checkpoint last"])
@pytest.mark.parametrize("spelling", ["out", "./out/", "link", "longformer/../out", "out/."])
def test_every_spelling_of_a_folder_is_the_same_folder(workplace, spelling, flags):
    Path("link").symlink_to("out")
    with locked(Path("out"), "some command", replaces=True), pytest.raises(UserError, match="some command"):
        fine_tune(f"{TUNE.replace('output_dir out', f'output_dir {spelling}')} {flags}")


@pytest.mark.parametrize("folder", ["out/hard", "out.unfinished/hard", "out.unfinished/checkpoint-1/eval"])
@pytest.mark.parametrize("flags", [TUNE, TUNE.replace("--do_train", "")])
def test_no_run_writes_inside_a_folder_that_another_run_replaces(workplace, folder, flags):
    with locked(Path("out"), "some command", replaces=True):
        with pytest.raises(UserError, match=f"--output_dir {folder}: is inside .*some command"):
            fine_tune(flags.replace("output_dir out", f"output_dir {folder}"))


@pytest.mark.parametrize("folder", ["out/hard", "out/a/b/c"])
@pytest.mark.parametrize("replaces", [True, False])
def test_no_run_replaces_a_folder_around_that_of_another_run(workplace, folder, replaces):
    Path("out").mkdir()
    Path("out", "training_args.bin").touch()  # an earlier result
    with locked(Path(folder), "some command", replaces):
        with pytest.raises(UserError, match=f"--output_dir out: another run is writing {folder}, .*some command"):
            fine_tune(f"{TUNE} --overwrite_output_dir")


def test_an_evaluation_does_not_write_into_a_folder_that_is_replaced(workplace):
    with locked(Path("out"), "some command", replaces=True), pytest.raises(UserError, match="some command"):
        fine_tune("--model_name_or_path longformer --do_eval --validation_file test.csv --output_dir out")


def test_checkpoints_of_an_interrupted_run_stay_until_the_user_says_what_to_do(workplace, monkeypatch):
    interrupted(monkeypatch)
    before = digests(".")
    (before_checkpoint,) = Path("out.unfinished").glob("checkpoint-*")
    for flags in (TUNE, TUNE.replace("train.csv", "none.csv"), f"{TUNE} --resume_from_checkpoint False"):
        with pytest.raises(UserError) as error:
            fine_tune(flags)
        for part in ("out.unfinished", before_checkpoint.name, "--resume_from_checkpoint last", "--overwrite_output"):
            assert part in str(error.value)
        assert digests(".") == before


def test_starting_again_keeps_the_checkpoints_until_the_new_run_is_complete(workplace, monkeypatch, capsys):
    again = f"{TUNE} --overwrite_output_dir"
    there = interrupted(monkeypatch, again)
    first = {path.name: digest for path, digest in digests("out.unfinished/checkpoint-2").items()}
    assert interrupted(monkeypatch, again) == there | {"out.unfinished.previous"}
    assert "out.unfinished.previous" in capsys.readouterr().out
    assert interrupted(monkeypatch, again) == there | {"out.unfinished.previous", "out.unfinished.previous-2"}
    kept = digests("out.unfinished.previous/checkpoint-2")
    assert {path.name: digest for path, digest in kept.items()} == first
    fine_tune(f"{again} --resume_from_checkpoint out.unfinished.previous/checkpoint-2")
    assert {path.name for path in Path().iterdir()} == there - {"out.unfinished"} | {"out"}


def test_a_disk_that_is_full_keeps_the_old_result_and_the_checkpoints(workplace, monkeypatch):
    fine_tune(f"{TUNE} --max_steps 1")
    before, limits = digests("out"), resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_disk():  # no file can be larger from now on: the optimizer's states cannot be saved
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, limits[1]))

    save = ClassifierTrainer._save_checkpoint
    calls = []

    def saving(self, *args):
        calls.append(self.state.global_step)
        if len(calls) == 2:
            fill_disk()
        return save(self, *args)

    monkeypatch.setattr(ClassifierTrainer, "_save_checkpoint", saving)
    try:
        with pytest.raises(UserError, match="--output_dir out: cannot be written.*--resume_from_checkpoint last"):
            fine_tune(f"{TUNE} --overwrite_output_dir --save_total_limit 9")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert digests("out") == before
    monkeypatch.undo()
    monkeypatch.chdir(workplace)
    fine_tune(f"{TUNE} --overwrite_output_dir --save_total_limit 9 --resume_from_checkpoint last")
    assert json.loads(Path("out/trainer_state.json").read_text())["global_step"] == 2
    assert not Path("out.unfinished").exists()


def test_a_run_that_cannot_start_moves_nothing(workplace, monkeypatch):
    interrupted(monkeypatch)
    before = digests(".")
    with pytest.raises(UserError, match="none.csv"):
        fine_tune(TUNE.replace("train.csv", "none.csv") + " --overwrite_output_dir")
    assert digests(".") == before


def test_resuming_from_an_older_checkpoint_keeps_the_newer_ones(workplace, monkeypatch):
    interrupted(monkeypatch, f"{TUNE} --save_total_limit 9")
    newer = {path.name: digest for path, digest in digests("out.unfinished/checkpoint-2").items()}
    flags = f"{TUNE} --save_total_limit 9 --resume_from_checkpoint out.unfinished/checkpoint-1"
    interrupted(monkeypatch, flags)
    kept = digests("out.unfinished.previous/checkpoint-2")
    assert {path.name: digest for path, digest in kept.items()} == newer


@pytest.mark.parametrize("flags, folder", [(SOFT, SOFT_DIR), (f"{HARD} --output_dir {HARD_DIR}", HARD_DIR)])
def test_a_stage_replaces_a_result_only_if_a_flag_says_so(after_all, flags, folder):
    before = digests(".")
    with pytest.raises(UserError, match=f"--output_dir {folder}: .*--overwrite_output_dir"):
        prune(flags)
    assert digests(".") == before
    prune(f"{flags} --eval --output_dir {folder}")  # adds files; needs no flag
    prune(f"{flags} --max_steps 1 --overwrite_output_dir --output_dir {folder}")
    assert json.loads(Path(folder, "trainer_state.json").read_text())["global_step"] == 1


def test_pruned_files_and_a_tokenizer_are_replaced_only_if_a_flag_says_so(after_all):
    extract = f"--model_name_or_path {HARD_DIR} --max_length 96 --use_cpu --train_file train.csv --output_dir pruned"
    learn = "--train_file train.csv --output_dir tokenizer --vocab_size 300"
    for main, flags in ((ltp_extract_and_save.main, extract), (train_tokenizer.main, learn)):
        main(flags.split())
        before = digests(".")
        with pytest.raises(UserError, match="--output_dir .*--overwrite_output_dir"):
            main(flags.replace("train.csv", "test.csv").split())
        assert digests(".") == before
        main([*flags.replace("train.csv", "test.csv").split(), "--overwrite_output_dir"])
        assert digests(".") != before
