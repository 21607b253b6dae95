"""The example of a workflow in docs/examples/."""

import re
import subprocess
from pathlib import Path

import pytest

from ltp_pipeline.commands.scan import make_parser

yaml = pytest.importorskip("yaml")
WORKFLOW = Path(__file__).resolve().parents[3] / "docs/examples/ltp-scan.yml"


def test_the_workflow_uses_flags_that_exist_and_valid_bash():
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["scan"]["steps"]
    script = "\n".join(step["run"] for step in steps if "run" in step)
    subprocess.run(["bash", "-n", "-c", script], check=True)
    (scan,) = (step["run"] for step in steps if step.get("name") == "Scan")
    used = set(re.findall(r"--\w+", scan))
    assert used >= {"--model_name_or_path", "--sarif", "--changed_since", "--fail_on"}
    assert used <= {flag for action in make_parser()._actions for flag in action.option_strings}


@pytest.mark.parametrize("event, status, expected", [("push", 0, 0), ("pull_request", 1, 0), ("push", 2, 1)])
def test_only_a_scan_that_could_not_run_fails_the_job(event, status, expected, tmp_path):
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["scan"]["steps"]
    (scan,) = (step["run"] for step in steps if step.get("name") == "Scan")
    (tmp_path / "python").write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/called\nexit {status}\n')
    (tmp_path / "python").chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "GITHUB_EVENT_NAME": event,
        "RUNNER_TEMP": "/t",
        "LTP_CHECKPOINT": "a b",
    }
    result = subprocess.run(["bash", "-e", "-c", scan], env=env, cwd=tmp_path)
    assert result.returncode == expected
    called = (tmp_path / "called").read_text()
    assert called.startswith("/t/ltp/ltp_scan.py . --model_name_or_path a b --sarif ltp.sarif")
    assert ("--changed_since HEAD^1" in called) == (event == "pull_request")
