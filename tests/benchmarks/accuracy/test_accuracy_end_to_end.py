"""A tiny run of benchmarks.accuracy: a row is trained, interrupted, continued and measured."""

import json

import pytest

from benchmarks.accuracy import training
from benchmarks.accuracy.__main__ import main
from tests.ltp_pipeline.conftest import functions

SIZES = (
    "--hidden_size 64 --num_layers 4 --attention_window 16 --vocab_size 300 --readings 48 --base_epochs 1 --seeds 3 "
    "--budgets 0.7 --soft_budget 0.7 --speed_functions 4 --speed_rounds 1 --line_functions 3 --max_negatives 0 "
    "--only relevance --bootstrap 100 --dtype float32"
)


@pytest.mark.slow
def test_a_row_is_trained_and_measured(tmp_path, monkeypatch, capsys):
    for name, count, first in (("train", 24, 0), ("validation", 10, 100), ("test", 8, 200), ("other_test", 6, 300)):
        (tmp_path / "data" / "copies").mkdir(parents=True, exist_ok=True)
        flaws = {"flaw_lines": ["4" if i % 2 else "" for i in range(count)]}
        functions(count, first).assign(**flaws).to_csv(tmp_path / "data" / "copies" / f"{name}.csv", index=False)
    flags = ["--data_dir", str(tmp_path / "data"), "--output_dir", str(tmp_path / "out"), *SIZES.split()]
    prune, interrupted = training.Commands.prune, []

    def stops_once(*args, **kwargs):
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        prune(*args, **kwargs)

    monkeypatch.setattr(training.Commands, "prune", stops_once)
    with pytest.raises(KeyboardInterrupt):
        main(flags)
    base = tmp_path / "out" / "models" / "copies@48" / "seed_3" / "base" / "model" / "model.safetensors"
    before = base.stat().st_mtime_ns
    main(flags)
    assert base.stat().st_mtime_ns == before
    (file,) = (tmp_path / "out" / "cells").glob("*/*/*")
    cell = json.loads(file.read_text())
    commands = cell["about"]["commands"]
    assert [line.split()[1] for line in commands] == ["run_glue_code_metrics.py"] + 2 * ["run_code_metrics.py"]
    assert "--rank_teacher relevance" in commands[1] and "--target_flops 0.7" in commands[2]
    assert list(cell["tests"]) == ["test", "other_test"]
    test = cell["tests"]["test"]
    assert len(test["probabilities"]) == len(test["lengths"]) == 8 and test["labels"] == [0, 1] * 4
    assert test["relative_flops"] == pytest.approx(0.7, abs=0.06) and len(test["tokens_kept_per_layer"]) == 4
    assert set(test["lines"]) == {"gradient_x_input", "layers_survived"}
    assert cell["speed"]["functions"] == 4 and cell["speed"]["speedup"] > 0
    assert not (tmp_path / "out" / "models" / "copies@48" / "seed_3" / "relevance_0.7").exists()
    assert "| relevance 0.7 | 1 | " in capsys.readouterr().out
