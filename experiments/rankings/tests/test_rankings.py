"""The comparison's own parts: FLOPs as the packed model's, the shift that meets a budget, the paired table."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from experiments.rankings import rankings
from experiments.rankings.dense_ltp import DenseOutput, Masking
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model.flops_meter import FlopsMeter

BUDGET = rankings.Budget(
    train=64, evaluation=24, calibration=24, hidden_size=16, base_steps=2, soft_steps=3, hard_steps=1, batch_size=8
)


@pytest.fixture(scope="module")
def data():
    return rankings.make_data(BUDGET.train, BUDGET.evaluation, BUDGET.calibration)


@pytest.fixture
def model(data):
    model = rankings.new_model(data, BUDGET, seed=0)
    model.bf16 = False
    rankings.prepare_pruners(model, "rel")
    for parameter in model.longformer.encoder.parameters():  # scores that differ from token to token
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.3)
    return model


def test_flops_are_those_of_the_meter(model, data):
    for pruner, threshold in zip(rankings.pruners(model), (0.7, 0.5, 0.4)):
        pruner.keep_threshold.data.fill_(threshold)
    measured = rankings.evaluate(model, data.validation, Masking("hard"))
    meter = FlopsMeter(model.eval())
    with torch.no_grad():
        for ids, real, _ in rankings.batches(data.validation, 24):
            model(input_ids=ids, attention_mask=real.long())
    counted = meter.pop()
    assert measured.relative_flops == pytest.approx(counted["relative_flops"], rel=1e-6)
    assert measured.kept == pytest.approx(counted["tokens_kept_per_layer"][:3], abs=0.01)
    assert 0.2 < measured.relative_flops < 0.8


@pytest.mark.parametrize("target", [0.3, 0.45, 0.8])
def test_one_shift_meets_the_target(model, data, target):
    before = [p.threshold.item() for p in rankings.pruners(model)]
    shift = rankings.shift_to(model, target, data.calibration, Masking("hard"))
    after = [p.threshold.item() for p in rankings.pruners(model)]
    assert after == pytest.approx([threshold + shift for threshold in before])
    measured = rankings.evaluate(model, data.calibration, Masking("hard"))
    assert measured.relative_flops == pytest.approx(target, abs=0.01)


def test_a_target_below_the_first_layer_is_refused(model, data):
    with pytest.raises(UserError, match=r"--targets 0.05: no thresholds give that"):
        rankings.shift_to(model, 0.05, data.calibration, Masking("hard"))


def test_quantiles_meet_the_target_with_equal_shares(model, data):
    rankings.set_quantiles(model, 0.5, data.calibration)
    measured = rankings.evaluate(model, data.calibration, Masking("hard"))
    entered = np.mean([len(row) for row in data.calibration.ids])
    shares = np.array(measured.kept) / np.array([entered, *measured.kept[:2]])
    assert measured.relative_flops == pytest.approx(0.5, abs=0.03)
    assert np.ptp(shares) < 0.05


def test_soft_flops_of_cold_masks_are_the_hard_ones(model, data):
    ids, real, _ = next(rankings.batches(data.validation, 24))
    alive, mask = real.clone(), real & (torch.arange(real.shape[1]) < 10)
    hard = DenseOutput(None, alive=[alive, mask, mask], masks=[mask, mask, mask])
    soft = DenseOutput(None, alive=[a.float() for a in hard.alive], masks=[m.float() for m in hard.masks])
    flops = rankings.soft_relative_flops(model.config, soft, real)
    assert flops == pytest.approx(rankings.soft_relative_flops(model.config, hard, real).item())
    n, D = real.sum(1).float(), model.config.hidden_size
    first = 6 * n * D**2 + 4 * n**2 * D + 10 * 18 * 0 + 10 * (2 * D**2 + 4 * D * 4 * D)
    later = 2 * (6 * 10 * D**2 + 4 * 100 * D + 10 * (2 * D**2 + 16 * D**2))
    whole = 3 * (24 * n * D**2 + 4 * n**2 * D)
    assert flops.item() == pytest.approx(((first + later) / whole).mean().item(), rel=1e-5)


def test_rank_loss_is_least_for_the_teachers_order():
    importance = torch.rand(2, 30, generator=torch.Generator().manual_seed(0)) + 0.01
    real = torch.ones(2, 30, dtype=torch.bool)
    teacher = DenseOutput(None, importance=importance)
    same = rankings.rank_loss(DenseOutput(None, scores=[importance**3]), teacher, real)
    reverse = rankings.rank_loss(DenseOutput(None, scores=[1 / importance**3]), teacher, real)
    assert same < 0.3 and reverse > 3


def test_paired_difference():
    right = {"variant": "a", "seed": 0, "correct": "1111"}, {"variant": "a", "seed": 1, "correct": "1110"}
    base = {"variant": "max", "seed": 0, "correct": "1110"}, {"variant": "max", "seed": 1, "correct": "1100"}
    mean, low, high = rankings.paired_difference(list(right), list(base))
    assert mean == 25.0
    assert low <= 0 and high >= 37.5


def test_command(tmp_path, capsys):
    sizes = [f"--{name}={getattr(BUDGET, name)}" for name in ("train", "evaluation", "calibration", "hidden_size")]
    sizes += [f"--{name}={getattr(BUDGET, name)}" for name in ("base_steps", "soft_steps", "hard_steps", "batch_size")]
    names = ["max", "distill-hard", "held-out", "truncate"]
    command = ["--output_dir", str(tmp_path), "--seeds", "0", *sizes, "--variants"]
    rankings.main([*command, *names[:2]])
    rankings.main([*command, *names])
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [row["variant"] for row in rows] == names  # those of the first call are not run again
    assert all(len(row["correct"]) == BUDGET.evaluation for row in rows)
    assert [row["relative_flops"] for row in rows] == pytest.approx([0.3] * 4, abs=0.12)
    table = (tmp_path / "table.md").read_text()
    assert table.count("\n| ") == 6 and "| held-out | 1 |" in table
    rankings.main([*command, "truncate", "--final"])
    final = json.loads((tmp_path / "final.jsonl").read_text())
    assert final["correct"] != rows[-1]["correct"] or final["relative_flops"] != rows[-1]["relative_flops"]
    assert "| truncate | 1 |" in (tmp_path / "final.md").read_text()
    with pytest.raises(UserError, match="--variants best: expected one of"):
        rankings.main([*command, "best"])
