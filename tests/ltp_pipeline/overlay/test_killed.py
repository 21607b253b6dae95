"""A run that is killed (SIGKILL) at any of its steps leaves a state that --status tells, and that can be repaired."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("operation", "steps"), [("install", 60), ("update", 75), ("restore", 20)])
def test_killed_at_every_step(memory_folder, operation, steps):
    command = [sys.executable, "-m", "tests.ltp_pipeline.overlay.kills", str(memory_folder), operation]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(kill["killed"] for kill in kills) >= steps
    for kill in kills:
        assert kill["again_is_complete"] and kill["as_before"] and kill["again_as_before"], kill
        assert not kill["records_left"], kill
        assert status_is_true(kill), kill


def status_is_true(kill: dict) -> bool:
    """Whether --status says what is there."""
    status = kill["status"]
    if "LTP is installed, from the files of this project" in status:
        return kill["left"] == "all"
    if "LTP is installed, but not from the files of this project" in status:
        return kill["is_start"]
    if "LTP is not installed" in status:
        return kill["left"] == "none"
    count = re.search(r"was interrupted: (\d+) of \d+ files", status)
    return count is not None and int(count[1]) == kill["in_place"]
