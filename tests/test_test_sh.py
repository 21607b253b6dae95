import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STUB = '#!/usr/bin/env bash\necho "ran: $*"\ncase "$*" in *"$FAIL"*) [ -z "$FAIL" ] || exit 7 ;; esac\n'


@pytest.fixture
def checkout(tmp_path):
    """A folder with test.sh and, in place of Python, a stub that prints its arguments."""
    (tmp_path / "test.sh").write_bytes((ROOT / "test.sh").read_bytes())
    stub = tmp_path / "stub"
    stub.write_text(STUB)
    stub.chmod(0o755)
    return tmp_path


def run(checkout, **variables):
    keep = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    env = {**keep, "PYTHON": "./stub", "FAIL": "", **variables}
    return subprocess.run(["bash", checkout / "test.sh"], env=env, capture_output=True, text=True, cwd="/")


def test_the_newest_hard_pruned_checkpoint_is_used(checkout):
    newest = "checkpoints/base/CODE/a b/hard/lr_1e-05"
    for folder, time in (
        (newest, 2_000),
        ("checkpoints/base/CODE/c/hard/lr_2e-05", 1_000),
        ("checkpoints/base/CODE/c", 5_000),
        ("checkpoints/base/CODE/c/hard/lr_2e-05/checkpoint-100", 6_000),
    ):
        config = checkout / folder / "config.json"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text("{}")
        os.utime(config, (time, time))
    done = run(checkout)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == f"checkpoint: {newest}"
    assert [line.split()[1] for line in lines] == ["ltp_test.py", "ltp_extract_and_save.py"]
    for line in lines:
        assert "--train_file Data/train_subset.csv --validation_file Data/test.csv" in line
        assert f"--model_name_or_path {newest} " in line


def test_variables_choose_other_files(checkout):
    done = run(checkout, CKPT="my checkpoint", TRAIN_FILE="t.csv", VALIDATION_FILE="v.csv")
    assert done.returncode == 0
    for line in done.stdout.splitlines()[1:]:
        assert "--train_file t.csv --validation_file v.csv" in line and "--model_name_or_path my checkpoint " in line


def test_without_a_checkpoint_the_message_says_what_to_do(checkout):
    done = run(checkout)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and "bash demo.sh" in done.stderr and "CKPT=" in done.stderr


@pytest.mark.parametrize(("failing", "runs"), [("ltp_test.py", 1), ("ltp_extract_and_save.py", 2)])
def test_a_failure_ends_it_with_the_same_status(checkout, failing, runs):
    done = run(checkout, CKPT="x", FAIL=failing)
    assert done.returncode == 7
    assert done.stdout.count("ran: ") == runs
