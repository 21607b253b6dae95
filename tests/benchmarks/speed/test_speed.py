"""python -m benchmarks.speed on tiny models: what it writes and prints, and how it ends."""

import json
import re

import pandas as pd
import pytest
import torch

from benchmarks.speed import __main__ as speed
from benchmarks.speed import bench
from benchmarks.speed.flags import parse_flags
from ltp_pipeline.base.errors import UserError


@pytest.fixture(scope="module", autouse=True)
def few_inputs():
    """Two inputs in place of 32; thresholds are set on one of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"INPUTS": 2, "SAMPLED_TOKENS": 0, "PRACTICE": 1}.items():
            patch.setattr(bench, name, value)
        yield


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Folder and report of all works with all models, one round each."""
    folder = tmp_path_factory.mktemp("speed")
    pd.DataFrame({"tokens": [700, 90, 400, 1500, 250, 160, 300, 800]}).to_csv(folder / "lengths.csv", index=False)
    flags = ["--preset", "quick", "--repeats", "1", "--output_dir", str(folder), "--price_per_hour", "3.6"]
    speed.main([*flags, "--lengths_file", str(folder / "lengths.csv"), "--batch_size", "4"])
    return folder, json.loads((folder / "speed.json").read_text())


def by_key(report):
    return {(run["item"], run["model"], run["dtype"]): run for run in report["runs"]}


def test_every_work_is_run_with_every_model(quick):
    _, report = quick
    runs = by_key(report)
    sweep = {f"W5 {16 * 2**i}" for i in range(7)}
    assert {item for item, _, _ in runs} == {"W1", "W2", "W3", "W4", "latency", "train"} | sweep
    for item, count in {"W1": 10, "W4": 10, "W5 1024": 5, "latency": 10, "train": 5}.items():
        assert len([key for key in runs if key[0] == item]) == count
    assert runs["W1", "ltp", "float32"]["tokens"] == 4 * 64
    assert runs["W4", "longformer", "float32"]["functions"] == 8
    assert report["failures"] == {} and report["works"]["W1"]["rounds"] == 1
    for (_, model, _), run in runs.items():
        if model.startswith("ltp"):
            assert run["relative_flops"] == pytest.approx(0.5, abs=0.03) if model == "ltp_pruned" else 1
    assert report["agreement"]["largest_logit_difference"] <= 1e-5
    assert report["versions"]["torch"] == torch.__version__ and report["machine"]["gpu"] is None
    assert report["settings"]["threads"] == torch.get_num_threads() and report["settings"]["seed"] == 0


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


def test_markdown_and_figure(quick):
    folder, report = quick
    text = (folder / "speed.md").read_text()
    assert len(re.findall(r"^\| W4 \| \w+ \| (?:float32|bfloat16) \| [0-9.]+ ", text, re.M)) == 10
    assert "| W1 | float32 | unpruned vs Longformer |" in text and "at least 2.4" in text
    hours = by_key(report)["W4", "ltp", "float32"]["median_seconds"] / 8 * 1e6 / 3600
    assert f"| {hours:.3g} | {hours * report['settings']['threads']:.3g} | {hours * 3.6:.3g} |" in text
    assert "cost at 3.6 an hour" in text
    assert (folder / "speed.png").read_bytes()[:4] == b"\x89PNG"
    assert not list(folder.glob(".*"))


def test_a_work_that_fails_is_reported_beside_the_others(tmp_path, capsys, monkeypatch):
    measure = bench.Bench.measure

    def failing(self, work):
        if work == "W2":
            raise RuntimeError("out of memory")
        return measure(self, work)

    monkeypatch.setattr(bench.Bench, "measure", failing)
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
    build = bench.build_models

    def changed(*args):
        models = build(*args)
        classifier = models["ltp", "float32"].classifier.out_proj
        classifier.bias = torch.nn.Parameter(classifier.bias + 2e-5)
        return models

    monkeypatch.setattr(bench, "build_models", changed)
    flags = ["--preset", "quick", "--work", "W1", "--models", "ltp", "--dtype", "float32"]
    with pytest.raises(RuntimeError, match="logits of LTP unpruned and Longformer differ by 2.*e-05"):
        speed.main([*flags, "--output_dir", str(tmp_path)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--relative_flops", "1.5"], "--relative_flops 1.5: .*above 0 and below 1"),
        (["--repeats", "0"], "--repeats 0: .*1 or more"),
        (["--train_tokens", "20"], "--train_tokens 20: .*at least 64"),
        (["--price_per_hour", "nan"], "--price_per_hour nan: expected a number from 0"),
        (["--device", "abacus"], "--device abacus: expected cpu, cuda"),
        pytest.param(
            ["--device", "cuda"],
            "--device cuda: .*no GPU",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU"),
        ),
    ],
)
def test_bad_flags(flags, message):
    with pytest.raises(UserError, match=message):
        parse_flags(["--preset", "quick", *flags], "")


def test_the_output_folder_is_made_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "run_benchmark", lambda *_: pytest.fail("work has begun"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--output_dir .*file: cannot be written"):
        speed.main(["--preset", "quick", "--output_dir", str(tmp_path / "file")])


def test_a_data_type_that_is_named_twice_is_run_once():
    assert parse_flags(["--preset", "quick", "--dtype", "float32", "float32"], "").dtype == ["float32"]
