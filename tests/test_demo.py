"""`bash demo.sh --quick`, the whole way, as a new user types it."""

import json
import os
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from Data.sources.source_list import read_source_list

ROOT = Path(__file__).parents[1]
MADE = (
    "minilm_ltp/model.safetensors",
    "code_test/model.safetensors",
    "visualisation/visualisation.html",
    "visualisation/visualisation.png",
    "pruned_data/train_pruned.csv",
    "pruned_data/dev_pruned.csv",
    "comparison.csv",
    "scan.html",
)
# Stands in for Python: prints what it is asked to run, and fails there with STUB_STATUS where FAIL matches.
STUB = '#!/usr/bin/env bash\necho "ran: $*"\ncase "$*" in *"$FAIL"*) exit "$STUB_STATUS" ;; esac\n'
STARTS = {"pretrained": ("pretrained model", "convert"), "from scratch": ("tokenizer",)}
STEPS = (
    "fine-tune",
    "soft pruning",
    "hard pruning",
    "visualise",
    "extract",
    "compare on unseen projects",
    "download another project",
    "scan it",
)


@pytest.mark.slow
def test_quick_demo(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    result = subprocess.run(
        ["bash", "demo.sh", "--quick"],
        cwd=ROOT,
        # Threads that wait for each other in a loop crawl where other programs share the cores.
        env={**environment, "OUTPUT": str(tmp_path), "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert all((tmp_path / name).is_file() for name in MADE)

    fine_tuned, soft, hard = json.loads((tmp_path / "comparison.json").read_text())["checkpoints"]
    assert [row["checkpoint"] for row in (fine_tuned, soft, hard)] == ["fine-tuned", "soft", "hard"]
    assert fine_tuned["relative_flops"] == 1
    assert 0.2 < hard["relative_flops"] < 0.8
    assert hard["tokens_kept_per_layer"][2] < 0.7 * fine_tuned["tokens_kept_per_layer"][2]
    assert all(0 <= row["auc"] <= 1 and row["functions_per_second"] > 0 for row in (fine_tuned, soft, hard))
    # Chance is 0.5, with a standard error of 0.08 on the 100 validation functions.
    for folder in ("code_test", "hard"):
        assert json.loads((tmp_path / folder / "eval_results.json").read_text())["eval_auc"] > 0.7

    (scan,) = json.loads((tmp_path / "scan.sarif").read_text())["runs"]
    places = [result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in scan["results"]]
    assert len(places) == 20 and all((tmp_path / place).is_file() for place in places)
    closing = result.stdout.split("Made in")[1].splitlines()
    assert "scan.html" in closing[1]

    functions = pd.read_csv(tmp_path / "data/train_subset.csv", keep_default_na=False)
    pruned = pd.read_csv(tmp_path / "pruned_data/train_pruned.csv", keep_default_na=False)
    assert pruned["label"].tolist() == functions["label"].tolist()
    assert pruned["code"].str.len().sum() < 0.8 * functions["functionSource"].str.len().sum()


@pytest.mark.parametrize(
    "arguments, status, text", [(["--fast"], 2, "unknown argument --fast"), (["--help"], 0, "demo_output_quick")]
)
def test_arguments(arguments, status, text):
    result = subprocess.run(["bash", "demo.sh", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == status
    assert text in result.stdout + result.stderr


@pytest.fixture
def steps(tmp_path):
    """Runs demo.sh with a stub in place of Python. Returns the finished process and the titles of the steps."""
    (tmp_path / "demo.sh").write_bytes((ROOT / "demo.sh").read_bytes())
    (tmp_path / "ltp_env.sh").write_text("LTP_PYTHON=$PWD/python\n")
    (tmp_path / "python").write_text(STUB)
    (tmp_path / "python").chmod(0o755)

    def run(arguments, fails="nothing", status=1):
        environment = {**os.environ, "OUTPUT": "out", "FAIL": fails, "STUB_STATUS": str(status)}
        command = ["bash", str(tmp_path / "demo.sh"), *arguments]
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True)
        return done, tuple(re.findall(r"^== (.*) \(\d+ min\) ==$", done.stdout, re.MULTILINE))

    return run


@pytest.mark.parametrize("size", [(), ("--quick",)])
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(
    "fails, status, expected", [("ltp_scan.py", 0, 0), ("ltp_scan.py", 1, 0), ("ltp_scan.py", 2, 2), ("-m ", 1, 1)]
)
def test_the_steps_and_the_status_of_the_scan(steps, size, start, fails, status, expected):
    arguments = [*size, "--from_scratch"] if start == "from scratch" else size
    done, titles = steps(arguments, fails, status)
    assert done.returncode == expected, done.stderr
    everything = ("data set", *STARTS[start], *STEPS)
    assert titles == (everything if fails == "ltp_scan.py" else everything[:2])
    assert ("scan report     scan.html" in done.stdout) == (expected == 0)


def test_the_pretrained_model_is_downloaded_once_and_whole(steps):
    done, titles = steps([], fails="-m pip")
    assert done.returncode == 1 and titles == ("data set", "pretrained model")
    for expected in (("pretrained model", "convert"), ("convert",)):
        done, titles = steps([])
        assert done.returncode == 0 and titles == ("data set", *expected, *STEPS)


def test_the_scanned_project_is_in_no_list_of_the_demo():
    (name,) = re.findall(r"unpack_source.py\" (\S+)==", (ROOT / "demo.sh").read_text())
    for sources in ("sources_demo.txt", "sources_quick.txt"):
        assert name not in [source.name for source in read_source_list(ROOT / "Data" / sources)]
