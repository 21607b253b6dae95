"""The column `rank_importance`: computed once, cached, padded, and the same as a teacher that computes each batch."""

import pytest

from tests.ltp_pipeline.training.conftest import prune

FLAGS = (
    "--restore longformer --train_file train.csv --validation_file test.csv --max_seq_len 64 --lr 1e-3 --bs 4 "
    "--masking_mode soft --final_token_threshold 0.9 --temperature 0.1 --lr_threshold 0.01 --max_steps 2 --no_load "
    "--use_cpu --dtype float32 --rank_distillation 0.5 --overwrite_output_dir"
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LTP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def shown(flags, capsys):
    prune(f"{FLAGS} {flags}")
    return capsys.readouterr().out


def test_a_second_run_with_another_seed_and_weight_reads_it(workplace, capsys):
    text = shown("--output_dir one", capsys)
    assert "by relevance: computed in" in text and text.count("ranks of 24 rows") == 1
    text = shown("--output_dir two --seed 7 --rank_distillation 0.1 --target_flops 0.9", capsys)
    assert "ranks of 24 rows are read from" in text and "computed in" not in text
