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


@pytest.fixture
def flags(tmp_path):
    for name, count, first in (("train", 24, 0), ("validation", 10, 100), ("test", 8, 200), ("other_test", 6, 300)):
        (tmp_path / "data" / "copies").mkdir(parents=True, exist_ok=True)
        flaws = {"flaw_lines": ["4" if i % 2 else "" for i in range(count)]}
        functions(count, first).assign(**flaws).to_csv(tmp_path / "data" / "copies" / f"{name}.csv", index=False)
    return ["--data_dir", str(tmp_path / "data"), "--output_dir", str(tmp_path / "out"), *SIZES.split()]


@pytest.mark.slow
def test_a_row_is_trained_and_measured(flags, tmp_path, monkeypatch, capsys):
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
    assert set(test["lines"]) == {"gradient_x_input", "relevance", "layers_survived"}
    assert cell["speed"]["functions"] == 4 and cell["speed"]["speedup"] > 0
    assert not (tmp_path / "out" / "models" / "copies@48" / "seed_3" / "relevance_0.7").exists()
    assert "| relevance 0.7 | 1 | " in capsys.readouterr().out


@pytest.mark.slow
def test_a_second_model_is_trained_on_extracted_text(flags, tmp_path, monkeypatch, capsys):
    """Interrupted while the second model is trained: the first one, and what it has extracted, are kept."""
    tune, calls = training.Commands.fine_tune, []

    def stops_late(*args, **kwargs):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        tune(*args, **kwargs)

    monkeypatch.setattr(training.Commands, "fine_tune", stops_late)
    flags = [*flags, "--extracted_budgets", "0.7", "--only", "extracted", "relevance"]
    order = ["relevance_0.7", "extracted_0.7", "extracted_random_0.7"]
    with pytest.raises(KeyboardInterrupt):
        main(flags)
    group = tmp_path / "out" / "models" / "copies@48" / "seed_3"
    kept = [
        group / "hard_relevance_0.7" / "model" / "model.safetensors",
        group / "text_0.7" / "text" / "extraction.json",
    ]
    before = [file.stat().st_mtime_ns for file in kept]
    main(flags)
    assert [file.stat().st_mtime_ns for file in kept] == before
    taught, extracted, random = (
        json.loads((tmp_path / "out" / "cells" / "copies@48" / "seed_3" / f"{name}.json").read_text())
        for name in order
    )
    scripts = [line.split()[1] for line in extracted["about"]["commands"]]
    tuned, pruned = "run_glue_code_metrics.py", "run_code_metrics.py"
    assert scripts == [tuned, pruned, pruned, "ltp_extract_and_save.py", tuned, tuned]
    assert [line.split()[1] for line in taught["about"]["commands"]] == scripts[:3]
    for cell in (extracted, random):
        test = cell["tests"]["test"]
        assert len(test["probabilities"]) == len(test["lengths"]) == 8 and test["labels"] == [0, 1] * 4
        assert test["lengths"] == taught["tests"]["test"]["lengths"] and test["lines"] is None
        assert test["relative_flops"] < 1 and cell["about"]["extraction"]["tables"]["test"]["share_kept"] < 1
        assert cell["training_tokens"] > 0 and cell["speed"]["speedup"] > 0
    flops = [
        extracted["tests"]["other_test"]["extraction_relative_flops"],
        taught["tests"]["other_test"]["relative_flops"],
    ]
    assert 0 < flops[0] < flops[1]
    assert "extraction_relative_flops" not in random["tests"]["test"]
    assert "training_seconds" not in extracted["about"] and random["about"]["training_seconds"] > 0
    assert "| extracted_random 0.7 | 1 | " in capsys.readouterr().out
    assert sorted(path.name for path in group.iterdir()) == [
        "base",
        "hard_relevance_0.7",
        "soft_relevance_0.7",
        "text_0.7",
    ]
