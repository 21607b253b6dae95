"""Working directories for the two scripts, and one fine-tuned, soft and hard pruned checkpoint for all tests."""

import contextlib
import hashlib
import json
import shutil
from pathlib import Path

import pytest

import run_code_metrics
import run_glue_code_metrics
from tests.ltp_pipeline.conftest import fill

# As the README's commands: --dtype auto. HARD computes in float32, so that an evaluation can be compared with it.
FINE_TUNE = (
    "--model_name_or_path longformer --do_train --do_eval --train_file train.csv --validation_file test.csv "
    "--max_seq_length 96 --per_device_train_batch_size 4 --learning_rate 2e-5 --num_train_epochs 3 "
    "--overwrite_output_dir --output_dir code_test"
)
STAGE = "--arch ltp-base --task CODE --train_file train.csv --validation_file test.csv --lr 2e-5 --bs 4"
# A threshold and a temperature with which a model of three layers with random weights prunes and learns in 18 steps.
SOFT = (
    f"{STAGE} --restore code_test --temperature 0.1 --lambda 0.1 --weight_decay 0 --masking_mode soft --epoch 3 "
    "--save_step 10 --no_load --final_token_threshold 0.9 --lr_threshold 0.01"
)
SOFT_DIR = "checkpoints/base/CODE/absolute_threshold/rate_0.9/temperature_0.1/lambda_0.1/lr_2e-05-lr_threshold_0.01"
HARD = f"{STAGE} --restore {SOFT_DIR} --masking_mode hard --epoch 1 --save_step 2 --dtype float32"
HARD_DIR = f"{SOFT_DIR}/hard/lr_2e-05"


def fine_tune(flags):
    run_glue_code_metrics.main(flags.split())


def prune(flags):
    run_code_metrics.main(flags.split())


def results(folder):
    return json.loads(Path(folder, "all_results.json").read_text())


def log_history(folder):
    return json.loads(Path(folder, "trainer_state.json").read_text())["log_history"]


TIMES = ("runtime", "per_second", "seconds_per_sample", "preparation_time")


def without_times(values):
    return {key: value for key, value in values.items() if not key.endswith(TIMES)}


def outcome(folder):
    """All that a run leaves, except times and speeds."""
    state = json.loads(Path(folder, "trainer_state.json").read_text())
    return {
        "weights": Path(folder, "model.safetensors").read_bytes(),
        "predictions": Path(folder, "predictions.csv").read_bytes(),
        "results": without_times(results(folder)),
        "log": [without_times(entry) for entry in state["log_history"]],
        "best": state["best_metric"],
    }


def digests(folder):
    """Every file below `folder`, and the hash of its content."""
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in Path(folder).glob("**/*") if p.is_file()}


@pytest.fixture(scope="session")
def trained(files, longformer_dir, tmp_path_factory):
    """A working directory after fine-tuning, soft and hard pruning, with what they printed in shown.txt."""
    place = fill(tmp_path_factory.mktemp("trained"), files, longformer_dir)
    with pytest.MonkeyPatch.context() as patch, open(place / "shown.txt", "w") as shown:
        patch.chdir(place)
        with contextlib.redirect_stdout(shown):
            fine_tune(FINE_TUNE)
            prune(SOFT)
            prune(f"{HARD} --output_dir {HARD_DIR}")
    return place


@pytest.fixture
def after_all(trained, tmp_path, monkeypatch):
    """A copy of `trained` to change, as the working directory."""
    place = shutil.copytree(trained, tmp_path / "copy")
    monkeypatch.chdir(place)
    return place
