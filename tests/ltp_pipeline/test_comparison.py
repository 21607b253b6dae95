"""Each compared checkpoint reads its own tokens, and its predictions are measured against the right labels."""

import json
from functools import cache
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer

from ltp_pipeline import comparison
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.comparison import main
from ltp_pipeline.model.ranking_note import ranking_note
from ltp_pipeline.task.metrics import classification_metrics
from ltp_pipeline.task.tasks import CODE
from ltp_pipeline.train_tokenizer import main as train_tokenizer
from tests.pruned_checkpoint import copy_with_teacher, save_functions
from transformer_revised import LTPConfig, LTPForSequenceClassification


@pytest.fixture(scope="module")
def two(tmp_path_factory, longformer_dir):
    """Two checkpoints whose tokenizers order the same functions by length differently, and the functions."""
    folder = tmp_path_factory.mktemp("two")
    rng = np.random.default_rng(0)
    pieces = ["strcpy(a, b);", "zz = qq + 1;", "漢字漢字", "while (x) y();"]
    rows = ["".join(rng.choice(pieces, size=rng.integers(1, 9))) for _ in range(40)]
    frame = pd.DataFrame({"functionSource": rows, "label": rng.integers(0, 2, 40)})
    frame.to_csv(folder / "test.csv", index=False)
    train_tokenizer(
        ["--train_file", str(folder / "test.csv"), "--output_dir", str(folder / "tokenizer"), "--vocab_size", "300"]
    )
    torch.manual_seed(1)
    other = LTPForSequenceClassification.from_pretrained(longformer_dir, prune_mode=None)
    other.save_pretrained(folder / "other")
    AutoTokenizer.from_pretrained(folder / "tokenizer").save_pretrained(folder / "other")
    return {"a": longformer_dir, "b": folder / "other"}, folder / "test.csv"


@cache
def metrics_one_by_one(path, file) -> dict:
    """Metrics of a checkpoint that computes one function at a time."""
    frame, tokenizer = pd.read_csv(file), AutoTokenizer.from_pretrained(path)
    model = LTPForSequenceClassification.from_pretrained(path, prune_mode=None).eval()
    with torch.inference_mode():
        logits = [
            model(**tokenizer(text, truncation=True, max_length=96, return_tensors="pt")).logits
            for text in frame["functionSource"]
        ]
    return classification_metrics(torch.cat(logits).numpy(), frame["label"].to_numpy())


@pytest.mark.parametrize("size", ["--batch_size 4", "--max_tokens_per_batch 150", ""])
def test_each_checkpoint_is_measured_in_the_order_of_its_own_tokenizer(size, two, tmp_path):
    paths, file = two
    named = [f"{name}={path}" for name, path in paths.items()]
    flags = ["--test_file", str(file), "--max_length", "96", *size.split(), "--rounds", "1", "--dtype", "float32"]
    main(["--checkpoints", *named, *flags, "--output_dir", str(tmp_path)])
    rows = json.loads((tmp_path / "comparison.json").read_text())["checkpoints"]
    for row in rows:
        expected = metrics_one_by_one(paths[row["checkpoint"]], file)
        assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert [row["dtype"] for row in rows] == ["float32"] * 2
    assert rows[0]["tokens"] != rows[1]["tokens"] and rows[0]["speedup"] == 1


def test_how_each_ranking_was_taught(two, pruned_checkpoint, tmp_path, capsys):
    taught = copy_with_teacher(pruned_checkpoint, tmp_path / "taught", "relevance")
    older = copy_with_teacher(pruned_checkpoint, tmp_path / "older", None)
    paths = {"unpruned": two[0]["a"], "taught": taught, "older": older, "not_taught": pruned_checkpoint}
    named = [f"{name}={path}" for name, path in paths.items()]
    file = save_functions(tmp_path / "test.csv")
    flags = f"--test_file {file} --max_length 96 --rounds 1 --output_dir {tmp_path}/out"
    main(["--checkpoints", *named, *flags.split()])
    rows = json.loads((tmp_path / "out" / "comparison.json").read_text())["checkpoints"]
    note, warning = ranking_note(LTPConfig(rank_teacher="relevance"), CODE), ranking_note(LTPConfig(), CODE)
    assert [row["rank_teacher"] for row in rows] == [None, "relevance", None, None]
    assert [row["ranking"] for row in rows] == [None, note, warning, warning]
    assert f"\ntaught: {note}\nolder, not_taught: {warning}\nwritten: " in capsys.readouterr().out
    assert not {"rank_teacher", "ranking"} & set(pd.read_csv(tmp_path / "out" / "comparison.csv").columns)


def test_too_little_memory_names_the_flags_to_lower(two, tmp_path, monkeypatch):
    paths, file = two
    monkeypatch.setattr(comparison, "_measure", Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory.")))
    with pytest.raises(UserError, match="^out of memory.*--batch_size or --max_tokens_per_batch or --max_length"):
        main(f"--checkpoints a={paths['a']} --test_file {file} --max_length 96 --output_dir {tmp_path}/out".split())
    assert not (tmp_path / "out").exists()
