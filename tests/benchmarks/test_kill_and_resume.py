"""The kill test itself, with two kills; and that it would notice a difference."""

import json

import pytest

from benchmarks import kill_and_resume


@pytest.mark.slow
def test_killed_and_resumed_runs_end_the_same(tmp_path, capsys):
    kill_and_resume.main(["--kills", "2", "--seed", "1", "--output_dir", str(tmp_path)])
    rows = json.loads((tmp_path / "kill_and_resume.json").read_text())["runs"]
    assert [row["same"] for row in rows] == [True, True]
    assert rows[1]["resumed from"].startswith("checkpoint-")
    assert "2 kills, 0 runs that ended differently" in capsys.readouterr().out


def test_a_difference_ends_with_status_1(tmp_path, capsys, monkeypatch):
    row = {"killed after (s)": 1.0, "same": False}
    monkeypatch.setattr(kill_and_resume, "make_start", lambda place: None)
    monkeypatch.setattr(kill_and_resume, "kill_and_resume", lambda *args: [row, {**row, "same": True}])
    with pytest.raises(SystemExit) as end:
        kill_and_resume.main(["--output_dir", str(tmp_path)])
    assert end.value.code == 1
    assert "2 kills, 1 runs that ended differently" in capsys.readouterr().out


def test_an_outcome_is_weights_predictions_and_metrics_without_times(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"w")
    (tmp_path / "predictions.csv").write_bytes(b"p")
    results = {"eval_f1": 0.5, "train_loss": 0.1, "eval_runtime": 3.0, "train_samples_per_second": 2.0}
    (tmp_path / "all_results.json").write_text(json.dumps(results))
    expected = {"weights": b"w", "predictions": b"p", "results": {"eval_f1": 0.5, "train_loss": 0.1}}
    assert kill_and_resume.outcome(tmp_path) == expected
