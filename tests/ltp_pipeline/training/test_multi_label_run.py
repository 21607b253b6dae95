"""Several labels at once: VDISC's groups, from files to trained, pruned and compared models."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer

import ltp_extract_and_save
import ltp_test
import run_code_metrics
import run_glue_code_metrics
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.comparison import main as compare
from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.task.tasks import VDISC
from tests.ltp_pipeline.conftest import functions
from transformer_revised import LTPForSequenceClassification

NAMES = VDISC.labels


@pytest.fixture
def workplace(tmp_path, longformer_dir, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = functions(24).rename(columns={"label": "unsafe"})
    frame["label"] = [["", "CWE-120 CWE-119"][unsafe] for unsafe in frame["unsafe"]]
    frame.to_csv("train.csv", index=False)
    frame.assign(label=[[1, 1, 0, 0, 0] if unsafe else [] for unsafe in frame["unsafe"]]).to_json(
        "test.jsonl", orient="records", lines=True
    )
    return longformer_dir


def test_a_model_of_groups_through_every_stage(workplace, monkeypatch):
    data = "--train_file train.csv --validation_file test.jsonl --max_seq_length 96"
    run_glue_code_metrics.main(
        f"--task_name vdisc --model_name_or_path {workplace} --do_train --do_eval {data} --learning_rate 1e-2 "
        "--per_device_train_batch_size 4 --num_train_epochs 8 --dtype float32 --output_dir tuned".split()
    )
    config, results = (json.loads(Path("tuned", name).read_text()) for name in ("config.json", "all_results.json"))
    assert config["problem_type"] == "multi_label_classification"
    assert config["id2label"] == {str(i): name for i, name in enumerate(NAMES)}
    assert results["eval_f1_CWE-119"] == results["eval_f1_CWE-120"] == 1 and results["eval_macro_auc"] == 1
    assert results["eval_micro_f1"] == 1 and results["eval_macro_f1"] == pytest.approx(0.4)
    predictions = pd.read_csv("tuned/predictions.csv", keep_default_na=False)
    assert predictions["label"].tolist() == ["", "CWE-119 CWE-120"] * 12 == predictions["prediction"].tolist()
    model = LTPForSequenceClassification.from_pretrained("tuned").eval()
    batch = AutoTokenizer.from_pretrained("tuned")(functions(1)["functionSource"][0], return_tensors="pt")
    with torch.inference_mode():
        expected = model(**batch).logits.sigmoid()[0].tolist()
    assert predictions.filter(like="score_").iloc[0].tolist() == pytest.approx(expected, abs=1e-5)
    assert "| train | train.csv | 24 | 0 | CWE-119: 12, CWE-120: 12, CWE-469: 0, CWE-476: 0, CWE-other: 0 |" in (
        Path("tuned/README.md").read_text()
    )

    run_code_metrics.main(
        f"--task VDISC --restore tuned --masking_mode soft {data} --bs 8 --epoch 1 --final_token_threshold 0.9 "
        "--temperature 0.1 --lambda 0.1 --no_load --dtype float32 --output_dir soft".split()
    )
    flags = "--task_name vdisc --test_file test.jsonl --max_length 96 --rounds 1 --dtype float32"
    compare([*flags.split(), "--checkpoints", "a=tuned", "b=soft"])
    rows = json.loads(Path("comparison/comparison.json").read_text())["checkpoints"]
    soft = json.loads(Path("soft/all_results.json").read_text())
    assert soft["eval_relative_flops"] < 1
    assert [row["micro_f1"] for row in rows] == [1, soft["eval_micro_f1"]]

    flags = "--model_name_or_path soft --task_name vdisc --train_file train.csv --max_length 96 --use_cpu"
    monkeypatch.setattr(sys, "argv", ["x", *flags.split()])
    ltp_extract_and_save.main()
    pruned = pd.read_csv("pruned_data/train_pruned.csv")
    assert pruned["label"].tolist() == ["[0, 0, 0, 0, 0]", "[1, 1, 0, 0, 0]"] * 12
    with pytest.raises(UserError, match="--task_name VDISC: has several labels at once"):
        ltp_test.main()


def test_rows_with_an_unknown_group_are_skipped(tmp_path):
    (tmp_path / "bad.csv").write_text("code,label\na,CWE-119\nb,CWE-20\n")
    frame = read_functions(tmp_path / "bad.csv", ReadingArguments(on_bad_rows="skip"), groups=NAMES)
    assert frame["label"].tolist() == [[1, 0, 0, 0, 0]]
