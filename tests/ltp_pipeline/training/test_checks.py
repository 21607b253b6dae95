"""Numbers that no run can use, and flags that do not fit the task."""

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.task.tasks import CODE, TASKS
from ltp_pipeline.training.arguments import parse_training_arguments
from ltp_pipeline.training.checks import adapt_to_task, check_numbers
from tests.ltp_pipeline.training.test_arguments import FINE_TUNING, STAGE, parse_stage


@pytest.mark.parametrize(
    "task, best",
    [
        ("CODE", "f1"),
        ("RTE", "accuracy"),
        ("MRPC", "f1"),
        ("STSB", "pearson"),
        ("COLA", "matthews_correlation"),
        ("VDISC", "macro_f1"),
    ],
)
def test_the_best_step_is_chosen_by_the_first_metric_of_the_task_or_by_a_flag(task, best):
    given = parse_stage("")[2]
    args = adapt_to_task(given, TASKS[task])
    assert (args.metric_for_best_model, args.greater_is_better) == (best, True)
    assert given.metric_for_best_model is None
    args = adapt_to_task(parse_stage("--metric_for_best_model loss")[2], TASKS[task])
    assert (args.metric_for_best_model, args.greater_is_better) == ("loss", False)


def test_a_metric_that_is_better_when_smaller_is_known():
    args = adapt_to_task(parse_stage("--metric_for_best_model false_alarm_rate")[2], CODE)
    assert args.greater_is_better is False


@pytest.mark.parametrize(
    "task, flags, message",
    [
        ("RTE", "--metric_for_best_model f1", "--metric_for_best_model f1.*accuracy, loss"),
        ("CODE", "--metric_for_best_model speed", "--metric_for_best_model speed.*f1, accuracy"),
        ("STSB", "--label_smoothing_factor 0.1", "--label_smoothing.*STSB"),
        ("VDISC", "--class_weights balanced", "--class_weights.*VDISC"),
    ],
)
def test_flags_that_a_task_does_not_allow(task, flags, message):
    with pytest.raises(UserError, match=message):
        adapt_to_task(parse_stage(flags)[2], TASKS[task])


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--bs 0", "--bs 0.*above 0"),
        ("--lr -1", r"--lr -1\.0"),
        ("--lr nan", "--lr nan"),
        ("--epoch 0", r"--epoch 0\.0"),
        ("--lr_threshold 0", r"--lr_threshold 0\.0"),
        ("--save_step 0", r"--save_steps 0\.0"),
        ("--temperature 0", "temperature.*0"),
        ("--lambda -1", "lambda_threshold.*-1"),
        ("--max_train_samples 0", "--max_train_samples 0.*1 or more"),
        ("--save_step 10 --eval_steps 7", "saving steps to be a round multiple"),
        ("--early_stopping_patience 0", "--early_stopping_patience 0"),
        ("--early_stopping_threshold -1", r"--early_stopping_threshold -1\.0"),
        ("--max_tokens_per_batch 0", "--max_tokens_per_batch 0"),
        ("--label_smoothing 1", r"--label_smoothing 1\.0.*below 1"),
        ("--label_smoothing nan", "--label_smoothing nan"),
        ("--lambda nan", "lambda_threshold.*nan"),
        ("--rank_distillation inf", "^--rank_distillation.*inf"),
        ("--rank_teacher attention --rank_distillation 0 --masking_mode mixed", "^--rank_teacher attention.*above 0"),
        ("--temperature inf", "temperature.*inf"),
        ("--weight_decay -1", r"weight_decay_threshold.*-1\.0"),
        ("--model_weight_decay nan", "--model_weight_decay nan"),
        ("--early_stopping_threshold nan", "--early_stopping_threshold nan"),
        ("--warmup_steps nan", "--warmup_steps nan"),
        ("--warmup_steps -1", "warmup_steps.*-1"),
        ("--max_grad_norm -1", r"--max_grad_norm -1\.0"),
        ("--adam_beta1 1", r"--adam_beta1 1\.0.*below 1"),
        ("--adam_epsilon 0", r"--adam_epsilon 0\.0"),
        ("--seed -1", "--seed -1.*0 to 4294967295"),
        ("--seed 4294967296", "--seed 4294967296"),
        ("--data_seed -5", "--data_seed -5"),
        ("--max_steps 0", "--max_steps 0.*1 or more"),
        ("--max_steps -7", "--max_steps -7"),
        ("--epoch nan", "--epoch nan"),
        ("--epoch inf", "--epoch inf"),
        ("--epoch -1", r"--epoch -1\.0"),
        ("--logging_steps nan", "--logging_steps nan"),
        ("--eval_steps inf", "--eval_steps inf"),
        ("--save_total_limit 0", "--save_total_limit 0"),
        ("--dataloader_num_workers -1", "--dataloader_num_workers -1"),
        ("--gradient_accumulation_steps 0", "--gradient_accumulation_steps 0"),
        ("--fp16 --bf16", "--fp16"),
        ("--dtype float32 --bf16", "--dtype float32.*--bf16"),
    ],
)
def test_numbers_and_dtypes_that_no_run_can_use(flags, message):
    with pytest.raises(UserError, match=message):
        _, data, args = parse_stage(flags)
        check_numbers(args, data)


@pytest.mark.parametrize("flag, value", [("learning_rate", "0.0"), ("save_steps", "0.0"), ("adam_beta2", "nan")])
def test_messages_of_fine_tuning_name_the_long_flags(flag, value):
    with pytest.raises(UserError, match=f"--{flag} {value}"):
        _, data, args = parse_training_arguments(FINE_TUNING, [f"--{flag}", value], "")
        check_numbers(args, data)


def test_the_flags_as_they_are_by_default_pass():
    for dataclasses in (FINE_TUNING, STAGE):
        *_, data, args = parse_training_arguments(dataclasses, ["--restore", "x"] if dataclasses is STAGE else [], "")
        check_numbers(args, data)


def test_tensorboard_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("ltp_pipeline.training.checks.find_spec", lambda name: None)
    _, data, args = parse_stage("--report_to tensorboard")
    with pytest.raises(UserError, match="--report_to tensorboard.*pip install"):
        check_numbers(args, data)
