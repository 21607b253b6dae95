"""A default folder has the published name for the published settings, and another name for all others."""

import re
from pathlib import Path

import pandas as pd
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import write_json
from ltp_pipeline.data.flags import DataArguments
from ltp_pipeline.training import run_record
from ltp_pipeline.training.arguments import (
    BUDGET_RANK_DISTILLATION,
    StageArguments,
    StageTrainingArguments,
    parse_training_arguments,
)
from ltp_pipeline.training.starts import NO_RANKS, PruningStage, chosen_ranks
from tests.ltp_pipeline.conftest import functions
from transformer_revised import LTPConfig

DATA = "--train_file ./Data/train_subset.csv --validation_file ./Data/validation.csv"
# docs/usage.md, "The commands as published"
SOFT = (
    f"--arch ltp-base --task CODE --restore code_test {DATA} --lr 2e-5 --lr_threshold 0.003 "
    "--final_token_threshold 0.05 --temperature 0.03 --lambda 0.1 --weight_decay 0 --bs 4 --masking_mode soft "
    "--epoch 3 --save_step 100 --no_load"
)
SOFT_DIR = "checkpoints/base/CODE/absolute_threshold/rate_0.05/temperature_0.03/lambda_0.1/lr_2e-05"
HARD = (
    f"--arch ltp-base --task CODE --restore {SOFT_DIR} {DATA} --lr 2e-5 --bs 4 --masking_mode hard --epoch 1 "
    "--save_step 100"
)


@pytest.fixture
def place(longformer_dir, tmp_path, monkeypatch):
    """A working directory with the published names: the data, and checkpoints in place of each stage's."""
    monkeypatch.chdir(tmp_path)
    Path("Data").mkdir()
    for name, first in (("train_subset", 0), ("validation", 50), ("other", 90)):
        functions(4, first).to_csv(f"Data/{name}.csv", index=False)
    for folder in ("code_test", SOFT_DIR, "longformer"):
        Path(folder).parent.mkdir(parents=True, exist_ok=True)
        Path(folder).symlink_to(longformer_dir)
    return tmp_path


def folder(flags):
    classes = (StageArguments, DataArguments, StageTrainingArguments)
    return str(PruningStage(*parse_training_arguments(classes, flags.split(), "")).check())


def test_the_published_commands_have_the_published_folders(place):
    assert folder(SOFT) == SOFT_DIR
    assert folder(HARD) == f"{SOFT_DIR}/hard/lr_2e-05"
    mixed = folder(SOFT.replace("masking_mode soft", "masking_mode mixed"))
    assert mixed == f"{Path(SOFT_DIR).parent}/mixed/lr_2e-05"
    assert folder(f"{HARD} --eval") == f"{SOFT_DIR}/eval/validation"
    assert folder(f"{SOFT} --output_dir own --seed 3") == "own"


@pytest.mark.parametrize("flags", ["--seed 42", "--train_file Data/train_subset.csv", "--logging_steps 3 --save_all"])
def test_what_changes_no_result_changes_no_name(place, flags):
    assert folder(f"{SOFT} {flags}") == SOFT_DIR
    assert folder(f"{SOFT} --restore {place}/code_test --test_file Data/other.csv") == SOFT_DIR
    assert folder(f"{HARD} --per_device_eval_batch_size 2") == f"{SOFT_DIR}/hard/lr_2e-05"


def test_every_other_setting_has_a_folder_of_its_own(place):
    settings = (
        *("--seed 1", "--seed 2", "--data_seed 1", "--epoch 5", "--max_steps 7", "--bs 8", "--weight_decay 0.1"),
        *("--lr_threshold 0.01", "--score_normalization mean", "--score_normalization rel", "--rank_distillation 0.3"),
        "--rank_distillation 0.3 --rank_teacher attention",
        *("--target_flops 0.5", "--lr 3e-5", "--lambda 0.2", "--temperature 0.1", "--final_token_threshold 0.1"),
        *("--model_weight_decay 0.1", "--gradient_accumulation_steps 2", "--lr_scheduler_type constant"),
        *("--warmup_steps 10", "--max_grad_norm 2", "--adam_epsilon 1e-3", "--optim sgd", "--max_seq_length 64"),
        *("--truncation tail", "--class_weights balanced", "--label_smoothing 0.1", "--max_train_samples 2"),
        *("--restore longformer", "--train_file Data/other.csv", "--validation_file Data/other.csv"),
        *("--label_column verdict", "--max_tokens_per_batch 100", "--load_best_model_at_end", "--max_false_alarm 0.1"),
        *("--on_bad_rows skip", "--calibration_samples 5", "--masking_mode mixed", "--arch ltp-large", "--fp16"),
    )
    folders = [folder(f"{SOFT} {flags}") for flags in settings]
    assert len({SOFT_DIR, *folders}) == len(settings) + 1
    again = [folder(f"{SOFT} {flags}") for flags in settings]
    assert again == folders
    assert all(re.fullmatch(r"lr_[\w.+-]{1,60}", Path(path).name) for path in folders)
    assert folders[0] == f"{SOFT_DIR}-seed_1"
    hard = (
        "--seed 1",
        "--seed 2",
        "--bs 8",
        "--epoch 2",
        "--no_load",
        "--save_step 50",
        "--train_file Data/other.csv",
    )
    folders = [folder(f"{HARD} {flags}") for flags in hard]
    assert len({f"{SOFT_DIR}/hard/lr_2e-05", *folders}) == len(hard) + 1
    assert all(path.startswith(f"{SOFT_DIR}/hard/lr_2e-05-") for path in folders)


def test_many_settings_are_a_short_hash_in_any_order(place):
    flags = ["--seed 1", "--epoch 5", "--bs 8", "--lr_threshold 0.01", "--warmup_steps 10"]
    found = {folder(f"{SOFT} {' '.join(flags[i:] + flags[:i])}") for i in range(5)}
    assert len(found) == 1 and re.fullmatch(rf"{SOFT_DIR}-[0-9a-f]{{8}}", found.pop())


def test_the_files_of_the_starting_checkpoint_are_the_usual_ones(place, longformer_dir):
    Path("code_test").unlink()
    Path("code_test").mkdir()
    for file in longformer_dir.iterdir():
        Path("code_test", file.name).symlink_to(file)
    known = {f"--{name}": run_record.file_digest(Path("Data/other.csv")) for name in ("train_file", "validation_file")}
    write_json("code_test/run.json", {"files": known})
    assert folder(SOFT.replace("train_subset", "other").replace("Data/validation", "Data/other")) == SOFT_DIR
    assert folder(SOFT) != SOFT_DIR
    pd.read_csv("Data/other.csv").head(3).to_csv("Data/other.csv", index=False)  # the same name
    assert folder(SOFT.replace("train_subset", "other").replace("Data/validation", "Data/other")) != SOFT_DIR


def test_an_evaluation_that_prunes_in_another_way_has_a_folder_of_its_own(place):
    Path("validation.csv").write_bytes(Path("Data/other.csv").read_bytes())
    flags = (
        *("", "--prune_mode absolute_threshold", "--final_token_threshold 0.2", "--max_seq_len 64"),
        *("--dtype bfloat16", "--dtype float32", "--max_eval_samples 2", "--on_bad_rows skip"),
        "--validation_file validation.csv",
    )
    folders = [folder(f"{HARD} --eval {flag}") for flag in flags]
    same = 1  # auto is one of the two dtypes
    assert len(set(folders)) == len(flags) - same
    assert folders[0] == f"{SOFT_DIR}/eval/validation"
    assert re.fullmatch(rf"{SOFT_DIR}/eval/validation-validation_file_[0-9a-f]{{8}}", folders[-1])


def test_a_folder_is_named_after_a_teacher_and_a_weight_that_are_not_the_usual_ones(place):
    assert folder(f"{SOFT} --rank_distillation 0.3") == f"{SOFT_DIR}-rank_distillation_0.3"
    assert folder(f"{SOFT} --rank_distillation 0.3 --rank_teacher relevance") == f"{SOFT_DIR}-rank_distillation_0.3"
    assert folder(f"{SOFT} --rank_distillation 0") == SOFT_DIR
    budget = SOFT.replace("--lr_threshold 0.003", "--target_flops 0.5")
    flags = "", f"--rank_distillation {BUDGET_RANK_DISTILLATION}", "--rank_distillation 0", "--rank_teacher attention"
    names = [Path(folder(f"{budget} {added}")).name for added in flags]
    assert names == ["lr_2e-05", "lr_2e-05", "lr_2e-05-rank_distillation_0", "lr_2e-05-rank_teacher_attention"]


TAUGHT = {"rank_distillation": BUDGET_RANK_DISTILLATION, "rank_teacher": "relevance"}


@pytest.mark.parametrize(
    ("flags", "before", "chosen"),
    [
        ("--masking_mode soft", None, NO_RANKS),
        ("--masking_mode soft --target_flops 0.5", None, TAUGHT),
        ("--masking_mode mixed --target_flops 0.5 --rank_distillation 0", None, NO_RANKS),
        ("--masking_mode soft --rank_distillation 0.3", "attention", {**TAUGHT, "rank_distillation": 0.3}),
        ("--masking_mode hard --target_flops 0.5", None, NO_RANKS),
        ("--masking_mode hard", "attention", {**TAUGHT, "rank_teacher": "attention"}),
        ("--masking_mode hard --rank_teacher relevance", "attention", TAUGHT),
        ("--masking_mode hard --rank_distillation 0", "attention", NO_RANKS),
        ("--masking_mode hard --rank_distillation 2", None, {**TAUGHT, "rank_distillation": 2.0}),
    ],
)
def test_soft_training_to_a_budget_teaches_the_ranking_and_hard_training_does_what_was_done_before(
    flags, before, chosen
):
    (args,) = parse_training_arguments((StageTrainingArguments,), flags.split(), "")
    assert chosen_ranks(args, LTPConfig(rank_teacher=before)) == chosen


@pytest.mark.parametrize("flags", ["--masking_mode soft", "--masking_mode hard", "--rank_distillation 0"])
def test_a_teacher_without_a_weight_is_refused(place, flags):
    with pytest.raises(UserError, match="^--rank_teacher attention: .* --rank_distillation above 0"):
        folder(f"{HARD} --rank_teacher attention {flags}")
