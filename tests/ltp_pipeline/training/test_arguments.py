import json
import os

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.flags import DataArguments
from ltp_pipeline.task.tasks import CODE, TASKS
from ltp_pipeline.training.arguments import (
    FineTuningArguments,
    ModelArguments,
    StageArguments,
    StageTrainingArguments,
    check_numbers,
    parse_training_arguments,
)
from ltp_pipeline.training.run import follow_task

STAGE = (StageArguments, DataArguments, StageTrainingArguments)
FINE_TUNING = (ModelArguments, DataArguments, FineTuningArguments)


def _stage(flags):
    return parse_training_arguments(STAGE, ["--restore", "code_test", *flags.split()], "")


def test_short_flags_of_a_stage_mean_what_they_did_in_the_original():
    stage, data, args = _stage(
        "--arch ltp-base --task CODE --train_file a.csv --lr 3e-5 --temperature 1e-4 --lambda 0.2 --weight_decay 0.5 "
        "--bs 4 --masking_mode soft --epoch 2 --save_step 100 --no_load --max_seq_len 512 --seed 7 --lr_threshold 0.01"
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
    args = _stage("--model_weight_decay 0.25 --weight-decay 0.5")[2]
    assert (args.weight_decay, args.weight_decay_threshold) == (0.25, 0.5)


def test_without_no_load_the_best_step_is_kept():
    args = _stage("--save_step 50")[2]
    follow_task(args, CODE)
    assert (args.load_best_model_at_end, args.metric_for_best_model, args.greater_is_better) == (True, "f1", True)
    assert (args.eval_strategy, args.eval_steps) == ("steps", 50)
    assert _stage("")[2].eval_strategy == "epoch"
    args = _stage("--no_load --evaluation_strategy epoch --save_all")[2]
    assert (args.load_best_model_at_end, args.eval_strategy, args.save_strategy) == (False, "epoch", "epoch")
    assert (args.save_total_limit, args.keep_checkpoints) == (None, True)


@pytest.mark.parametrize(
    "task, best",
    [("RTE", "accuracy"), ("MRPC", "f1"), ("QQP", "f1"), ("STSB", "pearson"), ("COLA", "matthews_correlation")],
)
def test_the_best_step_is_best_in_what_the_task_measures_or_what_was_asked_for(task, best):
    args = _stage("")[2]
    follow_task(args, TASKS[task])
    assert (args.metric_for_best_model, args.greater_is_better) == (best, True)
    args = _stage("--metric_for_best_model loss")[2]
    follow_task(args, TASKS[task])
    assert (args.metric_for_best_model, args.greater_is_better) == ("loss", False)


def test_flags_that_a_task_cannot_have():
    with pytest.raises(UserError, match="--metric_for_best_model f1: RTE is measured in accuracy, loss"):
        follow_task(_stage("--metric_for_best_model f1")[2], TASKS["RTE"])
    with pytest.raises(UserError, match="--label_smoothing: STSB predicts a number"):
        follow_task(_stage("--label_smoothing_factor 0.1")[2], TASKS["STSB"])


def test_cuda_chooses_the_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    _stage("--no_load")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    _stage("--cuda 0,1")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_a_json_file_of_flags_means_the_same_as_the_command_line(tmp_path):
    flags = {
        "model_name_or_path": "m",
        "do_train": True,
        "evaluation_strategy": "epoch",
        "overwrite_output_dir": False,
        "max_val_samples": 5,
        "label_names": ["labels"],
        "window_size": None,
        "learning_rate": 1e-4,
    }
    (tmp_path / "run.json").write_text(json.dumps(flags))
    model, data, args = parse_training_arguments(FINE_TUNING, [str(tmp_path / "run.json")], "")
    assert (model.model_name_or_path, model.window_size, data.max_eval_samples) == ("m", None, 5)
    assert (args.do_train, args.eval_strategy, args.overwrite_output_dir) == (True, "epoch", False)
    assert (args.label_names, args.learning_rate) == (["labels"], 1e-4)


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--bs 0", "--bs 0: expected a number above 0"),
        ("--lr -1", r"--lr -1\.0: expected"),
        ("--lr nan", "--lr nan: expected"),
        ("--epoch 0", r"--epoch 0\.0: expected"),
        ("--lr_threshold 0", r"--lr_threshold 0\.0: expected"),
        ("--save_step 0", r"--save_steps 0\.0: expected a number above 0"),
        ("--temperature 0", "temperature has to be positive"),
        ("--lambda -1", "lambda_threshold has to be at least 0"),
        ("--max_train_samples 0", "--max_train_samples 0: expected 1 or more"),
        ("--save_step 10 --eval_steps 7", "saving steps to be a round multiple"),
    ],
)
def test_numbers_that_no_run_can_be_made_with(flags, message):
    with pytest.raises(UserError, match=message):
        _, data, args = _stage(flags)
        check_numbers(args, data)


def test_long_names_are_those_of_fine_tuning():
    _, data, args = parse_training_arguments(FINE_TUNING, ["--learning_rate", "0"], "")
    with pytest.raises(UserError, match=r"--learning_rate 0\.0: expected a number above 0"):
        check_numbers(args, data)


@pytest.mark.parametrize("dataclasses", [STAGE, FINE_TUNING])
def test_help_explains_every_flag_of_ours(dataclasses, capsys):
    with pytest.raises(SystemExit) as end:
        parse_training_arguments(dataclasses, ["--help"], "What it is for.")
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "What it is for." in shown
    assert "--evaluation_strategy" in shown
    assert "(default: None)" not in shown
