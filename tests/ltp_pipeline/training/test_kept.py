"""A training that ends early says which checkpoint is kept and how to go on, and going on gives the same result."""

from pathlib import Path

import pytest
import torch

from ltp_pipeline.base import result_folder
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.training.trainer import ClassifierTrainer
from tests.ltp_pipeline.training.conftest import fine_tune, outcome, prune
from transformer_revised import trainer_ltp

TUNE = (
    "--model_name_or_path longformer --do_train --do_eval --train_file train.csv --validation_file test.csv --seed 5 "
    "--max_seq_length 96 --learning_rate 1e-3 --num_train_epochs 2 --dtype float32 --per_device_train_batch_size 4 "
    "--save_strategy steps --save_steps 4 --output_dir out"
)
BUDGET = (
    "--restore longformer --train_file train.csv --validation_file test.csv --max_seq_len 96 --lr 1e-3 --bs 4 "
    "--epoch 2 --save_step 4 --dtype float32 --no_load --target_flops 0.85 --temperature 0.1 --masking_mode"
)


def at_call(monkeypatch, owner, name, number, action):
    """Calls `action` before the call of that number, from 1, of the method `name` of a class."""
    original, calls = getattr(owner, name), []

    def method(*args, **kwargs):
        calls.append(1)
        if len(calls) == number:
            action()
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, method)


def ctrl_c():
    raise KeyboardInterrupt


def interrupted(main, flags):
    """The message of a run that Ctrl-C ends."""
    with pytest.raises(KeyboardInterrupt) as error:
        main(flags)
    return str(error.value)


@pytest.fixture(scope="module")
def straight(files, longformer_dir, tmp_path_factory):
    """What an uninterrupted run of TUNE leaves."""
    from tests.ltp_pipeline.conftest import fill

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(fill(tmp_path_factory.mktemp("straight"), files, longformer_dir))
        fine_tune(TUNE)
        return outcome("out")


MOMENTS = {  # what is called when the signal comes, which call of it, and the step of the checkpoint that is kept
    "in step 3": ("training_step", 3, None),
    "in step 7": ("training_step", 7, 4),
    "at the start of writing checkpoint-8": ("save_model", 2, 4),
    "at the end of writing checkpoint-8": ("_save_rng_state", 2, 4),
    "in the evaluation after training": ("prediction_step", 1, 12),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_says_what_is_kept_and_the_run_goes_on(workplace, monkeypatch, straight, moment):
    name, number, step = MOMENTS[moment]
    with monkeypatch.context() as patch:
        at_call(patch, ClassifierTrainer, name, number, ctrl_c)
        said = interrupted(fine_tune, TUNE)
    if step is None:
        assert "nothing was saved yet; the same command" in said
        assert "--resume_from_checkpoint" not in said
    else:
        assert f"out.unfinished/checkpoint-{step} (step {step} of 12) is kept" in said
        assert "--resume_from_checkpoint last" in said
    fine_tune(TUNE if step is None else f"{TUNE} --resume_from_checkpoint last")
    assert outcome("out") == straight


def test_ctrl_c_while_the_first_checkpoint_is_written(workplace, monkeypatch, straight):
    with monkeypatch.context() as patch:
        at_call(patch, ClassifierTrainer, "_save_rng_state", 1, ctrl_c)
        said = interrupted(fine_tune, TUNE)
    assert "nothing was saved yet; the same command with --resume_from_checkpoint last starts from the begin" in said
    fine_tune(f"{TUNE} --resume_from_checkpoint last")
    assert outcome("out") == straight


def test_an_earlier_result_is_said_to_be_unchanged(workplace, monkeypatch):
    fine_tune(f"{TUNE} --max_steps 1 --save_strategy no")
    before = Path("out/model.safetensors").read_bytes()
    at_call(monkeypatch, ClassifierTrainer, "training_step", 2, ctrl_c)
    said = interrupted(fine_tune, f"{TUNE} --save_strategy no --overwrite_output_dir")
    assert "--save_strategy" in said and "the earlier result in out is unchanged" in said
    assert Path("out/model.safetensors").read_bytes() == before


def test_ctrl_c_when_the_result_is_complete(workplace, monkeypatch, straight):
    with monkeypatch.context() as patch:
        at_call(patch, result_folder, "_swap", 1, ctrl_c)
        said = interrupted(fine_tune, TUNE)
    assert "the result is complete" in said and "--resume_from_checkpoint last puts it into out" in said
    fine_tune(f"{TUNE} --resume_from_checkpoint last")
    assert outcome("out") == straight


def test_ctrl_c_in_the_evaluation_without_checkpoints(workplace, monkeypatch, straight):
    with monkeypatch.context() as patch:
        at_call(patch, ClassifierTrainer, "prediction_step", 1, ctrl_c)
        said = interrupted(fine_tune, f"{TUNE} --save_strategy no")
    assert said == (
        "the trained model is in out.unfinished, without its evaluation; move it to another folder to keep it"
    )
    assert Path("out.unfinished/model.safetensors").read_bytes() == straight["weights"]


@pytest.mark.parametrize("mode, call, measurement", [("soft", 1, 2), ("hard", 3, 1)])
def test_an_interrupted_calibration_leaves_nothing_behind(workplace, monkeypatch, mode, call, measurement):
    """Soft training calibrates twice at its start and once at its end, hard training at start, middle and end."""
    prune(f"{BUDGET} {mode} --output_dir straight")
    with monkeypatch.context() as patch:
        at_call(patch, trainer_ltp, "meet_target", call, lambda: at_measurement(measurement, patch))
        said = interrupted(prune, f"{BUDGET} {mode} --output_dir out")
    resume = "--resume_from_checkpoint last" in said
    assert resume == (call == 3)
    prune(f"{BUDGET} {mode} --output_dir out {'--resume_from_checkpoint last' if resume else ''}")
    assert outcome("out") == outcome("straight")


def at_measurement(number, patch):
    """Ctrl-C while thresholds are shifted on trial."""
    from transformer_revised.models.ltp import pruning_budget

    at_call(patch, pruning_budget, "measure_relative_flops", number, ctrl_c)


CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "137438953472 bytes. Error code 12 (Cannot allocate memory)"
)
CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 1")


@pytest.mark.parametrize(
    "error, name, number, flags, named",
    [
        (CUDA, "training_step", 7, "", "--per_device_train_batch_size 4 or --max_seq_length.*checkpoint-4.*is kept"),
        (CPU, "training_step", 2, "--max_tokens_per_batch 300", "--max_tokens_per_batch 300 or .*nothing was saved"),
        (CPU, "prediction_step", 1, "", "--per_device_eval_batch_size or --max_tokens_per_batch.*checkpoint-12"),
    ],
)
def test_too_little_memory_names_the_flag_to_lower(workplace, monkeypatch, error, name, number, flags, named):
    at_call(monkeypatch, ClassifierTrainer, name, number, lambda: _raise(error))
    with pytest.raises(UserError, match=f"^out of memory.*lower {named}"):
        fine_tune(f"{TUNE} {flags}")
    assert not Path("out").exists()


def test_another_runtime_error_keeps_its_traceback(workplace, monkeypatch):
    at_call(monkeypatch, ClassifierTrainer, "training_step", 1, lambda: _raise(RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="^shapes differ$"):
        fine_tune(TUNE)


def _raise(error):
    raise error
