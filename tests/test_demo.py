"""`bash demo.sh --quick`, the whole way, as a new user types it."""

import json
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
MADE = (
    "tokenizer/tokenizer.json",
    "code_test/model.safetensors",
    "visualisation/visualisation.html",
    "visualisation/visualisation.png",
    "pruned_data/train_pruned.csv",
    "pruned_data/dev_pruned.csv",
    "comparison.csv",
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
