"""The flags of the two training scripts: what the original's short names mean, and the defaults that follow others."""

import os

import pytest
import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.flags import DataArguments
from ltp_pipeline.model.starting_model import ModelArguments
from ltp_pipeline.training.arguments import (
    FineTuningArguments,
    StageArguments,
    StageTrainingArguments,
    parse_training_arguments,
    with_values,
)

STAGE = (StageArguments, DataArguments, StageTrainingArguments)
FINE_TUNING = (ModelArguments, DataArguments, FineTuningArguments)


def parse_stage(flags):
    return parse_training_arguments(STAGE, ["--restore", "code_test", *flags.split()], "")


def test_short_flags_of_a_stage_mean_what_they_did_in_the_original():
    stage, data, args = parse_stage(
        "--arch ltp-base --task CODE --train_file a.csv --lr 3e-5 --temperature 1e-4 --lambda 0.2 --weight_decay 0.5 "
        "--bs 4 --masking_mode soft --epoch 2 --save_step 100 --no_load --max_seq_len 512 --seed 7 "
        "--lr_threshold 0.01 --pad_to_max_length"
    )
    assert (stage.restore, stage.arch, stage.task, stage.eval) == ("code_test", "ltp-base", "CODE", False)
    assert (data.train_file, data.max_seq_length) == ("a.csv", 512)
    assert (args.learning_rate, args.lr_threshold, args.temperature, args.lambda_threshold) == (3e-5, 0.01, 1e-4, 0.2)
    assert (args.weight_decay_threshold, args.weight_decay) == (0.5, 0.0)
    assert (args.per_device_train_batch_size, args.per_device_eval_batch_size) == (4, 4)
    assert (args.masking_mode, args.num_train_epochs, args.seed, args.output_dir) == ("soft", 2.0, 7, None)
    assert (args.save_strategy, args.save_steps, args.logging_steps) == ("steps", 100, 100)
    assert (args.load_best_model_at_end, args.eval_strategy) == (False, "no")
    assert (args.save_total_limit, args.keep_checkpoints) == (1, False)


def test_the_weight_decay_of_the_model_has_a_name_of_its_own():
    args = parse_stage("--model_weight_decay 0.25 --weight-decay 0.5")[2]
    assert (args.weight_decay, args.weight_decay_threshold) == (0.25, 0.5)


def test_without_no_load_the_best_step_is_kept():
    args = parse_stage("--save_step 50")[2]
    assert (args.load_best_model_at_end, args.eval_strategy, args.eval_steps) == (True, "steps", 50)
    assert parse_stage("")[2].eval_strategy == "epoch"
    args = parse_stage("--no_load --evaluation_strategy epoch --save_all")[2]
    assert (args.load_best_model_at_end, args.eval_strategy, args.save_strategy) == (False, "epoch", "epoch")
    assert (args.save_total_limit, args.keep_checkpoints) == (None, True)
    with pytest.raises(UserError, match="--early_stopping_patience.*--no_load"):
        parse_stage("--no_load --early_stopping_patience 2")


def test_cuda_chooses_the_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    parse_stage("--no_load")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    parse_stage("--cuda 0,1")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


@pytest.mark.parametrize("dataclasses", [STAGE, FINE_TUNING])
@pytest.mark.parametrize("flag, strategy", [("--help", "eval_strategy"), ("--help_all", "evaluation_strategy")])
def test_help_explains_every_flag_and_hides_those_without_effect(dataclasses, flag, strategy, capsys):
    with pytest.raises(SystemExit) as end:
        parse_training_arguments(dataclasses, [flag], "What it is for.")
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert f"{strategy} WHEN" in shown and "(default: None)" not in shown
    assert "--pad_to_max_length" not in shown and "--arch" not in shown
    assert "other flags:" not in shown  # a flag of ours without a group in base/help_groups.py


def test_a_copy_with_other_values_keeps_what_was_chosen(tmp_path):
    args = parse_training_arguments(FINE_TUNING, ["--output_dir", str(tmp_path)], "")[2]
    changed = with_values(args, output_dir="other")
    assert (args.output_dir, changed.output_dir, changed.keep_checkpoints) == (str(tmp_path), "other", False)


@pytest.mark.parametrize("fast, dtype, mixed", [(True, "bfloat16", "bf16"), (False, "float32", "no")])
def test_the_dtype_decides_about_autocast(tmp_path, monkeypatch, fast, dtype, mixed):
    monkeypatch.setattr("ltp_pipeline.model.precision.is_bfloat16_fast", lambda device: fast)
    args = FineTuningArguments(output_dir=str(tmp_path), dtype="bfloat16", use_cpu=True)
    assert (args.bf16, args.dtype, args.mixed_precision) == (True, "bfloat16", "bf16")
    args = FineTuningArguments(output_dir=str(tmp_path), use_cpu=True)
    assert (args.bf16, args.dtype, args.mixed_precision) == (fast, dtype, mixed)
    with pytest.raises(UserError, match="--fp16.*--dtype or --bf16"):
        FineTuningArguments(output_dir=str(tmp_path), fp16=True, dtype="float32", use_cpu=True)


@pytest.mark.parametrize("kind", ["xpu", "cuda", "mps"])
def test_every_accelerator_is_used(tmp_path, monkeypatch, kind):
    asked = []
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda: torch.device(kind))
    monkeypatch.setattr(
        "ltp_pipeline.model.precision.is_bfloat16_fast", lambda device: bool(asked.append(str(device)))
    )
    args = FineTuningArguments(output_dir=str(tmp_path))
    assert args.use_cpu is False
    assert asked == [kind]


def test_without_an_accelerator_it_is_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    assert FineTuningArguments(output_dir=str(tmp_path)).use_cpu is True


@pytest.mark.parametrize("flag", ["--hub_token secret", "--hub_token=secret", "--hub-token secret"])
def test_the_recorded_command_has_no_token(flag):
    args = parse_stage(f"--hub_private_repo True {flag} --seed 7")[2]
    assert args.hub_token == "secret" and "secret" not in str(args.flags)
    assert args.command.endswith(" --restore code_test --hub_private_repo True --seed 7")
