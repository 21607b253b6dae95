"""benchmarks.speed.command on tiny models: what it writes and prints, and how it ends."""

import json
import re
from dataclasses import replace

import pytest
import torch

from benchmarks.speed import command as speed
from ltp_pipeline.base.errors import UserError


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder and the report of the preset quick, one round a work."""
    folder = tmp_path_factory.mktemp("speed")
    speed.main(["--preset", "quick", "--repeats", "1", "--output_dir", str(folder), "--price_per_hour", "3.6"])
    return folder, json.loads((folder / "speed.json").read_text())


def by_key(report):
    return {(run["item"], run["model"], run["dtype"]): run for run in report["runs"]}


def test_every_work_is_run_with_every_model(quick):
    runs = by_key(quick[1])
    assert {item for item, _, _ in runs} == {"W1", "W2", "W3", "W4", "train", *(f"W5 {16 * 2**i}" for i in range(7))}
    for item, count in {"W1": 10, "W4": 10, "W5 1024": 5, "train": 5}.items():
        assert len([key for key in runs if key[0] == item]) == count
    assert runs["W1", "ltp", "float32"]["tokens"] == 4 * 64
    assert runs["W4", "longformer", "float32"]["functions"] == 64
    assert quick[1]["failures"] == {} and quick[1]["works"]["W1"]["rounds"] == 1


def test_pruned_runs_execute_half(quick):
    for (_, model, _), run in by_key(quick[1]).items():
        if model == "ltp_pruned":
            assert run["relative_flops"] == pytest.approx(0.5, abs=0.03)
        elif model == "ltp":
            assert run["relative_flops"] == 1


def test_ratios_and_rates_follow_from_the_seconds(quick):
    runs = by_key(quick[1])
    for (item, _, dtype), run in runs.items():
        for reference in (f"longformer {dtype}", "longformer float32"):
            key = (item, *reference.split())
            if key in runs:
                expected = runs[key]["seconds"][0] / run["seconds"][0]
                assert run["speedup"][reference]["median"] == pytest.approx(expected)
        if run["model"].startswith("ltp") and item != "train":
            rate = run["flops"] / run["seconds"][0] / 1e9 / run["matrix_gflops_per_second"]["median"]
            assert run["share_of_matrix_rate"]["median"] == pytest.approx(rate)


def test_the_machine_and_the_settings_are_recorded(quick):
    report = quick[1]
    assert report["machine"]["cpu"] and report["machine"]["gpu"] is None
    assert report["versions"]["torch"] == torch.__version__
    assert report["settings"]["threads"] == torch.get_num_threads() and report["settings"]["seed"] == 0
    assert report["agreement"]["largest_logit_difference"] <= 1e-5


def test_markdown_and_figure(quick):
    folder, report = quick
    text = (folder / "speed.md").read_text()
    assert len(re.findall(r"^\| W4 \| \w+ \| (?:float32|bfloat16) \| [0-9.]+ ", text, re.M)) == 10
    assert "| W1 | float32 | unpruned vs Longformer |" in text and "at least 2.4" in text
    run = by_key(report)["W4", "ltp", "float32"]
    hours = run["median_seconds"] / 64 * 1e6 / 3600
    assert f"| {hours:.3g} | {hours * report['settings']['threads']:.3g} | {hours * 3.6:.3g} |" in text
    assert "cost at 3.6 an hour" in text
    assert (folder / "speed.png").read_bytes()[:4] == b"\x89PNG"
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_the_gpu_preset_measures_its_targets(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(speed.PRESETS, "gpu", replace(speed.PRESETS["gpu"], short=0.0, warm_ups=1))
    flags = ["--preset", "gpu", "--device", "cpu", "--size", "tiny", "--repeats", "1", "--memory", "--w4_batches", "1"]
    flags += ["--models", "longformer", "roberta", "ltp", "ltp_pruned", "--work", "W1", "W3", "W5", "train"]
    speed.main([*flags, "--output_dir", str(tmp_path)])
    report = json.loads((tmp_path / "speed.json").read_text())
    assert {run["dtype"] for run in report["runs"]} == {"bfloat16"}
    assert len(report["targets"]) == 7 and all(target["reached"] is not None for target in report["targets"])
    assert "unpruned vs RoBERTa at 64, batch 1" in capsys.readouterr().out


def test_what_does_not_run_is_reported_and_the_rest_kept(tmp_path, capsys, monkeypatch):
    measure = speed.Bench.measure

    def failing(self, work):
        if work == "W2":
            raise RuntimeError("out of memory")
        return measure(self, work)

    monkeypatch.setattr(speed.Bench, "measure", failing)
    flags = ["--preset", "quick", "--work", "W1", "W2", "--models", "ltp", "--dtype", "float32", "--repeats", "1"]
    with pytest.raises(SystemExit) as ended:
        speed.main([*flags, "--output_dir", str(tmp_path)])
    assert ended.value.code == 1
    assert "error: W2 did not run: RuntimeError: out of memory" in capsys.readouterr().err
    report = json.loads((tmp_path / "speed.json").read_text())
    assert report["failures"] == {"W2": "RuntimeError: out of memory"}
    assert [run["item"] for run in report["runs"]] == ["W1"]
    assert "- W2: RuntimeError: out of memory" in (tmp_path / "speed.md").read_text()


def test_models_that_differ_are_not_compared(tmp_path, monkeypatch):
    build = speed.build_models

    def changed(*args):
        models = build(*args)
        classifier = models["ltp", "float32"].classifier.out_proj
        classifier.bias = torch.nn.Parameter(classifier.bias + 2e-5)
        return models

    monkeypatch.setattr(speed, "build_models", changed)
    with pytest.raises(RuntimeError, match="logits of LTP unpruned and Longformer differ by 2.*e-05 in float32"):
        speed.main(["--preset", "quick", "--work", "W1", "--output_dir", str(tmp_path)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--relative_flops", "1.5"], "--relative_flops 1.5: expected a share above 0 and below 1"),
        (["--repeats", "0"], "--repeats 0: expected at least 1"),
        (["--train_tokens", "20"], "--train_tokens 20: expected at least 64, the longest function"),
        (["--device", "abacus"], "--device abacus: expected cpu, cuda or cuda:NUMBER"),
        (["--lengths_file", "nowhere.csv"], "--lengths_file nowhere.csv: no such file"),
        (["--data_file", "Data/nowhere.csv"], "--data_file Data/nowhere.csv: no such file; `python Data/build_data"),
    ],
)
def test_bad_flags_are_named(flags, message, tmp_path):
    with pytest.raises(UserError, match=message):
        speed.main(["--preset", "quick", "--output_dir", str(tmp_path), *flags])


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_the_gpu_preset_needs_a_gpu():
    with pytest.raises(UserError, match="--device cuda: PyTorch sees no GPU here"):
        speed.main(["--preset", "gpu"])
