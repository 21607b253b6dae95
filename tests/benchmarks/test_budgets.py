"""benchmarks.budgets on a tiny model: the runs it makes, its tables and its figure."""

import json
import shutil

import pandas as pd
import pytest

from benchmarks import budgets as training
from ltp_pipeline.base.errors import UserError
from tests.ltp_pipeline.conftest import functions


@pytest.fixture
def folder(tmp_path, tmp_path_factory, monkeypatch):
    """What `bash demo.sh` makes, tiny; stages run in this process."""
    import torch
    from transformers import LongformerConfig, LongformerForSequenceClassification

    import run_code_metrics
    from ltp_pipeline.train_tokenizer import main as train_tokenizer

    data = tmp_path / "demo" / "data"
    data.mkdir(parents=True)
    for name, count, first in (("train_subset", 24, 0), ("validation", 10, 100), ("test", 10, 200)):
        functions(count, first).to_csv(data / f"{name}.csv", index=False)
    place = tmp_path / "demo" / "code_test"
    train_tokenizer(
        ["--train_file", str(data / "train_subset.csv"), "--output_dir", str(place), "--vocab_size", "400"]
    )
    torch.manual_seed(0)
    config = LongformerConfig(
        vocab_size=400, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=1026, attention_window=8, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        sep_token_id=2, type_vocab_size=1, initializer_range=0.2,
    )  # fmt: skip
    LongformerForSequenceClassification(config).save_pretrained(place)

    ran = []

    def run(args, flags):
        ran.append(flags)
        monkeypatch.chdir(args.folder)
        run_code_metrics.main(flags)
        monkeypatch.chdir(tmp_path)

    monkeypatch.setattr(training, "_run", run)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "demo", ran


def test_lambdas_and_budgets_are_run_once_and_reported(folder, tmp_path, capsys):
    demo, ran = folder
    flags = ["--folder", str(demo), "--output_dir", str(tmp_path / "out"), "--lambdas", "0", "1", "--targets", "0.9"]
    training.main(flags)
    assert len(ran) == 1 + 2 + 2  # unpruned, a stage a lambda, two a budget
    report = json.loads((tmp_path / "out" / "training.json").read_text())
    assert report["unpruned"]["eval relative_flops"] == 1
    assert [row["lambda"] for row in report["lambdas"]] == [0, 1]
    assert [(row["target"], row["stage"]) for row in report["budgets"]] == [(0.9, "soft"), (0.9, "hard")]
    assert report["budgets"][1]["eval relative_flops"] == pytest.approx(0.9, abs=0.02)
    assert 0 <= report["budgets"][1]["test f1"] <= 1
    table = pd.read_csv(tmp_path / "out" / "budgets.csv")
    assert table["eval relative_flops"].tolist() == [1, *(row["eval relative_flops"] for row in report["budgets"])]
    assert (tmp_path / "out" / "training.png").read_bytes()[:4] == b"\x89PNG"
    assert "\ntarget 0.9, hard " in capsys.readouterr().out
    shutil.rmtree(tmp_path / "out" / "lambda_1.0")
    training.main(flags)
    assert len(ran) == 6 and "lambda_1.0" in " ".join(ran[-1])  # only what was missing


def test_without_the_demo_it_says_what_is_expected(tmp_path):
    with pytest.raises(UserError, match="config.json is missing; expected what `bash demo.sh` makes"):
        training.main(["--folder", str(tmp_path)])
