"""Which tests are run with other versions, and their counts."""

from __future__ import annotations

import os
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT

MODEL = "tests/transformer_revised/models/ltp"
TRAINING = "tests/ltp_pipeline/training"
# A few minutes each on one core
SUITES = {
    "model": (
        f"{MODEL}/test_modeling_ltp.py",
        f"{MODEL}/test_modeling_ltp_heads.py",
        f"{MODEL}/test_reference.py",
        f"{MODEL}/test_checkpoint_thresholds.py",
        f"{MODEL}/test_configuration_ltp.py",
        f"{MODEL}/test_cpu_products.py",
        "tests/transformer_revised/test_library_names.py",
    ),
    "trainer": ("tests/transformer_revised/test_trainer_ltp.py", "tests/transformer_revised/test_trainer_budget.py"),
    "scripts": (
        f"{TRAINING}/test_run.py",
        f"{TRAINING}/test_lora.py",
        "tests/ltp_pipeline/commands/test_show.py",
        "tests/ltp_pipeline/commands/test_extract.py",
        "tests/ltp_pipeline/test_convert.py",
        "tests/ltp_pipeline/test_check_data.py",
    ),
}
ALL = {"all": ("tests",)}


def run_suite(python: Path, name: str, threads: int) -> dict[str, Any]:
    """Runs a suite with an interpreter. Returns `passed`, `failed` (errors included), `skipped`, and the names of the
    tests that failed, `failures`; `broken`, the end of the output, if pytest did not run the tests.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [*command, *{**SUITES, **ALL}[name]],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        if done.returncode not in (0, 1):  # 1: tests failed. Others: pytest itself failed, or there was no test
            broken = (done.stderr or done.stdout).strip()[-500:] or f"status {done.returncode}"
            return {"passed": 0, "failed": 0, "skipped": 0, "failures": [], "broken": broken}
        return counts(report.read_text(encoding="utf-8"))


def counts(report: str) -> dict[str, Any]:
    """The counts of a JUnit report of pytest."""
    outcomes: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for case in ElementTree.fromstring(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        outcomes[outcome].append(f"{case.get('classname')}::{case.get('name')}")
    return {**{name: len(cases) for name, cases in outcomes.items()}, "failures": outcomes["failed"]}
