"""benchmarks.budgets on a tiny model: the stages that it runs, its tables and its figure."""

import json
import shutil

import pandas as pd
import pytest

import run_code_metrics
from benchmarks import budgets
from ltp_pipeline.base.errors import UserError
from tests.ltp_pipeline.conftest import functions, save_longformer
from tests.pruned_checkpoint import make_tokenizer


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """What `bash demo.sh` makes, but tiny, and the list of the stages that ran. Stages run in this process."""
    folder, stages = tmp_path / "demo", []
    (folder / "data").mkdir(parents=True)
    for name, count, first in (("train_subset", 24, 0), ("validation", 10, 100), ("test", 10, 200)):
        functions(count, first).to_csv(folder / "data" / f"{name}.csv", index=False)
    make_tokenizer().save_pretrained(tmp_path / "tokenizer")
    save_longformer(tmp_path / "tokenizer", folder / "code_test")

    def run(args, flags):
        stages.append(flags)
        with monkeypatch.context() as patch:
            patch.chdir(args.folder)
            run_code_metrics.main(flags)

    monkeypatch.setattr(budgets, "_run", run)
    return folder, stages


def test_stages_run_once_and_are_reported(demo, tmp_path, capsys):
    (folder, stages), output = demo, tmp_path / "out"
    flags = ["--folder", str(folder), "--output_dir", str(output), "--lambdas", "1", "--targets", "0.9"]
    budgets.main(flags)
    assert len(stages) == 1 + 1 + 2  # unpruned, one for each lambda, two for each budget
    report = json.loads((output / "training.json").read_text())
    assert report["unpruned"]["eval relative_flops"] == 1
    assert [row["lambda"] for row in report["lambdas"]] == [1]
    assert [(row["target"], row["stage"]) for row in report["budgets"]] == [(0.9, "soft"), (0.9, "hard")]
    assert report["budgets"][1]["eval relative_flops"] == pytest.approx(0.9, abs=0.02)
    assert 0 <= report["budgets"][1]["test f1"] <= 1
    table = pd.read_csv(output / "budgets.csv")
    assert table["eval relative_flops"].tolist() == [1, *(row["eval relative_flops"] for row in report["budgets"])]
    assert (output / "training.png").read_bytes()[:4] == b"\x89PNG"
    assert "\ntarget 0.9, hard " in capsys.readouterr().out
    shutil.rmtree(output / "lambda_1.0")
    budgets.main(flags)
    assert len(stages) == 5 and "lambda_1.0" in " ".join(stages[-1])  # only what was missing


def test_a_folder_without_the_demo(tmp_path):
    with pytest.raises(UserError, match="--folder .*config.json is missing.*demo.sh"):
        budgets.main(["--folder", str(tmp_path)])
